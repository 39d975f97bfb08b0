"""A series as a line of eight heights: `█▆▄▃▂▂▁▁`."""

from __future__ import annotations

import math

from cmf.core.model import Point, Series
from cmf.core.values import as_float

_HEIGHTS = "▁▂▃▄▅▆▇█"
_GAP = " "
_ODD = "×"


def sparkline(series: Series, width: int) -> str:
    """The line of a series, `width` columns wide, along its steps or its time.

    A column shows the last value in it, `×` where that is not finite, and a gap where there is none. Values of
    any size are drawn between the least and the greatest that are shown.
    """
    columns = _columns(series, width)
    finite = [value for value in columns if value is not None and math.isfinite(value)]
    least, greatest = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_drawn(value, least, greatest) for value in columns)


def _columns(series: Series, width: int) -> list[float | None]:
    columns: list[float | None] = [None] * width
    if series.summary is None:
        return columns
    places = [_place(point, series.summary.axis) for point in series.points]
    span = (places[-1] - places[0]) or 1
    for place, point in zip(places, series.points, strict=True):
        columns[min(int((place - places[0]) * width / span), width - 1)] = as_float(point[2])
    return columns


def _place(point: Point, axis: str) -> float:
    step, time, _ = point
    return time if axis == "time" or step is None else step


def _drawn(value: float | None, least: float, greatest: float) -> str:
    if value is None:
        return _GAP
    if not math.isfinite(value):
        return _ODD
    # Halves, since the difference of two doubles may be beyond all doubles.
    span = greatest / 2 - least / 2
    share = (value / 2 - least / 2) / span if span else 0.5
    return _HEIGHTS[min(int(share * len(_HEIGHTS)), len(_HEIGHTS) - 1)]
