"""Lineage questions and their answers, the same for every store.

A store walks (`Store.uses`); the answer is made here: distances, depth, the limit and the order of nodes.
Nothing assumes a DAG: a revert makes an ancestor's content again, so cycles are normal and entered once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Protocol

import msgspec

from cmf.core.answers import stub
from cmf.core.errors import BadQuestion
from cmf.core.identity import kind_of
from cmf.core.model import Direction, Edge, Lineage, Node, Truncated
from cmf.core.resolve import unknown
from cmf.core.store import Step, Store

MAX_DEPTH = 1_000_000
MAX_LIMIT = 10_000_000
MAX_ROOTS = 10_000
"""How many artifacts and executions a question may name."""
DEFAULT_LIMIT = 10_000
"""The greatest number of nodes in an answer, unless a question asks for more."""


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked: the lineage of nodes, in a direction, up to a depth in hops (None: all of it)."""

    keys: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_ROOTS)]
    direction: Direction = "both"
    depth: Annotated[int, msgspec.Meta(ge=0, le=MAX_DEPTH)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    include_retracted: bool = False


def lineage(store: Store, question: Question) -> Lineage:
    """The subgraph that answers a question, whole or saying that it is not.

    Raises:
        UnknownKey: a root is in no record.
        BadQuestion: a root is neither an artifact nor an execution.
    """
    roots = _known_roots(store, question)
    distances, edges = _walk(store, roots, question)
    kept, truncated = _nearest(distances, question.limit)
    found = {node.key: node for node in store.nodes(kept)}
    return Lineage(
        roots=tuple(roots),
        direction=question.direction,
        depth=question.depth,
        complete=truncated is None,
        truncated=truncated,
        nodes=tuple(_at(found.get(key) or stub(key), distances[key]) for key in kept),
        edges=tuple(sorted(_among(edges, kept), key=lambda edge: (edge.source, edge.target, edge.path))),
    )


class Walked(Protocol):
    """What can be walked: a store, or a part of one."""

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """See `Store.uses`."""


def slice_keys(
    store: Store, keys: Collection[str], direction: Direction, depth: int | None, walked: Walked
) -> set[str]:
    """The nodes to pull so that lineage of `keys` can be answered elsewhere: the closure, executions whole.

    Retracted nodes and uses are walked too, since a retraction is part of what is pulled. Roots that the
    store does not know are left out.
    """
    question = Question(keys=tuple(sorted(keys)), direction=direction, depth=depth, include_retracted=True)
    distances, _ = _walk(walked, sorted(node.key for node in store.nodes(question.keys)), question)
    executions = [key for key in distances if kind_of(key) == "execution"]
    return set(distances) | artifacts_of(walked, executions)


def artifacts_of(walked: Walked, executions: Collection[str]) -> set[str]:
    """The artifacts that executions read and wrote."""
    found: set[str] = set()
    for step in ("upstream", "downstream"):
        for edge in walked.uses(executions, step, 0, True):
            found.add(edge.source if edge.kind == "input" else edge.target)
    return found


def max_edges(root: str, depth: int | None) -> int | None:
    """The number of edges that a path of `depth` hops from this root may have.

    Nodes alternate along a path, and a root that is an execution is itself the first hop.
    """
    if depth is None:
        return None
    return 2 * depth if kind_of(root) == "artifact" else max(0, 2 * depth - 1)


def _known_roots(store: Store, question: Question) -> list[str]:
    roots = sorted(set(question.keys))
    for key in roots:
        if kind_of(key) not in ("artifact", "execution"):
            raise BadQuestion(f"{key} is a {kind_of(key)}; lineage is asked of artifacts and executions")
    known = {node.key: node for node in store.nodes(roots)}
    for key in roots:
        if key not in known:
            raise unknown(store, key)
        if (reason := known[key].retracted) is not None and not question.include_retracted:
            raise BadQuestion(f"{key} was retracted: {reason}. Ask with include_retracted to see it all the same")
    return roots


def _walk(walked: Walked, roots: list[str], question: Question) -> tuple[dict[str, int], dict[str, Edge]]:
    """The distance of each node of the answer, and the uses among them by key."""
    distances: dict[str, int] = {}
    edges: dict[str, Edge] = {}
    both: tuple[Step, ...] = ("upstream", "downstream")
    for step in both if question.direction == "both" else (question.direction,):
        for bound, group in _by_bound(roots, question.depth).items():
            uses = walked.uses(group, step, bound, question.include_retracted)
            near = _distances(group, uses, step, bound)
            edges.update((use.key, use) for use in _among(uses, near))
            for key, distance in near.items():
                distances[key] = min(distance, distances.get(key, distance))
    return distances, edges


def _by_bound(roots: Iterable[str], depth: int | None) -> dict[int | None, list[str]]:
    groups: dict[int | None, list[str]] = defaultdict(list)
    for root in roots:
        groups[max_edges(root, depth)].append(root)
    return groups


def _distances(roots: list[str], uses: Iterable[Edge], step: Step, bound: int | None) -> dict[str, int]:
    """Breadth first over the uses: each node once, so cycles end and diamonds cost nothing."""
    beyond: dict[str, list[str]] = defaultdict(list)
    for use in uses:
        near, far = (use.target, use.source) if step == "upstream" else (use.source, use.target)
        beyond[near].append(far)
    distances = dict.fromkeys(roots, 0)
    frontier, level = roots, 0
    while frontier and (bound is None or level < bound):
        level += 1
        following = []
        for node in frontier:
            for far in beyond.get(node, ()):
                if far not in distances:
                    distances[far] = level
                    following.append(far)
        frontier = following
    return distances


def _nearest(distances: Mapping[str, int], limit: int) -> tuple[dict[str, None], Truncated | None]:
    ordered = sorted(distances, key=lambda key: (distances[key], key))
    truncated = Truncated(reason="limit", limit=limit, seen=len(ordered)) if len(ordered) > limit else None
    return dict.fromkeys(ordered[:limit]), truncated


def _among(edges: Mapping[str, Edge] | Iterable[Edge], nodes: Collection[str]) -> Iterable[Edge]:
    listed = edges.values() if isinstance(edges, Mapping) else edges
    return (edge for edge in listed if edge.source in nodes and edge.target in nodes)


def _at(node: Node, distance: int) -> Node:
    """A node at its distance. It was just made for this answer, so it is finished rather than copied."""
    msgspec.structs.force_setattr(node, "distance", distance)
    return node
