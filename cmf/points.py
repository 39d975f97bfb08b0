"""The points of fine-grained metrics, gathered so that each costs next to nothing."""

from __future__ import annotations

import operator
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from cmf.core.errors import InvalidValue
from cmf.core.operations import Number, Operation, PutPoints
from cmf.core.values import check_name, to_json

CHUNK_ROWS = 1_000
FLUSH_SECONDS = 1.0
"""The longest time that a point stays in memory only."""

Row = tuple[int | None, float, Number]


class PointBuffer:
    """The points of one execution that are not written yet, by series.

    `record` writes operations to the journal; it is called from the thread that adds the point that fills a
    chunk, and from a timer.
    """

    _problem: Exception | None

    def __init__(self, execution: str, record: Callable[[Sequence[Operation]], None]) -> None:
        self._execution = execution
        self._record = record
        self._begin(first_chunk=0)

    def add(self, series: str, value: object, step: object) -> None:
        """Take in a point.

        Raises:
            InvalidValue: the value is no number, or the step no whole one.
            CmfError: points before it could not be written in the background.
        """
        self._leave_parent()
        row = (_step(step, series), time.time(), _number(value, series))
        if series not in self._chunks:
            check_name(series, "the metric's name")
        with self._lock:
            self._raise_problem()
            rows = self._rows[series]
            rows.append(row)
            full = len(rows) >= CHUNK_ROWS
            if self._timer is None and not full:
                self._start_timer()
        if full:
            self.write()

    def write(self, operations: Sequence[Operation] = ()) -> None:
        """Record the points gathered so far, and operations behind them. If that fails, the points stay gathered."""
        points = self._taken()
        try:
            if points or operations:
                self._record([*points, *operations])
        except BaseException:
            self._give_back(points)
            raise

    def close(self) -> list[PutPoints]:
        """The last points; the timer is stopped."""
        points = self._taken()
        if self._timer:
            self._timer.cancel()
        return points

    def _taken(self) -> list[PutPoints]:
        """The points gathered so far, as operations to write."""
        self._leave_parent()
        with self._lock:
            self._problem = None  # what could not be written in the background is written now, or says so itself
            return self._take()

    def _give_back(self, points: Sequence[PutPoints]) -> None:
        # They get a new number when they are taken again: a gap is harmless, and the old one may be passed.
        with self._lock:
            for chunk in reversed(points):
                self._rows[chunk.series] = [*chunk.rows, *self._rows[chunk.series]]

    def _begin(self, first_chunk: int) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._chunks: dict[str, int] = defaultdict(lambda: first_chunk)
        self._timer: threading.Timer | None = None
        self._problem = None

    def _leave_parent(self) -> None:
        """In a forked child: the points gathered so far are the parent's, and so are the numbers of its chunks."""
        if self._process != os.getpid():
            self._begin(first_chunk=(1 + secrets.randbits(31)) << 21)

    def _take(self) -> list[PutPoints]:
        taken = []
        for series, rows in self._rows.items():
            # More than one chunk's worth is there when some were given back.
            for start in range(0, len(rows), CHUNK_ROWS):
                chunk, some = self._chunks[series], tuple(rows[start : start + CHUNK_ROWS])
                taken.append(PutPoints(execution=self._execution, series=series, chunk=chunk, rows=some))
                self._chunks[series] += 1
        self._rows.clear()
        return taken

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


def _step(step: object, series: str) -> int | None:
    if step is None or (type(step) is int and 0 <= step < 2**53):
        return step
    try:
        whole = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        whole = -(2**53)
    if isinstance(step, bool) or not -(2**53) < whole < 2**53:
        raise InvalidValue(f"metric {series!r}: step {step!r} is no whole number below 2**53")
    return int(whole)


def _number(value: object, series: str) -> Number:
    if type(value) is float and value - value == 0.0:  # finite; the hot path
        return value
    number = to_json(value, f"metric {series!r}")
    if isinstance(number, bool) or not isinstance(number, int | float | dict):
        raise InvalidValue(f"metric {series!r}: {value!r} is no number; text and the like are properties")
    if isinstance(number, dict) and set(number) != {"$number"}:
        raise InvalidValue(f"metric {series!r}: {value!r} is no number; text and the like are properties")
    return number
