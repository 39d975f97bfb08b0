"""From the graph's nodes to cmflib's objects: which fact stands in which of their properties."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from cmf.compat.ids import id_of, uri_of, uuid_of
from cmf.compat.objects import Artifact, Context, Execution, Properties, milliseconds
from cmf.core import model
from cmf.core.identity import pipeline_key, stage_key
from cmf.core.model import ArtifactType, Edge
from cmf.core.values import Json

PIPELINE: Final = "Parent_Context"
STAGE: Final = "Pipeline_Stage"
VALIDATION: Final = "Validation_output"

OF_NAMED: Final = ("Execution", "Git_Repo", "Git_Start_Commit")
"""Of an execution that is used again by its name: facts that its own record has no place for, kept as properties."""

_OF_EXECUTION: Final = (*OF_NAMED, "Git_End_Commit", "Execution_uuid")
_OF_FILE: Final = (
    "Pipeline_Type",
    "Pipeline_id",
    "Execution_type_name",
    "Context_Type",
    "Context_ID",
    "Pipeline_Stage",
)
"""What ML Metadata's file has of its own names and ids, which here are others."""

_OF_ARTIFACT: Final = ("url", "Commit", "git_repo", "metrics_name")
_ROW: Final = "mlmd"
"""The property of what was brought in from a file of ML Metadata: what its row had beside properties."""

_OF_MODEL: Final = ("model_framework", "model_type", "model_name")
_TYPES: Final = {ArtifactType.STEP_METRICS: "Step_Metrics"}


def type_of(types: Collection[str]) -> str:
    """The one type that cmflib shows of an artifact's: the most telling, and spelt as cmflib spells it."""
    found = [name for name in types if name != ArtifactType.DATASET] or list(types) or [ArtifactType.DATASET]
    return str(_TYPES.get(found[0], found[0]))  # type: ignore[call-overload]


def pipeline(node: model.Node) -> Context:
    """A pipeline."""
    return _context(node, node.name, PIPELINE, {})


def stage(node: model.Node, of: str) -> Context:
    """A stage of a pipeline of this name."""
    name = f"{of}/{node.name}"
    return _context(node, name, STAGE, {STAGE: name})


def _context(node: model.Node, name: str, type_: str, properties: dict[str, Json]) -> Context:
    return Context(
        key=node.key,
        name=name,
        type=type_,
        properties=Properties.of(properties),
        custom_properties=Properties.of(
            _users_own(node.properties, _OF_FILE) if _is_imported(node) else node.properties
        ),
        create_time_since_epoch=milliseconds(node.first_seen),
        last_update_time_since_epoch=milliseconds(node.first_seen),
    )


def execution(node: model.Execution, namespace: str | None) -> Execution:
    """An execution. One used again by its name is known by having no start record of its own."""
    is_named = node.stage is not None and node.name != node.stage
    imported = _is_imported(node)
    lifted = _OF_EXECUTION if imported else OF_NAMED if is_named else ()
    kept = {name: node.properties[name] for name in lifted if name in node.properties}
    custom = _without({**node.parameters, **node.properties}, kept)
    custom = _users_own(custom, _OF_FILE) if imported else custom
    started = node.started_at or node.first_seen
    return Execution(
        key=node.key,
        name=node.name if is_named else "",
        type=node.type or node.name,
        properties=Properties.of(_facts(node, namespace) | kept),
        custom_properties=Properties.of(custom),
        create_time_since_epoch=milliseconds(started),
        last_update_time_since_epoch=milliseconds(node.ended_at or started),
    )


def _facts(node: model.Execution, namespace: str | None) -> dict[str, Json]:
    told: dict[str, Json] = {
        "Execution": shlex.join(node.command),
        "Execution_uuid": uuid_of(node.key),
        "Git_Repo": (node.code.remote if node.code else None) or "",
        "Git_Start_Commit": (node.code.commit if node.code else None) or "",
        "Git_End_Commit": node.end_commit or "",
    }
    if node.pipeline:
        told |= {"Pipeline_Type": node.pipeline, "Pipeline_id": id_of(pipeline_key(node.pipeline, namespace))}
    if node.pipeline and node.stage:
        name = f"{node.pipeline}/{node.stage}"
        stage_id = id_of(stage_key(node.pipeline, node.stage, namespace))
        told |= {"Execution_type_name": name, "Context_Type": name, "Context_ID": stage_id}
    return told


def artifact(node: model.Artifact, uses: Collection[Edge], executions: Mapping[str, model.Node]) -> Artifact:
    """An artifact, with what is known of its uses and of the executions that have them."""
    path = _path(node, uses)
    producer = min((use.source for use in uses if use.kind == "output"), default=None)
    name = _name(node, path, producer)
    properties, custom = _properties(node, name, uses, executions)
    return Artifact(
        key=node.key,
        name=name,
        type=type_of(node.types),
        properties=Properties.of(properties),
        custom_properties=Properties.of(custom),
        create_time_since_epoch=milliseconds(node.first_seen),
        last_update_time_since_epoch=milliseconds(node.first_seen),
    )


def _path(node: model.Artifact, uses: Collection[Edge]) -> str:
    """The path to name it by: that under which it was first recorded, as far as that shows."""

    def order(use: Edge) -> tuple[bool, bool, str]:
        return PurePosixPath(use.path).name != node.name, use.kind != "output", use.path

    return min(uses, key=order).path if uses else node.name


def _name(node: model.Artifact, path: str, producer: str | None) -> str:
    parts = [path, uri_of(node.key)]
    match type_of(node.types):
        case "Model" | "Metrics" if producer:
            parts.append(str(id_of(producer)))
        case "Step_Metrics" if producer:
            parts += [str(id_of(producer)), uuid_of(producer)]
    return ":".join(parts)


def _properties(
    node: model.Artifact, name: str, uses: Collection[Edge], executions: Mapping[str, model.Node]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that cmflib writes itself, and those of the user."""
    custom = {**(node.values or {}), **node.properties}
    if _is_imported(node):
        custom = {"url": custom.get("url"), **_users_own(custom, _OF_ARTIFACT)}
    match type_of(node.types):
        case "Metrics":
            return {"metrics_name": name}, _without(custom, ["url"])
        case "Validation_output":
            return {"version": custom.pop("version", None)}, _without(custom, ["url"])
        case "Model":
            own = {part: custom.pop(part, None) for part in _OF_MODEL}
        case _:
            own = {"git_repo": _remote(uses, executions)}
    url = custom.pop("url", None) or next((use.url for use in uses if use.url), None) or _path(node, uses)
    return {"url": url, "Commit": uri_of(node.key)} | own, custom


def _is_imported(node: model.Node) -> bool:
    """Whether it was brought in from a file of ML Metadata, with the properties that cmflib gave it there."""
    return isinstance(node.properties.get(_ROW), dict)


def _without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _users_own(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Of what was brought in: without these names, and without what stands for the file itself."""
    kept = _without(values, names)
    return {name: value for name, value in kept.items() if name != _ROW and not name.startswith(f"{_ROW}.")}


def _remote(uses: Collection[Edge], executions: Mapping[str, model.Node]) -> str:
    for use in sorted(uses, key=lambda use: use.kind != "output"):
        of = executions.get(use.source if use.kind == "output" else use.target)
        if isinstance(of, model.Execution) and of.code and of.code.remote:
            return of.code.remote
    return ""
