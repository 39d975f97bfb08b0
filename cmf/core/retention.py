"""What is to be pruned of a graph: which executions are meant, which artifacts go with them, and what stays joined.

An artifact goes when none but the chosen executions use it, unless it is of a type that is kept, or stands in a
relation to an artifact that stays for its own sake. Contractions (see `cmf.core.contraction`) keep no artifact: they go
with it, and what they stood for is contracted again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cmf.core.answers import listed_at
from cmf.core.batches import batches
from cmf.core.contraction import COUNT, TYPE, is_contraction
from cmf.core.delta import Delta, Register
from cmf.core.errors import BadQuestion, PrunedKey
from cmf.core.identity import kind_of
from cmf.core.model import Artifact, Edge, Execution, Node
from cmf.core.paging import cursor_of
from cmf.core.records import Stamp
from cmf.core.resolve import resolve
from cmf.core.store import Filters, ListKind, Step, Store

PIECE: Final = 1_000
"""How many nodes are read at a time."""

MOST_CONTRACTIONS: Final = 2_000
"""An artifact at which there are more stays: to take it away would be one change to all of them."""


class Wanted(NamedTuple):
    """What is to be pruned: executions that started before a time, of pipelines, with statuses, retracted, with keys.

    What is not said does not matter, but something is. `keys` may name artifacts too; those that are named go whatever
    their type. Executions that are running are meant only where their status is said, or their key.
    """

    keys: tuple[str, ...] = ()
    before: str | None = None
    pipelines: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    retracted: bool = False


@dataclass
class Chosen:
    """What is meant: executions, artifacts that were named or are retracted, and running executions that are left."""

    executions: dict[str, Execution] = field(default_factory=dict)
    artifacts: set[str] = field(default_factory=set)
    running: int = 0


@dataclass
class Plan:
    """What goes, and what it leaves."""

    executions: set[str]
    artifacts: dict[str, Artifact]
    absorbed: set[str]
    """Contractions that go, since something that they joined does."""
    facts: Delta
    """What is held of the uses of all these executions."""
    inputs: set[str]
    """Artifacts that stay and that these executions read,"""
    outputs: set[str]
    """and that they wrote."""
    used: set[str] = field(default_factory=set)
    """Named artifacts that stay, since other executions use them."""

    @property
    def ends(self) -> set[str]:
        """Artifacts that stay, at these executions."""
        return self.inputs | self.outputs

    @property
    def nodes(self) -> set[str]:
        """The keys of all that goes."""
        return self.executions | self.artifacts.keys() | self.absorbed


def choose(store: Store, wanted: Wanted) -> Chosen:
    """What is meant.

    Raises:
        BadQuestion: nothing was said, or something that cannot be pruned.
        UnknownKey, AmbiguousKey: a key.
    """
    if wanted == Wanted():
        raise BadQuestion("say what to prune: keys, a time, a pipeline, a status, or what is retracted")
    chosen = Chosen()
    for node in _named(store, wanted.keys) if wanted.keys else _listed(store, wanted):
        if isinstance(node, Artifact):
            if not wanted.retracted or node.retracted is not None:
                chosen.artifacts.add(node.key)
        elif isinstance(node, Execution) and _is_meant(node, wanted):
            if node.status == "running" and "running" not in wanted.statuses and not wanted.keys:
                chosen.running += 1
            else:
                chosen.executions[node.key] = node
    return chosen


def contractions_of(store: Store) -> set[str]:
    """The contractions in a store."""
    found: set[str] = set()
    for piece in batches((node.key for node in _pages(store, "execution", Filters(type=TYPE))), PIECE):
        facts = store.state(piece, store.version().number)
        found |= {key for key in piece if is_contraction(facts, key)}
    return found


def plan(
    store: Store,
    executions: Collection[str],
    named: Collection[str],
    keep_types: Collection[str],
    contracted: Collection[str],
    override: Collection[str] = (),
    going_later: Collection[str] = (),
) -> Plan:
    """What goes with executions and with artifacts that were named; `contracted` are the contractions in the store.

    `override` are artifacts that go whatever their type and relations, where they are at these executions;
    `going_later` are some that keep no others, though they are still there.
    """
    chosen = set(executions)
    facts = _facts(store, chosen)
    touched = {use.artifact for use in facts.uses.values()}
    users = _Users(store, chosen, contracted)
    users.look_at(touched | set(named))
    free = {key for key in touched | set(named) if key not in users.kept}
    going = _unkept(store, free, {*named, *override}, keep_types, going_later)
    absorbed = {key for artifact in going for key in users.contractions.get(artifact, ())}
    _add(facts, _facts(store, absorbed))
    for key, node in going.items():
        if node.retracted is not None:
            facts.retractions[key] = Register.of(Stamp(""), node.retracted)
    inputs = {use.artifact for use in facts.uses.values() if use.direction == "input" and use.artifact not in going}
    outputs = {use.artifact for use in facts.uses.values() if use.direction == "output" and use.artifact not in going}
    return Plan(chosen, going, absorbed, facts, inputs, outputs, set(named) & users.kept)


def joining(of: Plan) -> set[str]:
    """The artifacts that go and that lie between some that stay: over these what stays is to be kept joined."""
    after, before = _near(of, "input"), _near(of, "output")
    return _reach(after, of.inputs) & _reach(before, of.outputs) & of.artifacts.keys()


def clusters(of: Plan, joints: Collection[str]) -> Iterator[list[str]]:
    """The executions, with contractions that go, in pieces that such artifacts hold together; near ones in a row."""
    at: dict[str, list[str]] = defaultdict(list)
    joins: dict[str, list[str]] = defaultdict(list)
    for use in of.facts.uses.values():
        if use.artifact in joints:
            at[use.artifact].append(use.execution)
            joins[use.execution].append(use.artifact)
    told: set[str] = set()
    for first in sorted(of.executions | of.absorbed):
        found: list[str] = []
        waiting = [first]
        while waiting:
            execution = waiting.pop()
            if execution in told:
                continue
            told.add(execution)
            found.append(execution)
            for artifact in joins[execution]:
                waiting += [far for far in at.pop(artifact, ()) if far not in told]
        if found:
            yield found


class _Users:
    """Who uses artifacts beside the chosen executions."""

    def __init__(self, store: Store, chosen: Collection[str], contracted: Collection[str]) -> None:
        self._store = store
        self._chosen = chosen
        self._contracted = contracted
        self.kept: set[str] = set()
        """Artifacts that some execution uses which stays."""
        self.contractions: dict[str, set[str]] = defaultdict(set)

    def look_at(self, artifacts: Collection[str]) -> None:
        for piece in batches(sorted(artifacts), PIECE):
            for edge in _around(self._store, piece):
                execution, artifact = ends_of(edge)
                if execution in self._chosen:
                    continue
                if execution in self._contracted:
                    self.contractions[artifact].add(execution)
                else:
                    self.kept.add(artifact)
        self.kept |= {key for key, near in self.contractions.items() if len(near) > MOST_CONTRACTIONS}


def _unkept(
    store: Store,
    free: Collection[str],
    named: Collection[str],
    keep_types: Collection[str],
    going_later: Collection[str],
) -> dict[str, Artifact]:
    """Those artifacts that nothing keeps."""
    nodes: dict[str, Artifact] = {}
    for piece in batches(sorted(free), PIECE):
        for node in store.nodes(piece):
            if isinstance(node, Artifact) and (node.key in named or not set(keep_types) & set(node.types)):
                nodes[node.key] = node
    related: set[str] = set()
    for piece in batches(sorted(nodes), PIECE):
        for relation in store.relations(piece):
            for one, other in ((relation.source, relation.target), (relation.target, relation.source)):
                stays = other not in nodes and other not in going_later and kind_of(other) == "artifact"
                if one in nodes and stays:
                    related.add(one)
    return {key: node for key, node in nodes.items() if key in named or key not in related}


def _named(store: Store, keys: Iterable[str]) -> Iterator[Node]:
    for asked in keys:
        try:
            key = resolve(store, asked)
        except PrunedKey:  # it was interrupted, and goes on
            continue
        if kind_of(key) not in ("artifact", "execution"):
            raise BadQuestion(f"{key} is a {kind_of(key)}; executions and artifacts can be pruned")
        if is_contraction(store.state([key]), key):
            raise BadQuestion(f"{key} stands for executions that were pruned already")
        yield from store.nodes([key])


def _listed(store: Store, wanted: Wanted) -> Iterator[Node]:
    for pipeline in wanted.pipelines or (None,):
        for status in wanted.statuses or (None,):
            filters = Filters(pipeline=pipeline, status=status)
            yield from _pages(store, "execution", filters, cursor_of((wanted.before, "")) if wanted.before else None)
    if wanted.retracted and not (wanted.pipelines or wanted.statuses or wanted.before):
        yield from (node for node in _pages(store, "artifact", Filters()) if node.retracted is not None)


def _is_meant(node: Execution, wanted: Wanted) -> bool:
    return (
        (wanted.before is None or "" < listed_at(node) < wanted.before)
        and (not (wanted.pipelines and wanted.keys) or node.pipeline in wanted.pipelines)
        and (not wanted.statuses or node.status in wanted.statuses)
        and (not wanted.retracted or node.retracted is not None)
        and (bool(wanted.keys) or not (node.type == TYPE and COUNT in node.properties))
    )


def _pages(store: Store, kind: ListKind, filters: Filters, cursor: str | None = None) -> Iterator[Node]:
    while True:
        page = store.list_nodes(kind, filters, PIECE, cursor)
        yield from page.items
        if (cursor := page.next) is None:
            return


def _facts(store: Store, executions: Collection[str]) -> Delta:
    """What is held of the uses of executions, and of what names their pipelines."""
    facts = Delta()
    if executions:
        now = store.version().number
        for piece in batches(sorted(executions), PIECE):
            _add(facts, store.state(piece, now))
    return facts


def _add(facts: Delta, state: Delta) -> None:
    # Nodes are read once, so nothing is to be joined. What else is told of them is of no use here.
    for part in ("executions", "uses", "commits", "urls", "relations", "retractions"):
        getattr(facts, part).update(getattr(state, part))


def _around(store: Store, artifacts: Collection[str]) -> Iterator[Edge]:
    steps: tuple[Step, ...] = ("upstream", "downstream")
    for step in steps:
        yield from store.uses(artifacts, step, 0, True)


def ends_of(edge: Edge) -> tuple[str, str]:
    """The execution and the artifact of a use."""
    return (edge.target, edge.source) if edge.kind == "input" else (edge.source, edge.target)


def _near(of: Plan, first: str) -> Mapping[str, list[str]]:
    """From artifacts to executions over uses of this direction, and from executions to artifacts over the others."""
    found: dict[str, list[str]] = defaultdict(list)
    for use in of.facts.uses.values():
        if use.direction == first:
            found[use.artifact].append(use.execution)
        elif use.artifact in of.artifacts:
            found[use.execution].append(use.artifact)
    return found


def _reach(near: Mapping[str, list[str]], roots: Collection[str]) -> set[str]:
    found = set(roots)
    waiting = list(roots)
    while waiting:
        for far in near.get(waiting.pop(), ()):
            if far not in found:
                found.add(far)
                waiting.append(far)
    return found
