"""What was pruned stays away: facts of it that come late are parted from what a merge takes.

A pruned execution is gone for good, with all that belongs to it, whatever comes of it later. A pruned artifact is
content, and content can be used again: then it is back, with all that was ever told of it. So that this does not depend
on the order in which things come, what is told of it meanwhile is put aside, out of all answers. A graph that was
pruned is thereby a function of all operations and of what was pruned: all that they say, but for the pruned executions
and for the pruned artifacts that no other execution uses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from cmf.core.delta import Delta, RelationFact, fold, operations
from cmf.core.identity import kind_of
from cmf.core.records import Stamp, Stamped
from cmf.core.values import encode

V = TypeVar("V")


class Tombstone(NamedTuple):
    """A node or use that was pruned, and when; `aside` is what was told of an artifact, packed (see `pack`)."""

    key: str
    at: str
    aside: str = ""


class Taken(NamedTuple):
    """What a prune took away: nodes and uses that were there."""

    nodes: set[str]
    uses: set[str]


class Sifted(NamedTuple):
    """A delta without what was pruned."""

    kept: Delta
    back: set[str]
    """Pruned artifacts that are used again: they are in `kept`, and pruned no more."""
    aside: dict[str, Delta]
    """What pruned artifacts have aside from now on, where that is more than before."""
    uses: set[str]
    """Uses of pruned executions: they are pruned too, now that they came."""


Find = Callable[[Collection[str]], Mapping[str, Tombstone]]
"""The tombstones of these keys, as far as there are any."""


def sift(delta: Delta, find: Find) -> Sifted:
    """Part a delta from what was pruned; it is not changed itself."""
    tombs = dict(find(delta.keys() | delta.uses.keys()))
    if not tombs:
        return Sifted(delta, set(), {}, set())
    dead = {key for key in tombs if kind_of(key) != "artifact"}
    uses = {key for key, use in delta.uses.items() if use.execution in dead}
    dead |= uses
    back = {use.artifact for key, use in delta.uses.items() if key not in dead and use.artifact in tombs}
    whole = delta
    if back:
        whole = _joined(delta, *(unpack(tombs[key].aside) for key in back))
        # What was aside may speak of others that were pruned.
        tombs |= find(whole.keys() - tombs.keys())
    hidden = {key for key in tombs if kind_of(key) == "artifact"} - back
    kept, told = part(whole, dead, hidden)
    aside: dict[str, Delta] = {}
    for key, more in told.items():
        had = unpack(tombs[key].aside)
        joined = _joined(had, more)
        if joined != had:
            aside[key] = joined
    return Sifted(kept, back, aside, uses - tombs.keys())


def part(of: Delta, dead: Collection[str], hidden: Collection[str]) -> tuple[Delta, dict[str, Delta]]:
    """A delta without dead executions and uses, and without hidden artifacts; → that, and what it said of each hidden.

    Uses of dead executions must be among the dead. A relation of a hidden artifact goes with it.
    """
    gone = {*dead, *hidden}
    kept = Delta(
        contexts=of.contexts,
        executions=_without(of.executions, gone),
        artifacts=_without(of.artifacts, gone),
        uses=_without(of.uses, gone),
        relations={r: first for r, first in of.relations.items() if r.source not in gone and r.target not in gone},
        endings=_without(of.endings, gone),
        starts_told=_without(of.starts_told, gone),
        commits=_without(of.commits, gone),
        urls=_without(of.urls, gone),
        properties={name: r for name, r in of.properties.items() if name[0] not in gone},
        retractions=_without(of.retractions, gone),
        points={chunk: r for chunk, r in of.points.items() if chunk[0] not in gone},
    )
    return kept, _told_of(of, {*dead}, {*hidden})


def pack(told: Delta) -> str:
    """A delta as text, nothing where it is empty."""
    return encode([Stamped(*one) for one in operations(told)]).decode() if told else ""


def unpack(text: str) -> Delta:
    """The delta that was packed."""
    return fold((Stamp(one.stamp), one.op) for one in _PACKED.decode(text)) if text else Delta()


_PACKED: msgspec.json.Decoder[list[Stamped]] = msgspec.json.Decoder(list[Stamped])


def _told_of(of: Delta, dead: set[str], hidden: set[str]) -> dict[str, Delta]:
    told: dict[str, Delta] = {}

    def about(key: str) -> Delta:
        return told.setdefault(key, Delta())

    for key in hidden & of.artifacts.keys():
        about(key).artifacts[key] = of.artifacts[key]
    for key in hidden & of.retractions.keys():
        about(key).retractions[key] = of.retractions[key]
    for name, register in of.properties.items():
        if name[0] in hidden:
            about(name[0]).properties[name] = register
    for relation, first in of.relations.items():
        with_ = _with(relation, hidden)
        if with_ is not None and not dead & {relation.source, relation.target}:
            about(with_).relations[relation] = first
    return told


def _with(relation: RelationFact, hidden: set[str]) -> str | None:
    """The hidden artifact that a relation is put aside with."""
    return next((key for key in (relation.source, relation.target) if key in hidden), None)


def _joined(*deltas: Delta) -> Delta:
    joined = Delta()
    for delta in deltas:
        joined.join(delta)
    return joined


def _without(of: Mapping[str, V], gone: set[str]) -> dict[str, V]:
    return {key: fact for key, fact in of.items() if key not in gone}
