"""The points of fine-grained metrics, gathered so that each costs next to nothing."""

from __future__ import annotations

import operator
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from cmf.core.errors import InvalidValue
from cmf.core.model import Number, Point
from cmf.core.operations import MAX_ROWS, Operation, PutPoints
from cmf.core.values import as_float, check_name, to_json

CHUNK_ROWS: Final = MAX_ROWS
"""As many as an operation may have: a write, and with it a wait for the disk, costs much more than a point."""

FLUSH_SECONDS: Final = 1.0
"""The longest time that a point stays in memory only."""

OPEN_ROWS: Final = 16
"""A chunk with fewer points than this is told again, with those that have come since.

So points that trickle, one a second, do not become a chunk each in every graph. They cost some bytes more in the
journal: up to fifteen points that it already has.
"""

_INF: Final = float("inf")


_forks = 0
"""How often this process was forked."""

_generation = 0
"""How many forks lie between this process and the one that began; asking for a process's id costs more."""


def _count_fork() -> None:
    global _forks
    _forks += 1


def _count_generation() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_parent=_count_fork, after_in_child=_count_generation)


class _Gathered:
    """The points of a series from the last chunk on that may be told again; `told` of them are written."""

    __slots__ = ("chunk", "rows", "told")

    def __init__(self, chunk: int) -> None:
        self.chunk = chunk
        self.rows: list[Point] = []
        self.told = 0


class PointBuffer:
    """The points of one execution that are not written yet, by series.

    `record` writes operations to the journal; it is called from the thread that adds the point that fills a
    chunk, and from a timer; by one of them at a time, so that of two tellings of a chunk the later has more.
    An execution that another process may record too (`only_process=False`) gets chunks with numbers from some
    block of their own, as in a forked child: with equal numbers the later would take the place of the earlier.
    """

    _problem: Exception | None

    def __init__(
        self, execution: str, record: Callable[[Sequence[Operation]], None], *, only_process: bool = True
    ) -> None:
        self._execution = execution
        self._record = record
        self._begin(first_chunk=0 if only_process else _some_block())

    @property
    def may_have_points(self) -> bool:
        """Whether this process added points, or may have children that did."""
        return bool(self._series) or self._forks != _forks

    def add(self, series: str, value: object, step: object) -> None:
        """Take in a point.

        Raises:
            InvalidValue: the value is no number, or the step no whole one.
            CmfError: points before it could not be written in the background; it is taken in all the same.
        """
        if self._born != _generation:
            self._leave_parent()
        # The two hot paths without a call: a float that is finite, and a step that is a small whole number.
        number = value if type(value) is float and -_INF < value < _INF else _number(value, series)
        whole = step if step is None or (type(step) is int and 0 <= step < 2**53) else _step(step, series)
        if series not in self._series:
            check_name(series, "the metric's name")
        with self._lock:
            gathered = self._series[series]
            gathered.rows.append((whole, time.time(), number))  # type: ignore[arg-type]  # a Point costs twice as much
            if self._problem is not None:
                self._raise_problem()
            full = len(gathered.rows) >= CHUNK_ROWS
            if self._timer is None and not full:
                self._start_timer()
        if full:
            self.write()

    def write(self, operations: Sequence[Operation] = ()) -> None:
        """Record the points gathered so far, and operations behind them. If that fails, the points stay gathered."""
        self._leave_parent()
        with self._writing:
            points = self._untold()
            if points or operations:
                self._record([*points, *operations])
            self._settle(points)

    def close(self) -> list[PutPoints]:
        """The last points; the timer is stopped."""
        self._leave_parent()
        with self._writing:
            points = self._untold()
            self._settle(points)
        if self._timer:
            self._timer.cancel()
        return points

    def _begin(self, first_chunk: int) -> None:
        self._born = _generation
        self._forks = _forks
        self._lock = threading.Lock()
        self._writing = threading.RLock()
        self._series: dict[str, _Gathered] = defaultdict(lambda: _Gathered(first_chunk))
        self._timer: threading.Timer | None = None
        self._problem = None

    def _leave_parent(self) -> None:
        """In a forked child: the points gathered so far are the parent's, and so are the numbers of its chunks."""
        if self._born != _generation:
            self._begin(first_chunk=_some_block())

    def _untold(self) -> list[PutPoints]:
        """The operations that write what is not written yet."""
        with self._lock:
            self._problem = None  # what could not be written in the background is written now, or says so itself
            return [
                PutPoints(
                    execution=self._execution,
                    series=series,
                    chunk=of.chunk + start // CHUNK_ROWS,
                    rows=tuple(of.rows[start : start + CHUNK_ROWS]),
                )
                for series, of in self._series.items()
                if len(of.rows) > of.told
                # More than one chunk's worth is there when writing failed meanwhile.
                for start in range(0, len(of.rows), CHUNK_ROWS)
            ]

    def _settle(self, points: Sequence[PutPoints]) -> None:
        """Let go of what is written, but for a chunk that may be told again."""
        with self._lock:
            for put in points:
                of = self._series[put.series]
                of.chunk = put.chunk
                if len(put.rows) < OPEN_ROWS:
                    of.told = len(put.rows)
                else:
                    del of.rows[: len(put.rows)]
                    of.chunk, of.told = put.chunk + 1, 0

    def _start_timer(self) -> None:
        self._timer = threading.Timer(FLUSH_SECONDS, self._flush)
        self._timer.daemon = True
        self._timer.start()

    def _flush(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.write()
        except Exception as exc:  # told to the next caller: nobody hears a timer's thread
            self._problem = exc

    def _raise_problem(self) -> None:
        if (problem := self._problem) is not None:
            self._problem = None
            raise problem


def _some_block() -> int:
    return (1 + secrets.randbits(31)) << 21


def _step(step: object, series: str) -> int:
    try:
        whole = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        whole = -(2**53)
    if isinstance(step, bool) or not -(2**53) < whole < 2**53:
        raise InvalidValue(f"metric {series!r}: step {step!r} is no whole number below 2**53")
    return int(whole)


def _number(value: object, series: str) -> Number:
    if isinstance(value, float) and -_INF < value < _INF:  # numpy's float64 is one
        return float(value)
    number = to_json(value, f"metric {series!r}")
    if isinstance(number, dict) and number.keys() == {"$number"}:
        if isinstance(value, int) and abs(as_float(number)) == _INF:
            raise InvalidValue(f"metric {series!r}: an integer that no float can hold; record it as a property")
        return number  # type: ignore[return-value]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidValue(f"metric {series!r}: {value!r} is no number; text and the like are properties")
    return number
