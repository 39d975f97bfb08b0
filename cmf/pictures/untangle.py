"""The order of vertices within their columns: barycentre sweeps, of which the one with the fewest crossings is kept."""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import pairwise

Ranks = list[list[int]]
Ways = list[list[int]]


def untangle(ranks: Ranks, left: Ways, right: Ways, *, sweeps: int) -> Ranks:
    """Each column's vertices, top to bottom; `left` and `right` are each vertex's neighbours on that side."""
    best = ranks = _as_walked(ranks, left, right)
    fewest = _crossings(ranks, right)
    for sweep in range(sweeps):
        if fewest == 0:
            break
        ranks = _swept(ranks, left, range(1, len(ranks))) if sweep % 2 == 0 else _swept_back(ranks, right)
        ranks = _exchanged(ranks, left, right) if sweep % 4 == 3 else ranks
        crossings = _crossings(ranks, right)
        if crossings < fewest:
            best, fewest = ranks, crossings
    return _exchanged(best, left, right)


def _as_walked(ranks: Ranks, left: Ways, right: Ways) -> Ranks:
    """Begin with neighbours near each other: the order of a depth-first walk that ignores directions."""
    met: dict[int, int] = {}
    for start in (vertex for rank in ranks for vertex in rank):
        walk = [start]
        while walk:
            vertex = walk.pop()
            if vertex not in met:
                met[vertex] = len(met)
                walk.extend(reversed(right[vertex]))
                walk.extend(reversed(left[vertex]))
    return [sorted(rank, key=met.__getitem__) for rank in ranks]


def _swept_back(ranks: Ranks, right: Ways) -> Ranks:
    return _swept(ranks, right, range(len(ranks) - 2, -1, -1))


def _swept(ranks: Ranks, neighbours: Ways, through: range) -> Ranks:
    ranks = list(ranks)
    height = {vertex: place for rank in ranks for vertex, place in _heights(rank)}
    for column in through:
        centre = {
            vertex: _mean([height[other] for other in neighbours[vertex]], height[vertex]) for vertex in ranks[column]
        }
        ranks[column] = sorted(ranks[column], key=centre.__getitem__)
        height.update(_heights(ranks[column]))
    return ranks


def _heights(rank: list[int]) -> list[tuple[int, float]]:
    return [(vertex, (place + 0.5) / len(rank)) for place, vertex in enumerate(rank)]


def _mean(numbers: list[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _crossings(ranks: Ranks, right: Ways) -> int:
    """How many pairs of edges cross between neighbouring columns: inversions of the ends, in order of the starts."""
    number = 0
    for rank, following in pairwise(ranks):
        place = {vertex: index for index, vertex in enumerate(following)}
        seen: list[int] = []
        for vertex in rank:
            ends = sorted(place[other] for other in right[vertex] if other in place)
            number += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return number


def _exchanged(ranks: Ranks, left: Ways, right: Ways) -> Ranks:
    """Swap vertices that stand next to each other where that undoes crossings, which barycentres leave behind."""
    ranks = [list(rank) for rank in ranks]
    place = {vertex: index for rank in ranks for index, vertex in enumerate(rank)}
    for rank in ranks:
        for index in range(len(rank) - 1):
            upper, lower = rank[index], rank[index + 1]
            if _tangle(upper, lower, left, right, place) > _tangle(lower, upper, left, right, place):
                rank[index], rank[index + 1] = lower, upper
                place[lower], place[upper] = index, index + 1
    return ranks


def _tangle(upper: int, lower: int, left: Ways, right: Ways, place: dict[int, int]) -> int:
    number = 0
    for side in (left, right):
        below = sorted(place[other] for other in side[lower])
        number += sum(_before(below, place[other]) for other in side[upper])
    return number


def _before(ordered: list[int], place: int) -> int:
    return bisect_right(ordered, place - 1)
