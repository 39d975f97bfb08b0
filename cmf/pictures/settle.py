"""Heights: each vertex as near to its neighbours as its column's order and spacing allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column's vertices, top to bottom, and how far each centre must stay below the one before it."""

    vertices: Sequence[int]
    apart: Sequence[float]


def settle(
    columns: Sequence[Column],
    left: Sequence[Sequence[int]],
    right: Sequence[Sequence[int]],
    pull: Callable[[int, int], float],
    *,
    rounds: int,
) -> dict[int, float]:
    """The height of each vertex's centre; `pull(a, b)` says how strongly an edge wants to be level."""
    height = {vertex: place for column in columns for vertex, place in _stacked(column)}

    def level(column: Column, sides: Sequence[Sequence[Sequence[int]]]) -> None:
        wishes = [_wish(vertex, sides, height, pull) for vertex in column.vertices]
        height.update(zip(column.vertices, spread(wishes, column.apart), strict=True))

    for _ in range(rounds):
        for column in columns[1:]:
            level(column, [left])
        for column in reversed(columns[:-1]):
            level(column, [right])
    for _ in range(rounds // 2):
        for column in columns:
            level(column, [left, right])
    return height


def _stacked(column: Column) -> list[tuple[int, float]]:
    place, places = 0.0, []
    for apart in column.apart:
        place += apart
        places.append(place)
    return [(vertex, place - places[-1] / 2) for vertex, place in zip(column.vertices, places, strict=True)]


def _wish(
    vertex: int,
    sides: Sequence[Sequence[Sequence[int]]],
    height: dict[int, float],
    pull: Callable[[int, int], float],
) -> tuple[float, float]:
    """Where a vertex would stand if it were alone, and how much that matters."""
    strength = place = 0.0
    for side in sides:
        for other in side[vertex]:
            force = pull(vertex, other)
            strength += force
            place += force * height[other]
    return (place / strength, strength) if strength else (height[vertex], 0.1)


def spread(wishes: Sequence[tuple[float, float]], apart: Sequence[float]) -> list[float]:
    """The places nearest to the wishes (least squares by strength) in this order and `apart` from each other.

    Isotonic regression by pooling neighbours: with the spacing taken off, places need only not decrease.
    """
    offset, offsets = 0.0, []
    pools: list[tuple[float, float, int]] = []  # place, strength, members
    for (wish, strength), space in zip(wishes, apart, strict=True):
        offset += space
        offsets.append(offset)
        pool = (wish - offset, strength, 1)
        while pools and pools[-1][0] > pool[0]:
            above = pools.pop()
            total = above[1] + pool[1]
            pool = ((above[0] * above[1] + pool[0] * pool[1]) / total, total, above[2] + pool[2])
        pools.append(pool)
    places = (place for place, _, members in pools for _ in range(members))
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
