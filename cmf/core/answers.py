"""From facts to answers: what a store holds of a node or a use, as the value in which it answers.

Every store brings the facts as a delta of the nodes asked for, so that one place says what they mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cmf.core import foreign
from cmf.core.delta import ArtifactFact, Delta, ExecutionFact, UseFact
from cmf.core.foreign import Place
from cmf.core.identity import kind_of, pipeline_key, stage_key
from cmf.core.model import Artifact, Edge, Execution, Node, Pipeline, Relation, Stage, Status
from cmf.core.operations import ForeignIdentity, NamedIdentity, PutContext, RunIdentity
from cmf.core.records import time_of
from cmf.core.values import Json

Common = dict[str, Any]


def nodes(of: Delta, keys: Iterable[str], recorded: Mapping[str, str]) -> Iterator[Node]:
    """The nodes with these keys; `recorded` holds the time at which the store first held each."""
    properties = _by_key(of)
    places = foreign.places(of)
    series: dict[str, set[str]] = defaultdict(set)
    for execution, name, _ in of.points:
        series[execution].add(name)
    for key in keys:
        retraction = of.retractions.get(key)
        common: Common = {
            "key": key,
            "recorded_at": recorded.get(key),
            "properties": properties.get(key, {}),
            "retracted": retraction.value if retraction else None,
            "retracted_at": time_of(retraction.stamp) if retraction and retraction.value is not None else None,
        }
        match kind_of(key):
            case "artifact":
                yield _artifact(common, of.artifacts.get(key))
            case "execution":
                yield _execution(common, of, series[key], places.get(key, ()))
            case _:
                yield _context(common, of)


def edges(of: Delta, keys: Iterable[str]) -> Iterator[Edge]:
    """The uses with these keys, whole."""
    properties = _by_key(of)
    for key in keys:
        use = of.uses[key]
        commit, url, retraction = of.commits.get(key), of.urls.get(key), of.retractions.get(key)
        yield Edge(
            key=key,
            source=use.artifact if use.direction == "input" else use.execution,
            target=use.execution if use.direction == "input" else use.artifact,
            kind=use.direction,
            path=use.path,
            commit=commit.value if commit else None,
            url=url.value if url else None,
            retracted=retraction.value if retraction else None,
            properties=properties.get(key, {}),
        )


def bare_edge(key: str, use: UseFact) -> Edge:
    """A use without what can be said of it: its ends and its path."""
    source, target = (use.artifact, use.execution) if use.direction == "input" else (use.execution, use.artifact)
    return Edge(key=key, source=source, target=target, kind=use.direction, path=use.path)


def relations(of: Delta) -> tuple[Relation, ...]:
    """The relations, in order."""
    return tuple(sorted(Relation(kind=r.kind, source=r.source, target=r.target) for r in of.relations))


def stub(key: str) -> Node:
    """A node known only as an end of an edge."""
    make: dict[str, Callable[..., Node]] = {"artifact": Artifact, "execution": Execution}
    return make.get(kind_of(key), Pipeline)(key=key, name=short(key), stub=True)


def short(key: str) -> str:
    """A key as people read it: its kind and the first eight digits.

    >>> short("md5:d41d8cd98f00b204e9800998ecf8427e.dir")
    'md5:d41d8cd9'
    """
    kind, _, digest = key.partition(":")
    return f"{kind}:{digest[:8]}"


def _by_key(of: Delta) -> dict[str, dict[str, Json]]:
    found: dict[str, dict[str, Json]] = defaultdict(dict)
    for key, name in sorted(of.properties):
        if (value := of.properties[key, name].value) is not None:
            found[key][name] = value
    return found


def _artifact(common: Common, fact: ArtifactFact | None) -> Artifact:
    if fact is None:
        return Artifact(name=short(common["key"]), stub=True, **common)
    return Artifact(
        name=fact.name,
        types=fact.types,
        size_bytes=fact.size_bytes,
        sha256=fact.sha256,
        values=fact.record.values if fact.record else None,
        first_seen=time_of(fact.first),
        **common,
    )


def _execution(common: Common, of: Delta, series: set[str], places: tuple[Place, ...]) -> Execution:
    key = common["key"]
    fact, end = of.executions.get(key), of.endings.get(key)
    ending: dict[str, Any] = {"status": status_of(fact, end.value.status if end else None)}
    if end:
        ending |= {"ended_at": end.value.ended_at, "end_commit": end.value.end_commit, "error": end.value.error}
    if key in of.starts_told:
        ending["started_at"] = of.starts_told[key]
    ending["series"] = tuple(sorted(series))
    if fact is None:
        return Execution(name=short(key), stub=True, **common, **ending)
    stated, rest = _stated(fact, common["properties"])
    if end is None and "status" in stated:
        ending["status"] = stated["status"]
    return Execution(
        first_seen=time_of(fact.first),
        **(common | {"properties": rest} | stated | ending | _started(fact, stated, places)),
    )


def listed_at(execution: Execution) -> str:
    """What executions are listed by: when it started, or where that is not known, when it ended."""
    return execution.started_at or execution.ended_at or ""


def status_of(fact: ExecutionFact | None, ended: str | None) -> Status:
    """The status of an execution: how it ended, else whether its start is known.

    Another system's run is `unknown` as long as nothing says how it stands: its record may have been made afterwards.
    """
    running = fact is not None and not isinstance(fact.identity, ForeignIdentity)
    return ended or ("running" if running else "unknown")  # type: ignore[return-value]


def _stated(fact: ExecutionFact, properties: dict[str, Json]) -> tuple[dict[str, Any], dict[str, Json]]:
    """The fields that properties state, where the execution's own record does not hold them, and the other ones."""
    return ({}, properties) if isinstance(fact.identity, RunIdentity) else foreign.lifted(properties)


def _started(fact: ExecutionFact, stated: dict[str, Any], places: tuple[Place, ...]) -> dict[str, Any]:
    match fact.identity:
        case RunIdentity() as run:
            return {
                "name": run.stage,
                "pipeline": run.pipeline,
                "stage": run.stage,
                "type": run.type,
                "started_at": run.started_at,
                "command": run.command,
                "code": run.code,
                "parameters": run.parameters,
                "project": run.project,
                "branch": run.branch,
            }
        case NamedIdentity() as named:
            return {"name": named.name, "pipeline": named.pipeline, "stage": named.stage, "type": named.stage}
        case ForeignIdentity() as run:
            shown = places[0] if places else Place(None, None)
            names = {"name": stated.get("name") or shown.stage or run.run, "type": stated.get("type", run.source)}
            return names | {"pipeline": shown.pipeline, "stage": shown.stage}


def _context(common: Common, of: Delta) -> Node:
    fact = of.contexts.get(common["key"])
    if fact is None:
        return Pipeline(name=short(common["key"]), stub=True, **common)
    context: PutContext = fact.operation
    common |= {"name": context.name, "first_seen": time_of(fact.first)}
    if context.kind == "pipeline":
        return Pipeline(namespace=context.namespace, **common)
    return Stage(pipeline=context.parent, **common)


def context_keys(of: Delta) -> set[str]:
    """The keys of the pipelines and stages that its executions run in; where a relation says it, only the stages'."""
    found = {relation.target for relation in of.relations if relation.kind == "ran_in"}
    for fact in of.executions.values():
        if isinstance(run := fact.identity, RunIdentity | NamedIdentity):
            found.add(pipeline_key(run.pipeline, run.namespace))
            found.add(stage_key(run.pipeline, run.stage, run.namespace))
    return found
