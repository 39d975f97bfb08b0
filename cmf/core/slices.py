"""Slices: the part of a graph that a pull asks for, and the operations that make it again elsewhere.

A second pull brings only what is news. What someone has who pulled a slice at some version of the store is never
written down: it is walked again over the uses that there were. That is exact, since what is in a slice stays in it:
uses are never taken away, and retracted ones are walked too. (Where nodes were removed from a store after all, less
is found there than they had, so more is sent than need be.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple

from cmf.core.answers import context_keys
from cmf.core.batches import batches
from cmf.core.delta import Delta, operations
from cmf.core.errors import InvalidValue
from cmf.core.identity import check_key, kind_of
from cmf.core.lineage import Walked, artifacts_of, slice_keys
from cmf.core.model import Edge
from cmf.core.records import Stamped
from cmf.core.store import Step, Store, Version
from cmf.core.values import encode
from cmf.core.wire import EndOfPull, PullQuestion, Slice

PIECE = 1_000
"""How many nodes are read at a time: what bounds the memory of a pull."""

_MANY = 20_000
"""How many keys are asked about at a time."""


class Answer(NamedTuple):
    """What answers a pull: the nodes to tell of whole, and those of which `since` some version is known already."""

    version: Version
    whole: list[str]
    known: list[str]
    since: int
    members: frozenset[str]
    """All nodes of the slice, where some are known."""


def answer(store: Store, question: PullQuestion) -> Answer:
    """What of a slice is to be told.

    Raises:
        InvalidValue: an artifact is named by something that is no key.
    """
    # Before all else: what is merged while this is read may be in the answer, but need not, and comes again.
    version = store.version()
    since = _number(question.since, version)
    held = question.held or question
    if since == version.number and _same(held, question):
        _check(question)
        return Answer(version, [], [], since, frozenset())
    walked = _Remembered(store)
    now = keys_of(store, question, walked)
    if since == 0:
        return Answer(version, _in_order(now), [], 0, frozenset())
    before = keys_of(store, held, _AsOf(store, walked, since))
    known = _newer(store, sorted(now & before), since)
    return Answer(version, _in_order(now - before), _in_order(known), since, frozenset(now))


def keys_of(store: Store, asked: Slice, walked: Walked | None = None) -> set[str]:
    """The nodes of a slice: artifacts with their chain, all executions of projects and of pipelines.

    Raises:
        InvalidValue: an artifact is named by something that is no key.
    """
    _check(asked)
    walked = walked or store
    found = slice_keys(store, asked.artifacts, asked.direction, asked.depth, walked) if asked.artifacts else set()
    executions = store.members([(of.project, of.branch) for of in asked.projects], asked.pipelines)
    return found | set(executions) | artifacts_of(walked, executions)


def statements(store: Store, told: Answer) -> Iterator[bytes]:
    """The operations of an answer, a line each, with those of the pipelines and stages of its nodes; then their number.

    Many lines come at a time: each piece costs a server and a client the same, however small.
    """
    contexts: set[str] = set()
    count = 0
    for keys, since in ((told.whole, 0), (told.known, told.since)):
        for piece in batches(keys, PIECE):
            delta = store.state(piece, since)
            contexts |= context_keys(delta)
            # Their contexts are told of once, at the end, when all are known.
            delta.contexts.clear()
            lines = _lines(delta)
            count += len(lines)
            yield b"".join(lines)
    if told.since and told.members:
        contexts |= _newer_contexts(store, told, contexts)
    for delta in _contexts(store, contexts):
        lines = _lines(delta)
        count += len(lines)
        yield b"".join(lines)
    yield encode(EndOfPull(count, str(told.version))) + b"\n"


class _Remembered:
    """The walks of a store, each done once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._walks: dict[tuple[Step, int | None], list[tuple[set[str], list[Edge]]]] = defaultdict(list)

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """See `Store.uses`."""
        asked = set(roots)
        for known, edges in self._walks[step, max_edges]:
            if asked == known:
                return edges
            if max_edges == 0 and asked < known:
                return [edge for edge in edges if (edge.target if step == "upstream" else edge.source) in asked]
        edges = self._store.uses(roots, step, max_edges, include_retracted)
        self._walks[step, max_edges].append((asked, edges))
        return edges


class _AsOf:
    """The walks of a store as they were at a version.

    More may be walked than answers a question, so the uses that came later are simply left out of what was walked.
    """

    def __init__(self, store: Store, walked: Walked, version: int) -> None:
        self._store = store
        self._walked = walked
        self._version = version

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """See `Store.uses`."""
        edges = self._walked.uses(roots, step, max_edges, include_retracted)
        # Whatever has a newer use is newer itself, and few are: so not every use is asked about.
        newer = _newer(self._store, sorted({_execution(edge) for edge in edges}), self._version)
        later = _newer(self._store, [edge.key for edge in edges if _execution(edge) in newer], self._version)
        return [edge for edge in edges if edge.key not in later]


def _execution(edge: Edge) -> str:
    return edge.target if edge.kind == "input" else edge.source


def _in_order(keys: Collection[str]) -> list[str]:
    """Artifacts before the executions whose uses name them: whoever puts them into a store then meets nothing twice."""
    return sorted(keys, key=lambda key: (kind_of(key) == "execution", key))


def _newer(store: Store, keys: Collection[str], after: int) -> set[str]:
    found: set[str] = set()
    for piece in batches(keys, _MANY):
        found |= store.newer(piece, after)
    return found


def _number(since: str | None, version: Version) -> int:
    """The version that a client holds, 0 where it is none of this store's."""
    store, _, number = (since or "").rpartition(":")
    if store != version.store or not (number.isascii() and number.isdigit()):
        return 0
    return int(number) if int(number) <= version.number else 0


def _same(one: Slice, other: Slice) -> bool:
    """Whether two questions ask for one slice."""
    return all(getattr(one, name) == getattr(other, name) for name in Slice.__struct_fields__)


def _check(asked: Slice) -> None:
    for key in asked.artifacts:
        if kind_of(check_key(key)) not in ("artifact", "execution"):
            raise InvalidValue(f"{key} is neither an artifact nor an execution")


def _newer_contexts(store: Store, told: Answer, besides: set[str]) -> set[str]:
    """The pipelines and stages that are newer though none of their executions is: of known ones more was said."""
    newer: set[str] = set()
    first = "context:"
    while keys := store.keys(first, "context;", _MANY):
        newer |= store.newer(keys, told.since)
        first = keys[-1] + " "  # sorts behind that key, and before every longer one
    newer -= besides
    if not newer:
        return newer
    waiting = set(newer)
    for piece in batches(_may_be_in(store, newer, told.members), PIECE):
        ran_in = context_keys(store.state(piece, told.version.number))
        waiting -= ran_in | _parents(store, ran_in)
        if not waiting:
            break
    return newer - waiting


def _may_be_in(store: Store, contexts: set[str], nodes: Collection[str]) -> list[str]:
    """Those of the nodes that may be executions of these pipelines and stages."""
    known = [fact.operation for delta in _contexts(store, contexts) for fact in delta.contexts.values()]
    names = {told.key: told.name for told in known if told.kind == "pipeline"}
    pipelines = {told.key if told.kind == "pipeline" else told.parent for told in known if told.key in contexts}
    if names.keys() >= pipelines and len(contexts) == sum(told.key in contexts for told in known):
        return [key for key in store.members([], sorted({names[key] for key in pipelines if key})) if key in nodes]
    return [key for key in nodes if kind_of(key) == "execution"]  # of something in no pipeline with a name


def _parents(store: Store, stages: set[str]) -> set[str]:
    return {
        fact.operation.parent
        for delta in _contexts(store, stages)
        for fact in delta.contexts.values()
        if fact.operation.parent
    }


def _contexts(store: Store, keys: set[str]) -> Iterator[Delta]:
    """What is held of these pipelines and stages, and of the pipelines of those stages."""
    told: set[str] = set()
    while waiting := keys - told:
        told |= waiting
        for piece in batches(sorted(waiting), PIECE):
            delta = store.state(piece)
            keys = keys | {fact.operation.parent for fact in delta.contexts.values() if fact.operation.parent}
            yield delta


def _lines(delta: Delta) -> list[bytes]:
    return [encode(Stamped(stamp, operation)) + b"\n" for stamp, operation in operations(delta)]
