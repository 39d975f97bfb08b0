"""What is left of executions that are pruned: for what led from one kept artifact to another, one that stands for it.

An artifact that stays, `b`, was made by pruned executions from kept artifacts, A(b): those with a way to `b` on which
nothing else is kept. All `b` with the same A(b) share one contraction, an execution that read A(b) and wrote them. So
what could be reached from what is kept can be reached from it still, and nothing else can; a walk needs to know
nothing of it, and counts it as one hop.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from cmf.core import foreign
from cmf.core.delta import Delta
from cmf.core.identity import pipeline_key
from cmf.core.model import Execution
from cmf.core.operations import (
    ForeignIdentity,
    Operation,
    PutExecution,
    PutRelation,
    PutUse,
    Retract,
    SetProperty,
    put_execution,
)
from cmf.core.records import Stamp
from cmf.core.values import Json, canonical

SOURCE: Final = "cmf"
TYPE: Final = "contraction"
"""The source and the type of such an execution."""

COUNT: Final = "contracted"
SINCE: Final = "contracted_from"
UNTIL: Final = "contracted_until"
"""Its properties: how many executions it stands for, when the first of them started, and the last ended."""

MOST_BITS: Final = 1 << 31
"""How much may be held to find out what leads where: 256 MiB."""

MAX_PIPELINES: Final = 50
"""In how many pipelines it is listed at most."""

Stated = tuple[Stamp, Operation]


class Contraction(NamedTuple):
    """What one execution is to stand for; `stands_for` adds up for how many contractions among them do."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    executions: tuple[str, ...]
    stands_for: int
    is_retracted: bool = False

    @property
    def put(self) -> PutExecution:
        """The execution that stands for it. Its key is the digest of what it stands for."""
        of: Json = {
            "rule": "contraction/1",
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "executions": list(self.executions),
        }
        return put_execution(ForeignIdentity(source=SOURCE, run=hashlib.sha256(canonical(of)).hexdigest()[:32]))


class TooMany(Exception):
    """What would have to stand for some executions is more than they are."""


def is_contraction(of: Delta, key: str) -> bool:
    """Whether an execution, which the delta tells of, stands for others."""
    fact = of.executions.get(key)
    return fact is not None and isinstance(fact.identity, ForeignIdentity) and fact.identity.source == SOURCE


def contractions(
    of: Delta, ends: Collection[str], counts: Mapping[str, int], most: int | None = None
) -> list[Contraction]:
    """What is to stand for executions whose uses are those of a delta; `ends` are artifacts that stay.

    `counts` says for how many an execution stands, where it is not one. What was reached over something retracted only
    has contractions of its own, which are retracted.

    Raises:
        TooMany: it would need more than `most` uses, or too much to find out.
    """
    seen = _masks(_visible(of), ends)
    size = 0
    made: list[Contraction] = []
    for is_retracted, masks in ((False, seen), (True, _masks(of, ends))):
        groups: dict[frozenset[str], set[str]] = defaultdict(set)
        for artifact, inputs in masks.items():
            rest = inputs - {artifact} - (seen.get(artifact, frozenset()) if is_retracted else frozenset())
            if rest:
                size += 1 if rest in groups else 1 + len(rest)
                groups[rest].add(artifact)
            if most is not None and size > most:
                raise TooMany
        made += _made(_visible(of) if not is_retracted else of, ends, counts, groups, is_retracted)
    return sorted(made)


def _made(
    of: Delta,
    ends: Collection[str],
    counts: Mapping[str, int],
    groups: Mapping[frozenset[str], set[str]],
    is_retracted: bool,
) -> Iterator[Contraction]:
    if not groups:
        return
    sources, sinks = _numbered(of, ends, "input"), _numbered(of, ends, "output")
    reached = _spread(_edges(of, ends), _at_ends(of, sources, "input"))
    reaching = _spread(_edges(of, ends, backwards=True), _at_ends(of, sinks, "output"))
    executions = sorted({use.execution for use in of.uses.values()})
    for inputs, outputs in groups.items():
        mask = sum(1 << sources[artifact] for artifact in inputs)
        out = sum(1 << sinks[artifact] for artifact in outputs)
        between = [key for key in executions if reached.get(key, 0) & mask and reaching.get(key, 0) & out]
        count = min(sum(counts.get(key, 1) for key in between), 2**53 - 1)
        yield Contraction(tuple(sorted(inputs)), tuple(sorted(outputs)), tuple(between), count, is_retracted)


def _visible(of: Delta) -> Delta:
    """The uses of a delta that are not retracted, nor at anything retracted, but for what stays."""
    gone = {key for key, register in of.retractions.items() if register.value is not None}
    if not gone:
        return of
    uses = {key: use for key, use in of.uses.items() if not gone & {key, use.execution, use.artifact}}
    return Delta(uses=uses)


def _masks(of: Delta, ends: Collection[str]) -> dict[str, frozenset[str]]:
    """By artifact that stays and was written, the others that stay and that it came from."""
    sources, sinks = _numbered(of, ends, "input"), _numbered(of, ends, "output")
    reached = _spread(_edges(of, ends), _at_ends(of, sources, "input"))
    found: dict[str, int] = defaultdict(int)
    for use in of.uses.values():
        if use.direction == "output" and use.artifact in sinks:
            found[use.artifact] |= reached.get(use.execution, 0)
    names = list(sources)
    known: dict[int, frozenset[str]] = {}
    for mask in found.values():
        if mask not in known:
            known[mask] = frozenset(names[number] for number in _bits(mask))
    return {artifact: known[mask] for artifact, mask in sorted(found.items())}


def statements(
    made: Contraction, of: Delta, executions: Mapping[str, Execution], stamp: Callable[[], Stamp]
) -> Iterator[Stated]:
    """The operations that tell of a contraction, from what was told of the executions that it stands for.

    Its uses bear the paths, commits, addresses and stamps of the last that they stand for, so that what was last used
    under a path is the same as before.
    """
    put = made.put
    yield stamp(), put
    for direction, artifacts in (("input", made.inputs), ("output", made.outputs)):
        latest = _latest(of, made, direction)
        for artifact in artifacts:
            key = latest[artifact]
            use = of.uses[key]
            told = PutUse(execution=put.key, artifact=artifact, direction=use.direction, path=use.path)
            yield use.first, told
            if commit := of.commits.get(key):
                yield commit.stamp, replace(told, commit=commit.value)
            if url := of.urls.get(key):
                yield url.stamp, replace(told, url=url.value)
    yield from ((stamp(), said) for said in _said(put.key, made, of, executions))


def _said(key: str, made: Contraction, of: Delta, executions: Mapping[str, Execution]) -> Iterator[Operation]:
    known = [executions[one] for one in made.executions if one in executions]
    began = [time for time in map(_began, known) if time]
    ended = [time for time in map(_ended, known) if time]
    projects, branches = {one.project for one in known}, {one.branch for one in known}
    project = projects.pop() if len(projects) == 1 else None
    yield from foreign.state(
        key,
        name=f"contracted: {made.stands_for:,} executions",
        type_=TYPE,
        started_at=min(began, default=None),
        project=project,
        branch=branches.pop() if project and len(branches) == 1 else None,
    )
    yield SetProperty(key=key, name=COUNT, value=made.stands_for)
    for name, time in ((SINCE, min(began, default=None)), (UNTIL, max(ended, default=None))):
        if time:
            yield SetProperty(key=key, name=name, value=time)
    if made.is_retracted:
        yield Retract(key=key, reason="stands for what was retracted")
    for context in sorted(_contexts(of, set(made.executions)))[:MAX_PIPELINES]:
        yield PutRelation(kind="ran_in", source=key, target=context)


def _began(of: Execution) -> str | None:
    said = of.properties.get(SINCE)
    return said if isinstance(said, str) else of.started_at or of.ended_at


def _ended(of: Execution) -> str | None:
    said = of.properties.get(UNTIL)
    return said if isinstance(said, str) else of.ended_at or of.started_at


def _contexts(of: Delta, executions: Collection[str]) -> set[str]:
    """The pipelines, or what else was said, in which executions ran."""
    found = {r.target for r in of.relations if r.kind == "ran_in" and r.source in executions}
    for key in executions:
        fact = of.executions.get(key)
        if fact is not None and not isinstance(fact.identity, ForeignIdentity):
            found.add(pipeline_key(fact.identity.pipeline, fact.identity.namespace))
    return found


def _latest(of: Delta, made: Contraction, direction: str) -> dict[str, str]:
    """By artifact, the last use among those that a contraction stands for."""
    among = set(made.executions)
    found: dict[str, str] = {}
    for key in sorted(of.uses, key=lambda use: (of.uses[use].first, use)):
        use = of.uses[key]
        if use.direction == direction and use.execution in among:
            found[use.artifact] = key
    return found


def _numbered(of: Delta, ends: Collection[str], direction: str) -> dict[str, int]:
    found = {use.artifact for use in of.uses.values() if use.direction == direction and use.artifact in ends}
    return {artifact: number for number, artifact in enumerate(sorted(found))}


def _edges(of: Delta, ends: Collection[str], backwards: bool = False) -> dict[str, list[str]]:
    """From node to node over artifacts that do not stay."""
    found: dict[str, list[str]] = defaultdict(list)
    for use in of.uses.values():
        if use.artifact not in ends:
            along = (use.direction == "input") != backwards
            source, target = (use.artifact, use.execution) if along else (use.execution, use.artifact)
            found[source].append(target)
    return found


def _at_ends(of: Delta, numbers: Mapping[str, int], direction: str) -> dict[str, int]:
    """By execution, the ends that it is at, as bits."""
    found: dict[str, int] = defaultdict(int)
    for use in of.uses.values():
        if use.direction == direction and use.artifact in numbers:
            found[use.execution] |= 1 << numbers[use.artifact]
    return found


def _spread(edges: Mapping[str, list[str]], at: Mapping[str, int]) -> dict[str, int]:
    """By node, the bits of all from which it can be reached.

    Bits only become more, so cycles end. Without any, one pass is enough, since each node comes before those behind it.
    """
    found = dict(at)
    in_order = _in_order(edges, at)
    is_changed, size = True, 0
    while is_changed:
        is_changed = False
        for node in in_order:
            mask = found.get(node, 0)
            for far in edges.get(node, ()):
                had = found.get(far, 0)
                if mask | had != had:
                    found[far] = mask | had
                    size += (mask | had).bit_length() - had.bit_length()
                    is_changed = True
            if size > MOST_BITS:
                raise TooMany
    return found


def _in_order(edges: Mapping[str, list[str]], roots: Iterable[str]) -> list[str]:
    """All that is reached from the roots, each before those behind it, but where there are cycles."""
    done: list[str] = []
    seen: set[str] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        path = [(root, iter(edges.get(root, ())))]
        while path:
            node, rest = path[-1]
            far = next((one for one in rest if one not in seen), None)
            if far is None:
                done.append(node)
                path.pop()
            else:
                seen.add(far)
                path.append((far, iter(edges.get(far, ()))))
    return done[::-1]


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
