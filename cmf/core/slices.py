"""Slices: the part of a graph that a pull asks for, and the operations that make it again elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from cmf.core.answers import context_keys
from cmf.core.delta import Delta, operations
from cmf.core.errors import InvalidValue
from cmf.core.identity import check_key, kind_of
from cmf.core.lineage import artifacts_of, slice_keys
from cmf.core.model import Direction
from cmf.core.records import Stamped
from cmf.core.store import Store
from cmf.core.values import encode
from cmf.core.wire import EndOfPull

PIECE = 1_000
"""How many nodes are read at a time: what bounds the memory of a pull."""


def keys_of(
    store: Store,
    artifacts: Collection[str],
    projects: Collection[tuple[str, str | None]],
    pipelines: Collection[str],
    direction: Direction,
    depth: int | None,
) -> list[str]:
    """The nodes of a slice: artifacts with their chain, all executions of projects and of pipelines.

    Raises:
        InvalidValue: an artifact is named by something that is no key.
    """
    for key in artifacts:
        if kind_of(check_key(key)) not in ("artifact", "execution"):
            raise InvalidValue(f"{key} is neither an artifact nor an execution")
    found = slice_keys(store, artifacts, direction, depth) if artifacts else set()
    executions = store.members(projects, pipelines)
    return sorted(found | set(executions) | artifacts_of(store, executions))


def statements(store: Store, keys: Iterable[str]) -> Iterator[bytes]:
    """The operations of these nodes and of the pipelines and stages they are in, a line each; then their number.

    Many lines come at a time: each piece costs a server and a client the same, however small.
    """
    contexts: set[str] = set()
    count = 0
    for piece in _batched(keys, PIECE):
        delta = store.state(piece)
        contexts |= context_keys(delta)
        # Their contexts are told of once, at the end, when all are known.
        delta.contexts.clear()
        lines = _lines(delta)
        count += len(lines)
        yield b"".join(lines)
    for delta in _contexts(store, contexts):
        lines = _lines(delta)
        count += len(lines)
        yield b"".join(lines)
    yield encode(EndOfPull(count)) + b"\n"


def _contexts(store: Store, keys: set[str]) -> Iterator[Delta]:
    """What is held of these pipelines and stages, and of the pipelines of those stages."""
    told: set[str] = set()
    while waiting := keys - told:
        told |= waiting
        for piece in _batched(sorted(waiting), PIECE):
            delta = store.state(piece)
            keys = keys | {fact.operation.parent for fact in delta.contexts.values() if fact.operation.parent}
            yield delta


def _lines(delta: Delta) -> list[bytes]:
    return [encode(Stamped(stamp, operation)) + b"\n" for stamp, operation in operations(delta)]


def _batched(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(keys)
    while piece := list(islice(rest, size)):
        yield piece
