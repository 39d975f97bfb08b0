"""The points of fine-grained metrics, gathered so that each costs next to nothing."""

from __future__ import annotations

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

    def __init__(self, execution: str, record: Callable[[Sequence[Operation]], None]) -> None:
        self._execution = execution
        self._record = record
        self._lock = threading.Lock()
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._chunks: dict[str, int] = defaultdict(int)
        self._timer: threading.Timer | None = None
        self._problem: Exception | None = None

    def add(self, series: str, value: object, step: int | None) -> None:
        """Take in a point.

        Raises:
            InvalidValue: the value is no number.
            CmfError: points before it could not be written in the background.
        """
        row = (step, time.time(), _number(value, series))
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
            self._record(self.take())

    def take(self) -> list[PutPoints]:
        """The points gathered so far, as operations to write."""
        with self._lock:
            self._raise_problem()
            return self._take()

    def close(self) -> list[PutPoints]:
        """The last points; the timer is stopped."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            self._raise_problem()
            return self._take()

    def _take(self) -> list[PutPoints]:
        taken = []
        for series, rows in self._rows.items():
            chunk = self._chunks[series]
            taken.append(PutPoints(execution=self._execution, series=series, chunk=chunk, rows=tuple(rows)))
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
            operations = self._take()
        try:
            if operations:
                self._record(operations)
        except Exception as exc:  # told to the next caller: nobody hears a timer's thread
            self._problem = exc

    def _raise_problem(self) -> None:
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem


def _number(value: object, series: str) -> Number:
    if type(value) is float and value - value == 0.0:  # finite; the hot path
        return value
    number = to_json(value, f"metric {series!r}")
    if isinstance(number, bool) or not isinstance(number, int | float | dict):
        raise InvalidValue(f"metric {series!r}: {value!r} is no number; text and the like are properties")
    if isinstance(number, dict) and set(number) != {"$number"}:
        raise InvalidValue(f"metric {series!r}: {value!r} is no number; text and the like are properties")
    return number
