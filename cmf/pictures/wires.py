"""Arrows: smooth between columns, level within them, with a head that tells which way the data went."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from xml.sax.saxutils import escape

from cmf.pictures.layout import Point, Wire
from cmf.pictures.widths import px, width_of

_HEAD = 8.0
_LABEL_SIZE = 10.5
_ROW = 13.0
# Where along its first curve a label may stand, the best place first.
_PLACES = (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75)


def draw_wire(wire: Wire) -> str:
    """The line and its head. The head is a triangle of its own: markers cannot take the line's colour everywhere."""
    x, y = wire.points[-1]
    ahead = -1.0 if wire.back else 1.0
    points = [*wire.points[:-1], (x - ahead * (_HEAD - 2), y)]
    tip, heel = x - ahead, x - ahead * _HEAD
    return (
        f'<path class="line" d="{_curve(points)}"/>'
        f'<path class="head hue" d="M{px(tip)} {px(y)}L{px(heel)} {px(y - 4)}V{px(y + 4)}Z"/>'
    )


def _curve(points: Sequence[Point]) -> str:
    x, y = points[0]
    path = [f"M{px(x)} {px(y)}"]
    for index, (next_x, next_y) in enumerate(points[1:]):
        if next_y == y or index % 2 == 1:  # within a column, where a wire is level
            path.append(f"L{px(next_x)} {px(next_y)}")
        else:
            middle = (x + next_x) / 2
            path.append(f"C{px(middle)} {px(y)} {px(middle)} {px(next_y)} {px(next_x)} {px(next_y)}")
        x, y = next_x, next_y
    return "".join(path)


def place_labels(wires: Sequence[Wire], labels: Sequence[str]) -> str:
    """The labels, each on the curve at the left end of its wire, where the fewest other wires pass.

    One that finds no free place stays off: a wire's hover text says its path in any case.
    """
    passing = _Passing(wires)
    taken: dict[tuple[float, int], list[Point]] = defaultdict(list)  # by gap and row: left and right ends
    drawn = []
    for wire, label in zip(wires, labels, strict=True):
        if not label:
            continue
        start, end = wire.points[:2] if not wire.back else (wire.points[-1], wire.points[-2])
        half = width_of(label, _LABEL_SIZE) / 2
        for x, y in _places(start, end, half, passing):
            rows = [(start[0], int(y // _ROW) + step) for step in (-1, 0, 1)]
            if all(x + half < left or right < x - half for row in rows for left, right in taken[row]):
                taken[rows[1]].append((x - half - 4, x + half + 4))
                drawn.append(f'<text class="wire-label mid" x="{px(x)}" y="{px(y + 3.5)}">{escape(label)}</text>')
                break
    return "".join(drawn)


class _Passing:
    """How many wires are near a point of a gap."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        heights: dict[tuple[float, float], list[float]] = defaultdict(list)
        for wire in wires:
            points = sorted(wire.points)
            for start, end in zip(points[::2], points[1::2], strict=True):
                for t in _PLACES:
                    heights[start[0], t].append(_height(start, end, t))
        self._heights = {place: sorted(all_heights) for place, all_heights in heights.items()}

    def number(self, start: Point, end: Point, t: float) -> int:
        heights, y = self._heights[start[0], t], _height(start, end, t)
        return bisect_right(heights, y + 9) - bisect_left(heights, y - 9)


def _places(start: Point, end: Point, half: float, passing: _Passing) -> list[Point]:
    """Points on the curve at which a label of that half width touches neither column, the best first."""
    places = []
    for t in sorted(_PLACES, key=lambda t: passing.number(start, end, t)):
        across = 1.5 * t - 1.5 * t * t + t**3
        x = start[0] + (end[0] - start[0]) * across
        x = min(max(x, start[0] + half + 6), end[0] - half - 14)
        if x - half >= start[0]:
            places.append((x, _height(start, end, t)))
    return places


def _height(start: Point, end: Point, t: float) -> float:
    return start[1] + (end[1] - start[1]) * (3 * t * t - 2 * t**3)
