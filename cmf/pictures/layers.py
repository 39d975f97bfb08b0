"""From a graph that may hold cycles to columns: which edges lead back, and in which column each vertex stands.

Vertices are integers in the order of their keys, so that equal graphs give equal columns.
"""

from __future__ import annotations

from collections.abc import Sequence

Pair = tuple[int, int]

_CROWD = 16  # so many ends may stand in one column


def back_edges(count: int, edges: Sequence[Pair], known: frozenset[int] = frozenset()) -> frozenset[int]:
    """The indexes of edges that close a cycle in a depth-first walk from the sources, and those known to; without
    them no cycle is left.
    """
    leaving: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    onward = [(pair, index) for index, pair in enumerate(edges) if index not in known]
    for (source, target), index in onward:
        leaving[source].append((target, index))
    for ways in leaving:
        ways.sort()
    back: set[int] = set(known)
    state = [0] * count  # 0 unseen, 1 on the walk, 2 left for good
    for start in _sources_first(count, [pair for pair, _ in onward]):
        if state[start] == 0:
            _walk(start, leaving, state, back)
    return frozenset(back)


def _sources_first(count: int, edges: Sequence[Pair]) -> list[int]:
    entered = {target for _, target in edges}
    return sorted(range(count), key=lambda vertex: (vertex in entered, vertex))


def _walk(start: int, leaving: list[list[tuple[int, int]]], state: list[int], back: set[int]) -> None:
    state[start] = 1
    walk = [(start, iter(leaving[start]))]
    while walk:
        vertex, ways = walk[-1]
        for target, index in ways:
            if state[target] == 1:
                back.add(index)
            elif state[target] == 0:
                state[target] = 1
                walk.append((target, iter(leaving[target])))
                break
        else:
            state[vertex] = 2
            walk.pop()


def columns(count: int, edges: Sequence[Pair], least: Sequence[int]) -> list[int]:
    """The column of each vertex, by the longest path from a source; `edges` hold no cycle.

    `least` is the leftmost column a vertex may take: 0 for artifacts and 1 for executions keeps the two in columns
    of their own. A vertex with more ways out than in then moves right, next to what uses it, which shortens edges; and
    where very many have nothing on their far side, some stand aside, in columns of their own.
    """
    into: list[list[int]] = [[] for _ in range(count)]
    out_of: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        out_of[source].append(target)
        into[target].append(source)
    order = _topological(into, out_of)
    column = list(least)
    for vertex in order:
        column[vertex] = max([column[vertex], *(column[before] + 1 for before in into[vertex])])
    for vertex in reversed(order):
        if len(out_of[vertex]) > len(into[vertex]):
            column[vertex] = min(column[after] for after in out_of[vertex]) - 1
    _stand_aside(column, [vertex for vertex in order if not out_of[vertex]], 2)
    _stand_aside(column, [vertex for vertex in order if not into[vertex]], -2)
    taken = {old: new for new, old in enumerate(sorted(set(column)))}
    return [taken[old] for old in column]


def _stand_aside(column: list[int], ends: list[int], step: int) -> None:
    crowds: dict[int, list[int]] = {}
    for vertex in sorted(ends):
        crowds.setdefault(column[vertex], []).append(vertex)
    for crowd in crowds.values():
        # Rows first, so that the order of a crowd reads line by line; three columns, for each one more lets wires pass.
        abreast = min(3, -(-len(crowd) // _CROWD))
        for place, vertex in enumerate(crowd):
            column[vertex] += step * (place % abreast)


def _topological(into: list[list[int]], out_of: list[list[int]]) -> list[int]:
    waiting = [len(before) for before in into]
    order = [vertex for vertex, number in enumerate(waiting) if number == 0]
    for vertex in order:  # grows while it is walked
        for after in out_of[vertex]:
            waiting[after] -= 1
            if waiting[after] == 0:
                order.append(after)
    return order
