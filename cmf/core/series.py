"""Fine-grained metrics as answers: a series in few words, its points, or those of them that stand for all.

A series is in order of its points' steps, those of one step in order of time; where some point has no step, the
whole series is in order of time. What is equal in both is in the order in which it was recorded. Nothing is put
together: a step that was repeated, say after a restart from a checkpoint, has as many points as it was told.

More points than were asked for are thinned out by M4 [1]: the axis is cut into equal parts, and of each part the
first, the last, the least and the greatest point are kept, which draw the very line that all points draw at that
width. Values that are not finite have no place in that order, so the first NaN and the first infinity of either
sign are kept of each part too: neither an outlier nor a NaN vanishes.

[1] U. Jugel, Z. Jerzak, G. Hackenbroich, V. Markl: M4, a Visualization-Oriented Time Series Data Aggregation.
    PVLDB 7(10), 2014.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Annotated, Any, Final, Literal

import msgspec

from cmf.core.errors import BadQuestion, UnknownKey
from cmf.core.model import Execution, Point, Series, SeriesList, SeriesOfMany, SeriesSummary, Whole
from cmf.core.store import Store
from cmf.core.values import from_json

MAX_POINTS: Final = 200_000
"""The greatest number of points in an answer, of all its executions together."""

DEFAULT_POINTS: Final = 10_000
"""The greatest number of points of one execution in an answer, unless a question asks for more."""

MAX_EXECUTIONS: Final = 1_000

POINTS: Final[msgspec.json.Decoder[tuple[Point, ...]]] = msgspec.json.Decoder(tuple[Point, ...])
"""Reads the rows of a chunk, as a store keeps them."""

Axis = Literal["step", "time"]
Chunks = Iterable[Sequence[Point]]


class SeriesQuestion(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"from_step": "from", "to_step": "to"},
):
    """What is asked: the points of the series `name` of executions, up to `points` of each.

    A range is from one step to another, both included; points without a step are in none.
    """

    executions: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_EXECUTIONS)]
    name: str
    points: Annotated[int, msgspec.Meta(ge=10, le=MAX_POINTS)] | None = None
    from_step: Whole | None = None
    to_step: Whole | None = None


def checked(question: SeriesQuestion) -> SeriesQuestion:
    """A question whose parts a caller put together, as it would come from elsewhere.

    Raises:
        BadQuestion: a part of it is out of bounds, or of another type.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(question), SeriesQuestion)
    except (msgspec.ValidationError, TypeError, OverflowError) as exc:
        raise BadQuestion(f"no question for points: {exc}") from exc


def series_of(store: Store, execution: str) -> SeriesList:
    """Each series of an execution in few words; one without points is left out.

    Raises:
        UnknownKey: there is no such execution.
    """
    (known,) = _executions(store, [execution])
    told = (_summary_of(name, lambda name=name: store.points(execution, name)) for name in known.series)  # type: ignore[misc]
    return SeriesList(execution=execution, series=tuple(summary for summary in told if summary))


def points_of(store: Store, question: SeriesQuestion) -> SeriesOfMany:
    """The points of one series of executions.

    Raises:
        UnknownKey: one of the executions is not known, or none of them has this series.
        BadQuestion: the answer would be too large, or the range ends before it begins.
    """
    limit = _limit(question)
    known = _executions(store, question.executions)
    having = [execution for execution in known if question.name in execution.series]
    if not having:
        raise UnknownKey(question.name, tuple(sorted({name for execution in known for name in execution.series})))
    return SeriesOfMany(
        name=question.name,
        series=tuple(_series(store, execution.key, question, limit) for execution in having),
        without=tuple(execution.key for execution in known if execution not in having),
    )


def in_order(points: Iterable[Point]) -> list[Point]:
    """The points in the order of a series."""
    found = list(points)
    return sorted(found, key=_ORDERS[_axis(found)])


def _executions(store: Store, keys: Iterable[str]) -> list[Execution]:
    asked = list(dict.fromkeys(keys))
    found = {node.key: node for node in store.nodes(asked)}
    known = [found.get(key) for key in asked]
    for key, node in zip(asked, known, strict=True):
        if not isinstance(node, Execution):
            raise UnknownKey(key)
    return known  # type: ignore[return-value]


def _limit(question: SeriesQuestion) -> int:
    """How many points of each execution the answer may have."""
    count = len(question.executions)
    if question.points is not None and question.points * count > MAX_POINTS:
        raise BadQuestion(
            f"{question.points} points of each of {count} executions; an answer has at most {MAX_POINTS} points"
        )
    if None not in (question.from_step, question.to_step) and question.from_step > question.to_step:  # type: ignore[operator]
        raise BadQuestion(f"the range from step {question.from_step} to step {question.to_step} ends before it begins")
    return question.points or min(DEFAULT_POINTS, MAX_POINTS // count)


def _series(store: Store, execution: str, question: SeriesQuestion, limit: int) -> Series:
    def chunks() -> Chunks:
        return _within(store.points(execution, question.name), question.from_step, question.to_step)

    extent = _Extent(limit)
    for rows in chunks():
        extent.take(rows)
    if extent.total <= limit:
        points = in_order(extent.kept)
        summary = _summary_of(question.name, lambda: [points])
    else:
        parts = _parts(chunks(), extent, limit)
        points = _kept(parts, extent.axis)
        summary = _joined(parts, extent.axis).summary(question.name)
    return Series(
        execution=execution,
        name=question.name,
        from_step=question.from_step,
        to_step=question.to_step,
        summary=summary,
        method="all" if extent.total <= limit else "m4",
        points=tuple(points),
    )


def _within(chunks: Chunks, first: int | None, last: int | None) -> Iterator[Sequence[Point]]:
    least, greatest = -math.inf if first is None else first, math.inf if last is None else last
    for rows in chunks:
        if first is None and last is None:
            yield rows
        elif kept := [row for row in rows if row[0] is not None and least <= row[0] <= greatest]:
            yield kept


# Tuples by position, not by name: these run once a point, and of points there may be millions.
_ORDERS: Final[dict[Axis, Callable[[Point], Any]]] = {"step": itemgetter(0, 1), "time": itemgetter(1)}
_PLACES: Final[dict[Axis, Callable[[Point], Any]]] = {"step": itemgetter(0), "time": itemgetter(1)}


def _axis(points: Iterable[Point]) -> Axis:
    return "time" if None in [point[0] for point in points] else "step"


class _Extent:
    """What must be known before points can be thinned out; the points themselves while they are few."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        self.kept: list[Point] = []
        self.axis: Axis = "step"
        self.tagged = False
        self._limit = limit
        self._ends: dict[Axis, tuple[float, float]] = {"step": (math.inf, -math.inf), "time": (math.inf, -math.inf)}

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest place on the axis."""
        return self._ends[self.axis]

    def take(self, rows: Sequence[Point]) -> None:
        """Take in points."""
        if not rows:
            return
        self.total += len(rows)
        if self.total <= self._limit:
            self.kept.extend(rows)
        self.tagged = self.tagged or dict in {*map(type, map(itemgetter(2), rows))}
        if self.axis == "step":
            self.axis = _axis(rows)
        axes: tuple[Axis, ...] = ("time", "step") if self.axis == "step" else ("time",)
        for axis in axes:
            places = [*map(_PLACES[axis], rows)]
            least, greatest = self._ends[axis]
            self._ends[axis] = min(least, *places), max(greatest, *places)


def _parts(chunks: Chunks, extent: _Extent, limit: int) -> dict[int, _Corners]:
    """The corners of each part of the axis that has points, of as many parts as their corners may be shown of."""
    count = limit // (7 if extent.tagged else 4)
    place, order = _PLACES[extent.axis], _ORDERS[extent.axis]
    least, greatest = extent.ends
    width = (greatest - least) or 1

    def part(row: Point) -> int:
        # What was recorded since the extent was taken may lie beyond it.
        return min(max(int((place(row) - least) * count / width), 0), count - 1)

    parts: dict[int, _Corners] = {}
    for rows in chunks:
        ordered = sorted(rows, key=order)
        start = 0
        while start < len(ordered):
            number = part(ordered[start])
            end = bisect_right(ordered, number, lo=start, key=part)
            parts.setdefault(number, _Corners(extent.axis)).take(ordered[start:end])
            start = end
    return dict(sorted(parts.items()))


def _kept(parts: dict[int, _Corners], axis: Axis) -> list[Point]:
    """The corners of all parts, each point once, in order."""
    kept: list[Point] = []
    for corners in parts.values():
        seen = {id(point): point for point in corners.points()}
        kept += sorted(seen.values(), key=_ORDERS[axis])
    return kept


def _summary_of(name: str, read: Callable[[], Chunks]) -> SeriesSummary | None:
    for axis in _ORDERS:
        corners = _Corners(axis)
        for rows in read():
            if axis == "step" and _axis(rows) == "time":
                break  # the whole series is in order of time, then
            corners.take(sorted(rows, key=_ORDERS[axis]))
        else:
            return corners.summary(name) if corners.total else None
    raise AssertionError("time has room for every point")


def _joined(parts: dict[int, _Corners], axis: Axis) -> _Corners:
    whole = _Corners(axis)
    for corners in parts.values():
        whole.join(corners)
    return whole


class _Corners:
    """What stands for many points: the first, the last, the least, the greatest, the first of each not finite."""

    def __init__(self, axis: Axis) -> None:
        self.axis: Axis = axis
        self.total = 0
        self.first: Point | None = None
        self.last: Point | None = None
        self.least: Point | None = None
        self.greatest: Point | None = None
        self.odd: dict[str, Point] = {}
        """The first point with each value that is not finite, by its tag."""
        self.odd_counts: dict[str, int] = {}

    def take(self, rows: Sequence[Point]) -> None:
        """Take in points, which are in order."""
        if not rows:
            return
        self.total += len(rows)
        self._ends(rows[0], rows[-1])
        values = [row[2] for row in rows]
        if {*map(type, values)} == {float}:  # as good as always, and then none is NaN: JSON has no word for it
            self._extremes(rows[values.index(min(values))], rows[values.index(max(values))])  # type: ignore[type-var]
            return
        finite: list[Point] = []
        for row in rows:
            number = _number(row)
            if isinstance(number, float) and not math.isfinite(number):
                self._take_odd(row)
            else:
                finite.append(row)
        if finite:
            self._extremes(min(finite, key=_number), max(finite, key=_number))

    def join(self, other: _Corners) -> None:
        """Take in what stands for others."""
        self.total += other.total
        self._ends(other.first, other.last)
        self._extremes(other.least, other.greatest)
        for tag, point in other.odd.items():
            self._earlier_odd(tag, point)
            self.odd_counts[tag] = self.odd_counts.get(tag, 0) + other.odd_counts[tag]

    def points(self) -> Iterator[Point]:
        """What stands for them; a point may come more than once."""
        corners = (self.first, self.least, self.greatest, self.last, *self.odd.values())
        return (point for point in corners if point is not None)

    def summary(self, name: str) -> SeriesSummary:
        """A series in few words, when it has points."""
        assert self.first and self.last
        nan = self.odd_counts.get("NaN", 0)
        return SeriesSummary(
            name=name,
            axis=self.axis,
            total=self.total,
            nan=nan,
            infinite=sum(self.odd_counts.values()) - nan,
            first=self.first,
            last=self.last,
            least=self.least,
            greatest=self.greatest,
        )

    def _ends(self, first: Point | None, last: Point | None) -> None:
        order = _ORDERS[self.axis]
        if first and (self.first is None or order(first) < order(self.first)):
            self.first = first
        if last and (self.last is None or order(last) >= order(self.last)):
            self.last = last

    def _extremes(self, least: Point | None, greatest: Point | None) -> None:
        order = _ORDERS[self.axis]
        if least and (self.least is None or (_number(least), order(least)) < (_number(self.least), order(self.least))):
            self.least = least
        if greatest and (
            self.greatest is None
            or (-_number(greatest), order(greatest)) < (-_number(self.greatest), order(self.greatest))
        ):
            self.greatest = greatest

    def _take_odd(self, row: Point) -> None:
        tag: str = row[2]["$number"]  # type: ignore[index]
        self._earlier_odd(tag, row)
        self.odd_counts[tag] = self.odd_counts.get(tag, 0) + 1

    def _earlier_odd(self, tag: str, point: Point) -> None:
        order = _ORDERS[self.axis]
        if tag not in self.odd or order(point) < order(self.odd[tag]):
            self.odd[tag] = point


def _number(point: Point) -> float:
    number: float = from_json(point[2])  # type: ignore[arg-type]
    return number
