"""A pipeline as the JSON that cmflib pushes to its server: pipelines, their stages, executions, and events."""

from __future__ import annotations

from typing import Any, Final

from cmf.compat.graph import Graph, Near
from cmf.compat.ids import executions_of
from cmf.compat.objects import Artifact, Context, Entity, Execution
from cmf.core.model import Edge

EVENTS: Final = {"input": 3, "output": 4}
"""ML Metadata's numbers of the events INPUT and OUTPUT."""


def pipeline(graph: Graph, of: Context, uuid: str | None = None, since: int = 0) -> dict[str, Any]:
    """A pipeline, or what it has of the execution with a UUID, or of executions changed `since` a time.

    The time is in milliseconds since 1970.
    """
    keys = None if uuid is None else executions_of(uuid)
    chosen = [node for node in graph.nodes_of_executions(of.name) if keys is None or node.key in keys]
    executions = {node.key: (node.stage, graph.as_execution(node)) for node in chosen}
    recent = {k: v for k, v in executions.items() if v[1].last_update_time_since_epoch >= since}
    near = graph.around(recent)
    artifacts = {artifact.key: artifact for artifact in near.artifacts()}
    stages = []
    for stage in graph.stages(of.name):
        ran = [found for name, found in recent.values() if f"{of.name}/{name}" == stage.name]
        if ran or (uuid is None and not since):
            stages.append(_stage(stage, ran, near, artifacts))
    return _entity(of) | {"stages": stages}


def _stage(of: Context, executions: list[Execution], near: Near, artifacts: dict[str, Artifact]) -> dict[str, Any]:
    told = []
    for execution in executions:
        uses = sorted(near.uses.get(execution.key, ()), key=lambda use: (use.kind, use.path, use.key))
        told.append(_entity(execution) | {"events": [_event(use, artifacts) for use in uses]})
    return _entity(of) | {"executions": told}


def _event(use: Edge, artifacts: dict[str, Artifact]) -> dict[str, Any]:
    artifact = artifacts[use.source if use.kind == "input" else use.target]
    return {"type": EVENTS[use.kind], "artifact": _entity(artifact) | {"uri": artifact.uri}}


def _entity(of: Entity) -> dict[str, Any]:
    return {
        "id": of.id,
        "name": of.name,
        "type": of.type,
        "properties": of.properties.plain(),
        "custom_properties": of.custom_properties.plain(),
        "create_time_since_epoch": of.create_time_since_epoch,
        "last_update_time_since_epoch": of.last_update_time_since_epoch,
    }
