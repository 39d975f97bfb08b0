"""Where everything stands: cards in columns along the data, and wires that lead around cards.

A layered drawing: edges that close a cycle are set aside, columns follow the longest path, a wire over several
columns gets room of its own in each of them, order and heights are settled column by column.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cmf.pictures.layers import back_edges, columns
from cmf.pictures.settle import Column, settle
from cmf.pictures.untangle import untangle

ROOMY_CARDS = 400  # up to so many cards a long wire gets room of its own; beyond, it passes behind cards
_ROOMY_BENDS = 4000
_BETWEEN_CARDS = 26.0
_BETWEEN_BENDS = 12.0
_GAP = 56.0
_PORT = 14.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Card:
    """A rectangle to place, in pixels; `least_column` 1 keeps executions out of the artifacts' columns.

    `name` orders cards that nothing else orders, before `key` does.
    """

    key: str
    name: str
    width: float
    height: float
    least_column: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow to draw between two cards; `label` is the width of the text that must fit on it."""

    source: str
    target: str
    label: float = 0.0
    back: bool = False
    """Known to close a cycle; of the other links those that do are found."""


@dataclass(frozen=True, slots=True)
class Box:
    """A placed card: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Wire:
    """An arrow from its first point to its last: level within columns, curved in the gaps between them.

    `back` says that it leads against the flow, from a card's left side to another's right side.
    """

    points: tuple[Point, ...]
    back: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by key, and wires in the order of the links; everything lies within (0, 0) and (width, height)."""

    boxes: dict[str, Box]
    wires: tuple[Wire, ...]
    width: float
    height: float


def lay_out(cards: Sequence[Card], links: Sequence[Link]) -> Layout:
    """Place cards and links. Names and keys decide every tie, so the order in which cards are given does not matter."""
    if not cards:
        return Layout({}, (), 0.0, 0.0)
    return _Plan(sorted(cards, key=lambda card: (card.name, card.key)), links).layout()


class _Plan:
    """One drawing while it is made. Vertices are the cards, then the bends: one a column that a long wire passes."""

    def __init__(self, cards: Sequence[Card], links: Sequence[Link]) -> None:
        self.cards = cards
        self.links = links
        number = {card.key: index for index, card in enumerate(cards)}
        ends = [(number[link.source], number[link.target]) for link in links]
        known = frozenset(index for index, link in enumerate(links) if link.back)
        self.back = back_edges(len(cards), ends, known)
        onward = [pair for index, pair in enumerate(ends) if index not in self.back]
        self.column = columns(len(cards), onward, [card.least_column for card in cards])
        # A back edge runs left to right here as well, and is turned around when its wire is drawn.
        self.spans = [(b, a) if index in self.back else (a, b) for index, (a, b) in enumerate(ends)]
        self.chains = self._chains()
        self.left, self.right = self._neighbours()

    def layout(self) -> Layout:
        ranks: list[list[int]] = [[] for _ in range(max(self.column) + 1)]
        for vertex, column in enumerate(self.column):
            ranks[column].append(vertex)
        sweeps, rounds = (24, 12) if len(self.cards) <= ROOMY_CARDS else (4, 4)
        ranks = untangle(ranks, self.left, self.right, sweeps=sweeps)
        spaced = [Column(rank, self._apart(rank)) for rank in ranks]
        height = settle(spaced, self.left, self.right, self._pull, rounds=rounds)
        top = min(height[vertex] - self._tall(vertex) / 2 for vertex in height)
        self.middle = {vertex: round(place - top, 1) for vertex, place in height.items()}
        self.edges = self._column_edges(ranks)
        boxes = {card.key: self._box(vertex, card) for vertex, card in enumerate(self.cards)}
        wires = self._wires(boxes)
        bottom = max(place + self._tall(vertex) / 2 for vertex, place in self.middle.items())
        return Layout(boxes, wires, self.edges[-1][1], bottom)

    def _chains(self) -> list[list[int]]:
        """The vertices each link passes; short links get their room first, as long as there is room to give."""
        chains = [list(span) for span in self.spans]
        room = _ROOMY_BENDS if len(self.cards) <= ROOMY_CARDS else 0
        for index in sorted(range(len(chains)), key=lambda index: (self._length(index), self.spans[index], index)):
            length = self._length(index)
            if length < 2:
                continue
            room -= length - 1
            if room < 0:
                break
            source, target = self.spans[index]
            bends = range(len(self.column), len(self.column) + length - 1)
            self.column.extend(range(self.column[source] + 1, self.column[target]))
            chains[index] = [source, *bends, target]
        return chains

    def _length(self, index: int) -> int:
        source, target = self.spans[index]
        return self.column[target] - self.column[source]

    def _neighbours(self) -> tuple[list[list[int]], list[list[int]]]:
        left: list[list[int]] = [[] for _ in self.column]
        right: list[list[int]] = [[] for _ in self.column]
        for chain in self.chains:
            for one, other in pairwise(chain):
                if one != other:
                    right[one].append(other)
                    left[other].append(one)
        return left, right

    def _is_bend(self, vertex: int) -> bool:
        return vertex >= len(self.cards)

    def _tall(self, vertex: int) -> float:
        return 0.0 if self._is_bend(vertex) else self.cards[vertex].height

    def _apart(self, rank: Sequence[int]) -> list[float]:
        apart = [0.0]
        for upper, lower in pairwise(rank):
            bends = self._is_bend(upper) + self._is_bend(lower)
            gap = _BETWEEN_BENDS if bends == 2 else _BETWEEN_CARDS - 6 * bends
            apart.append((self._tall(upper) + self._tall(lower)) / 2 + gap)
        return apart

    def _pull(self, one: int, other: int) -> float:
        return (1.0, 2.0, 8.0)[self._is_bend(one) + self._is_bend(other)]

    def _column_edges(self, ranks: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
        """The left and right edge of each column; a gap widens for steep wires and for the labels in it."""
        steep, label = [0.0] * len(ranks), [0.0] * len(ranks)
        for link, chain in zip(self.links, self.chains, strict=True):
            for one, other in pairwise(chain):
                column = self.column[one]
                steep[column] = max(steep[column], abs(self.middle[one] - self.middle[other]))
            label[self.column[chain[0]]] = max(label[self.column[chain[0]]], link.label)
        edges, x = [], 0.0
        for column, rank in enumerate(ranks):
            width = max(self.cards[vertex].width for vertex in rank if not self._is_bend(vertex))
            edges.append((x, x + width))
            wide = label[column] + 48 if label[column] else 0.0
            x += round(width + max(_GAP + min(110.0, steep[column] / 10), wide))
        return edges

    def _box(self, vertex: int, card: Card) -> Box:
        left, _ = self.edges[self.column[vertex]]
        return Box(left, round(self.middle[vertex] - card.height / 2, 1), card.width, card.height)

    def _wires(self, boxes: dict[str, Box]) -> tuple[Wire, ...]:
        leave = self._ports([(chain[0], chain[1]) for chain in self.chains])
        enter = self._ports([(chain[-1], chain[-2]) for chain in self.chains])
        wires = []
        for index, chain in enumerate(self.chains):
            start, end = (boxes[self.cards[vertex].key] for vertex in (chain[0], chain[-1]))
            points = [(start.x + start.width, leave[index])]
            for bend in chain[1:-1]:
                points += [(x, self.middle[bend]) for x in self.edges[self.column[bend]]]
            points.append((end.x, enter[index]))
            back = index in self.back
            wires.append(Wire(tuple(reversed(points) if back else points), back))
        return tuple(wires)

    def _ports(self, sides: Sequence[tuple[int, int]]) -> list[float]:
        """The height at which each link meets its card: in the order of where it goes, so that links do not cross."""
        at: dict[int, list[int]] = defaultdict(list)
        for index, (vertex, _) in enumerate(sides):
            at[vertex].append(index)
        port = [0.0] * len(sides)
        for vertex, indexes in at.items():
            indexes.sort(key=lambda index: (self.middle[sides[index][1]], index))
            step = min(_PORT, (self._tall(vertex) - 24) / max(1, len(indexes) - 1))
            top = self.middle[vertex] - step * (len(indexes) - 1) / 2
            for place, index in enumerate(indexes):
                port[index] = round(top + step * place, 1)
        return port
