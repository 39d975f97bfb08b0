"""How facts look in Neo4j: the labels and properties of nodes and uses.

Each has two halves: what people read (the answer itself, see `plain`), and under `cmf_…` the exact facts as JSON
text, with the stamps that decide the next merge. `held` reads the second half back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from cmf.core import answers, foreign
from cmf.core.delta import Delta, Register, RelationFact, UseFact
from cmf.core.identity import stage_key
from cmf.core.model import Artifact, ArtifactType, Edge, Execution, Node, Pipeline, Stage
from cmf.core.operations import ForeignIdentity
from cmf.core.values import Json, encode
from cmf_graph.plain import mirrored, paths, prefixed, time

Properties = dict[str, Any]
Stated = Mapping[str, Mapping[str, Register[Json]]]
"""Registers of user properties by key and name."""

TYPES = frozenset(ArtifactType)
"""Types that are labels too; a user's own type stands in `types` only, as no label is made of input."""

USE_TYPES = {"input": "INPUT", "output": "OUTPUT"}

RELATION_TYPES = {
    "slice_of": "SLICE_OF",
    "labels": "LABELS",
    "derived_from": "DERIVED_FROM",
    "version_of": "VERSION_OF",
    "part_of": "PART_OF",
    "ran_in": "RAN_IN",
}

TIME_LENGTH = 27
"""Characters of a stamp's time; a space and its origin follow."""


class NodeRow(NamedTuple):
    """A node as it is to be."""

    key: str
    labels: tuple[str, ...]
    properties: Properties


class Link(NamedTuple):
    """A relationship between two nodes by their keys."""

    source: str
    target: str
    type: str
    properties: Properties


def node_rows(delta: Delta, keys: Collection[str]) -> Iterator[NodeRow]:
    """The nodes with these keys, as the delta tells of them."""
    stated = stated_by_key(delta)
    ran = foreign.places(delta)
    for node in answers.nodes(delta, keys, {}):
        properties: Properties = {"key": node.key, "name": node.name, **_said(delta, stated, node.key)}
        if node.retracted is not None:
            properties["retracted"] = node.retracted
        properties |= mirrored(node.properties)
        properties |= _DESCRIBE[type(node)](delta, node)
        if len(places := ran.get(node.key, ())) > 1:
            properties["places"] = [f"{place.pipeline or ''}\n{place.stage or ''}" for place in places]
        yield NodeRow(node.key, _labels(node), {k: v for k, v in properties.items() if v is not None})


def use_rows(delta: Delta, keys: Collection[str]) -> Iterator[tuple[str, Link]]:
    """The uses with these keys, which the delta must tell of."""
    stated = stated_by_key(delta)
    for edge in answers.edges(delta, keys):
        properties = _said(delta, stated, edge.key)
        properties |= {"key": edge.key, "first": delta.uses[edge.key].first, **paths(edge.path)}
        if edge.retracted is not None:
            properties["retracted"] = edge.retracted
        if edge.properties:
            properties |= mirrored(edge.properties)
        yield edge.key, _link(edge, properties)


def pending_rows(delta: Delta, keys: Collection[str]) -> Iterator[tuple[str, Properties]]:
    """What the delta says of uses that it does not tell of."""
    stated = stated_by_key(delta)
    for key in keys:
        yield key, {"key": key, **_said(delta, stated, key)}


def stated_by_key(delta: Delta) -> Stated:
    """The user properties of a delta by key."""
    found: dict[str, dict[str, Register[Json]]] = defaultdict(dict)
    for (key, name), register in delta.properties.items():
        found[key][name] = register
    return found


def parent_link(delta: Delta, key: str) -> Link | None:
    """The link to a stage from its pipeline, or to an execution from its stage, as far as the delta knows it."""
    if context := delta.contexts.get(key):
        parent = context.operation.parent
        return Link(parent, key, "HAS_STAGE", {}) if parent else None
    if execution := delta.executions.get(key):
        of = execution.identity
        if not isinstance(of, ForeignIdentity):
            return Link(stage_key(of.pipeline, of.stage, of.namespace), key, "RAN", {})
    return None


def relation_link(relation: RelationFact, first: str) -> Link:
    """A relation as a relationship."""
    return Link(relation.source, relation.target, RELATION_TYPES[relation.kind], {"first": first})


def points_id(execution: str, series: str, chunk: int) -> str:
    """The id of a chunk of points."""
    return f"{execution} {chunk} {series}"


def _said(delta: Delta, stated: Stated, key: str) -> Properties:
    """What may be said of a node or use, at any time and before it is told of: the exact half."""
    said: Properties = {}
    if registers := stated.get(key):
        said["cmf_properties"] = _json({name: [r.stamp, r.value] for name, r in sorted(registers.items())})
    if retraction := delta.retractions.get(key):
        said["cmf_retraction"] = _json([retraction.stamp, retraction.value])
    _say(said, "commit", delta.commits.get(key), delta.uses.get(key))
    _say(said, "url", delta.urls.get(key), delta.uses.get(key))
    return said


def _say(said: Properties, name: str, register: Register[str] | None, use: UseFact | None) -> None:
    """A field of a use, with its stamp, unless that is the use's own, as it mostly is."""
    if register:
        said[name] = register.value
        if use is None or use.first != register.stamp:
            said[f"{name}_stamp"] = register.stamp


def _artifact(delta: Delta, node: Artifact) -> Properties:
    fact = delta.artifacts.get(node.key)
    if fact is None:
        return {}
    found = {"types": fact.types, "size_bytes": fact.size_bytes, "sha256": fact.sha256, **_first(fact.first)}
    if fact.record:
        found |= {"cmf_record": _json(fact.record), **prefixed("metric_", fact.record.values)}
    return found


def _execution(delta: Delta, node: Execution) -> Properties:
    found: Properties = {
        "status": node.status,
        "started_at": time(node.started_at),
        "ended_at": time(node.ended_at),
        "error": node.error,
        "end_commit": node.end_commit,
        "series": node.series or None,
        "cmf_start_told": delta.starts_told.get(node.key),
    }
    if ending := delta.endings.get(node.key):
        found["cmf_ending"] = _json([ending.stamp, *ending.value])
    if fact := delta.executions.get(node.key):
        found |= {"cmf_identity": _json(fact.identity), **_first(fact.first), **_start(node)}
    return found


def _start(node: Execution) -> Properties:
    found: Properties = {
        # The position in lists: as text, since a time that is not known must have a place too.
        "started": answers.listed_at(node),
        "pipeline": node.pipeline,
        "stage": node.stage,
        "type": node.type,
        "project": node.project,
        "branch": node.branch,
        "command": node.command or None,
        **prefixed("parameter_", node.parameters),
    }
    if node.code:
        found |= {"commit": node.code.commit, "remote": node.code.remote, "dirty": node.code.dirty}
    return found


def _context(delta: Delta, node: Pipeline | Stage) -> Properties:
    fact = delta.contexts.get(node.key)
    if fact is None:
        return {}
    told = fact.operation
    return {"namespace": told.namespace, "parent": told.parent, "cmf_identity": _json(told), **_first(fact.first)}


_DESCRIBE: dict[type[Node], Callable[..., Properties]] = {
    Artifact: _artifact,
    Execution: _execution,
    Pipeline: _context,
    Stage: _context,
}


def _labels(node: Node) -> tuple[str, ...]:
    if node.stub and isinstance(node, Pipeline):
        return ("Context", "Stub")  # a pipeline or a stage: its key does not say which
    stub = ("Stub",) if node.stub else ()
    types = tuple(sorted(TYPES.intersection(node.types))) if isinstance(node, Artifact) else ()
    return (type(node).__name__, *types, *stub)


def _first(stamp: str) -> Properties:
    return {"first_seen": stamp[:TIME_LENGTH], "first_origin": stamp[TIME_LENGTH + 1 :]}


def _link(edge: Edge, properties: Properties) -> Link:
    return Link(edge.source, edge.target, USE_TYPES[edge.kind], properties)


def _json(value: object) -> str:
    return encode(value).decode()
