"""What was measured: a figure is ours beside its limit, a section is figures of one kind with what their limit is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["s", "ms", "µs", "MiB", "MiB/s", "records/s", "operations/s"]


@dataclass(frozen=True)
class Figure:
    """One line of a table. `beside` is what else was seen, in words."""

    name: str
    ours: float
    unit: Unit
    limit: float | None = None
    target: str = ""
    beside: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the time of the limit ours takes."""
        if not self.limit or not self.ours:
            return None
        return self.limit / self.ours if self.unit.endswith("/s") else self.ours / self.limit


@dataclass
class Section:
    """A table. `limit` says in a sentence what its limits are."""

    title: str
    limit: str
    figures: list[Figure] = field(default_factory=list)


def median(seconds: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(seconds)


def p95(seconds: Sequence[float]) -> float:
    """The one that 95 of 100 do not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


def number(value: float) -> str:
    """A value with three digits that count.

    >>> number(0.01234), number(3.14159), number(21.5), number(20499.7)
    ('0.0123', '3.14', '21.5', '20,500')
    """
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.3g}"
