"""What the graph holds, read back as the facts it was made of. The reverse of `shape`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cmf.core.batches import batches as batched
from cmf.core.delta import ArtifactFact, ContextFact, Delta, Ending, ExecutionFact, Register, RelationFact, UseFact
from cmf.core.identity import kind_of
from cmf.core.model import UseKind
from cmf.core.operations import ExecutionIdentity, PutContext, RecordIdentity
from cmf.core.records import Stamp
from cmf.core.series import POINTS
from cmf_graph.connection import Run
from cmf_graph.queries import load
from cmf_graph.shape import RELATION_TYPES, relation_link

BATCH = 5_000
"""Rows of one statement."""

Facts = dict[str, Any]
"""The properties of a node or relationship."""

_EXECUTIONS: msgspec.json.Decoder[ExecutionIdentity] = msgspec.json.Decoder(ExecutionIdentity)
_CONTEXTS = msgspec.json.Decoder(PutContext)
_RECORDS = msgspec.json.Decoder(RecordIdentity)
RELATION_KINDS = {type_: kind for kind, type_ in RELATION_TYPES.items()}
DIRECTIONS: dict[str, UseKind] = {"INPUT": "input", "OUTPUT": "output"}


@dataclass
class Held:
    """Facts that were read, and what belongs to this store alone: when it first held each."""

    delta: Delta = field(default_factory=Delta)
    recorded: dict[str, str] = field(default_factory=dict)
    """By the key of every node and use found."""
    retractions_recorded: dict[str, str] = field(default_factory=dict)
    series: dict[str, Sequence[str]] = field(default_factory=dict)
    """The names of the series of executions, without their points."""
    pending: set[str] = field(default_factory=set)
    """Keys of uses that something was said of, but that have not come."""
    places: Delta = field(default_factory=Delta)
    """Where executions ran whose own record does not say it."""
    replaced: set[str] = field(default_factory=set)
    """Known executions of which it may be said anew where they ran, without a word of themselves."""

    def read_nodes(self, run: Run, keys: Collection[str]) -> None:
        """Take in the nodes with these keys."""
        query = load("read/nodes")
        for batch in batches(sorted(keys)):
            for row in run(query, keys=batch):
                self.take_node(row[0], dict(zip(query.returns, row, strict=True)))

    def read_uses(self, run: Run, keys: Collection[str]) -> None:
        """Take in the uses with these keys."""
        for batch in batches(sorted(keys)):
            for artifact, execution, facts in run(load("read/uses"), keys=batch):
                self.take_use(artifact, execution, facts)

    def read_uses_of(self, run: Run, executions: Collection[str]) -> None:
        """Take in the uses of these executions."""
        for batch in batches(sorted(executions)):
            for artifact, execution, facts in run(load("read/uses_of"), keys=batch):
                self.take_use(artifact, execution, facts)

    def read_relations_of(self, run: Run, sources: Collection[str]) -> None:
        """Take in the relations of these sources."""
        for batch in batches(sorted(sources)):
            for row in run(load("read/relations_of"), keys=batch):
                self.take_relation(*row)

    def read_relations_to(self, run: Run, targets: Collection[str]) -> None:
        """Take in the relations to these targets."""
        for batch in batches(sorted(targets)):
            for row in run(load("read/relations_to"), keys=batch):
                self.take_relation(*row)

    def read_relations(self, run: Run, relations: Collection[RelationFact]) -> None:
        """Take in those of these relations that are there."""
        rows = [relation_link(relation, "")._asdict() for relation in sorted(relations)]
        for batch in batches(rows):
            for row in run(load("merge/find_relations"), rows=batch):
                self.take_relation(*row)

    def read_points_of(self, run: Run, executions: Collection[str], after: int) -> None:
        """Take in the points of these executions that came after a version."""
        for key in sorted(executions):  # one by one: an execution may have millions
            for execution, series, chunk, stamp, rows in run(load("read/points_of"), keys=[key], after=after):
                self.delta.points[execution, series, chunk] = points_register(stamp, rows)

    def take_node(self, key: str, facts: Facts) -> None:
        """Take in a node."""
        self.recorded[key] = facts["recorded_at"]
        self._take_said(key, facts)
        if facts["series"]:
            self.series[key] = facts["series"]
        if facts["cmf_start_told"] is not None:
            self.delta.starts_told[key] = facts["cmf_start_told"]
        if facts["cmf_ending"] is not None:
            stamp, *ending = msgspec.json.decode(facts["cmf_ending"])
            self.delta.endings[key] = Register.of(stamp, Ending(*ending))
        if facts["first_seen"] is not None:
            self._take_told(key, Stamp(f"{facts['first_seen']} {facts['first_origin']}"), facts)

    def take_use(self, artifact: str, execution: str, facts: Facts) -> None:
        """Take in a use."""
        key: str = facts["key"]
        self.recorded[key] = facts["recorded_at"]
        self.delta.uses[key] = UseFact(
            facts["first"],
            execution,
            artifact,
            DIRECTIONS[facts["type"]],
            facts.get("long_path") or facts["path"],
        )
        self._take_said(key, facts)
        self._take_fields(key, facts)

    def take_relation(self, kind: str, source: str, target: str, first: Stamp) -> None:
        """Take in a relation."""
        self.delta.relations[RelationFact(RELATION_KINDS[kind], source, target)] = first

    def take_pending(self, key: str, facts: Facts) -> None:
        """Take in what was said of a use that has not come."""
        self.pending.add(key)
        self._take_said(key, facts)
        self._take_fields(key, facts)

    def _take_told(self, key: str, first: Stamp, facts: Facts) -> None:
        match kind_of(key):
            case "artifact":
                record = facts["cmf_record"] and _RECORDS.decode(facts["cmf_record"])
                name, types = facts["name"], tuple(facts["types"])
                told = ArtifactFact(first, name, types, facts["size_bytes"], record, facts["sha256"])
                self.delta.artifacts[key] = told
            case "execution":
                self.delta.executions[key] = ExecutionFact(first, _EXECUTIONS.decode(facts["cmf_identity"]))
            case _:
                self.delta.contexts[key] = ContextFact(first, _CONTEXTS.decode(facts["cmf_identity"]))

    def _take_said(self, key: str, facts: Facts) -> None:
        if properties := facts.get("cmf_properties"):
            for name, (stamp, value) in msgspec.json.decode(properties).items():
                self.delta.properties[key, name] = Register.of(stamp, value)
        if retraction := facts.get("cmf_retraction"):
            self.delta.retractions[key] = Register.of(*msgspec.json.decode(retraction))
            self.retractions_recorded[key] = facts["retraction_recorded_at"]

    def _take_fields(self, key: str, facts: Facts) -> None:
        """What a use itself can be told anew with."""
        for name, registers in (("commit", self.delta.commits), ("url", self.delta.urls)):
            if name in facts:
                # The stamp is left out where it is that of the use.
                registers[key] = Register.of(facts.get(f"{name}_stamp") or facts["first"], facts[name])


def points_register(stamp: str, rows: str) -> Register[Any]:
    """A chunk of points, from its stamp and rows as text."""
    return Register(Stamp(stamp), rows.encode(), POINTS.decode(rows))


def batches(items: Sequence[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """Pieces of a list, none when it is empty."""
    return batched(items, size)
