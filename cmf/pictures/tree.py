"""A lineage as a tree for the terminal: what is there, what made it, what that was made from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmf.core.model import Artifact, Edge, Execution, Lineage, Node
from cmf.pictures.labels import (
    counted,
    duration,
    pairs,
    path_label,
    printable,
    scope,
    short_key,
    size,
    state,
    title_of,
    type_of,
    where_from,
)

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

MOST_NODES = 200
MOST_LEVELS = 24
"""Deeper than this a terminal has no columns left to write in."""

_STATUS_STYLE = {"failed": "bold red", "aborted": "dark_orange", "running": "blue", "unknown": "dim"}
_MOST_PAIRS = 6


def to_tree(lineage: Lineage, *, most_nodes: int = MOST_NODES, most_levels: int = MOST_LEVELS) -> Tree:
    """A tree below each root, and a last line that says whether the answer is whole.

    A node stands whole once; met again it is only referred to: `↑ shown above`, or `↺` where a cycle closes. What
    is beyond `most_nodes` or `most_levels` is counted, with the command that shows it. Needs rich, which prints it.
    """
    return _Growing(lineage, most_nodes, most_levels).tree()


@dataclass(frozen=True, slots=True)
class _Twig:
    """A line still to be written: a node, the edge that led to it, and on which branch and level."""

    key: str
    edge: Edge | None
    branch: Tree
    level: int
    above: _Twig | None


class _Growing:
    """One tree while it is made. It is grown from a stack, for a chain may be longer than Python's."""

    def __init__(self, lineage: Lineage, most_nodes: int, most_levels: int) -> None:
        self.lineage = lineage
        self.most_nodes = most_nodes
        self.most_levels = most_levels
        self.nodes = {node.key: node for node in lineage.nodes}
        self.shown: set[str] = set()
        self.elided = False
        self.ways: dict[str, dict[str, list[Edge]]] = {"upstream": defaultdict(list), "downstream": defaultdict(list)}
        for edge in lineage.edges:
            if edge.source in self.nodes and edge.target in self.nodes:
                self.ways["upstream"][edge.target].append(edge)
                self.ways["downstream"][edge.source].append(edge)

    def tree(self) -> Tree:
        from rich.text import Text
        from rich.tree import Tree

        top = Tree("", hide_root=True, guide_style="grey50")
        for direction in ("upstream", "downstream"):
            if self.lineage.direction not in (direction, "both"):
                continue
            branch = top.add(Text(direction, style="bold underline")) if self.lineage.direction == "both" else top
            self.shown -= set(self.lineage.roots)  # with both directions, a root heads either half
            for root in self.lineage.roots:
                if root in self.nodes:
                    self._grow(root, branch, self.ways[direction], direction)
        top.add(self._last_line())
        return top

    def _grow(self, root: str, branch: Tree, ways: dict[str, list[Edge]], direction: str) -> None:
        waiting = [_Twig(root, None, branch, 0, None)]
        cut: list[tuple[Tree, str, int]] = []
        while waiting:
            twig = waiting.pop()
            grown = twig.branch.add(self._line(twig))
            if twig.key in self.shown:
                continue
            self.shown.add(twig.key)
            edges = sorted(ways.get(twig.key, ()), key=lambda edge: self._order(edge, twig.key))
            room = self.most_nodes - len(self.shown) - len(waiting) if twig.level + 1 < self.most_levels else 0
            followed = edges[: max(0, room)]
            below = [_Twig(_other(edge, twig.key), edge, grown, twig.level + 1, twig) for edge in followed]
            waiting += reversed(below)
            if len(followed) < len(edges):
                cut.append((grown, twig.key, len(edges) - len(followed)))
        for grown, key, number in cut:  # only now, to stand below what is shown
            self._elide(grown, key, number, direction)

    def _order(self, edge: Edge, key: str) -> tuple[str, str, str]:
        node = self.nodes[_other(edge, key)]
        return (node.name, node.key, edge.path)

    def _elide(self, branch: Tree, key: str, number: int, direction: str) -> None:
        from rich.text import Text

        self.elided = True
        way = "up" if direction == "upstream" else "down"
        branch.add(
            Text(f"… {number:,} more and what follows: cmf lineage {short_key(key)} --{way}", style="italic dim")
        )

    def _line(self, twig: _Twig) -> Text:
        from rich.text import Text

        node = self.nodes[twig.key]
        line = Text(no_wrap=True, overflow="ellipsis")
        root = twig.level == 0
        line.append(title_of(node), style="bold underline" if root else "bold")
        if node.retracted is not None:
            line.stylize("strike dim")
        line.append(self._under_path(twig), style="dim")
        if twig.key in self.shown:
            loops = _is_above(twig)
            line.append(f"  {short_key(node.key)}  {'↺ cycle' if loops else '↑ shown above'}", style="dim")
            return line
        _describe(line, node)
        return line

    def _under_path(self, twig: _Twig) -> str:
        path = path_label(twig.edge, self._artifact_end(twig.edge)) if twig.edge else ""
        if not twig.edge or not path:
            return ""
        if isinstance(self.nodes[twig.key], Artifact):
            return f" as {path}"
        return f" {'wrote' if twig.edge.kind == 'output' else 'read'} {path}"

    def _artifact_end(self, edge: Edge) -> Node:
        return self.nodes[edge.source if edge.kind == "input" else edge.target]

    def _last_line(self) -> Text:
        from rich.text import Text

        line = Text(f"{scope(self.lineage)} · ", style="dim")
        line.append(state(self.lineage), style="green" if self.lineage.complete else "bold dark_orange")
        hidden = len(self.nodes) - len(self.shown)
        if hidden:
            why = "not shown here" if self.elided else "not linked to a root"
            line.append(f" · {counted(hidden, 'node')} of it {why}; --format html or json has all")
        return line


def _other(edge: Edge, key: str) -> str:
    return edge.source if edge.target == key else edge.target


def _is_above(twig: _Twig) -> bool:
    above = twig.above
    while above is not None:
        if above.key == twig.key:
            return True
        above = above.above
    return False


def _describe(line: Text, node: Node) -> None:
    if isinstance(node, Artifact):
        bytes_ = "" if node.size_bytes is None else f" {size(node.size_bytes)}"
        line.append(f"  {type_of(node)}{bytes_}", style="cyan")
    elif isinstance(node, Execution):
        line.append(f"  {node.status}", style=_STATUS_STYLE.get(node.status, "green"))
        line.append("".join(f"  {part}" for part in (where_from(node), duration(node)) if part), style="dim")
    line.append(f"  {short_key(node.key)}", style="dim")
    values = (node.values if isinstance(node, Artifact) else getattr(node, "parameters", None)) or {}
    told = pairs(values)
    if told:
        more = f" +{len(told) - _MOST_PAIRS}" if len(told) > _MOST_PAIRS else ""
        line.append("  " + " ".join(told[:_MOST_PAIRS]) + more)
    if isinstance(node, Execution) and node.error:
        line.append(f"  {printable(node.error)}", style="red")
    if node.retracted is not None:
        line.append(f"  retracted: {printable(node.retracted)}", style="yellow")
    if node.stub:
        line.append("  stub: only named by an edge so far", style="yellow")
