"""What it takes to run an execution again, read off the graph: code, command, environment, inputs; what came out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cmf.core.errors import NotReproducible
from cmf.core.model import Artifact, ArtifactType, Code, Edge, Execution, Lineage
from cmf.core.values import Json

WORKING_FOLDER = "working_folder"
"""The property that names the folder an execution ran in, from the clone's root, where that is another."""


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An artifact as an execution read or wrote it. `url` says where content is that was not read here."""

    key: str
    path: str
    types: tuple[str, ...] = ()
    size_bytes: int | None = None
    sha256: str | None = None
    url: str | None = None
    values: dict[str, Json] | None = None

    @property
    def md5(self) -> str | None:
        """The address of its bytes in a cache (of a folder, with `.dir`); None for what has no bytes of its own."""
        scheme, _, digest = self.key.partition(":")
        return digest if scheme == "md5" and self.url is None else None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.key.endswith(".dir")


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The environment that an execution ran in, as far as it was told: distributions by name, with their versions."""

    key: str
    python: str | None = None
    platform: str | None = None
    distributions: dict[str, str] = {}


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to run an execution again. `commit` is the tree it started with: the snapshot, where one was made."""

    execution: str
    pipeline: str | None = None
    stage: str | None = None
    project: str | None = None
    started_at: str | None = None
    commit: str | None = None
    code: Code | None = None
    end_commit: str | None = None
    command: tuple[str, ...] = ()
    working_folder: str = "."
    parameters: dict[str, Json] = {}
    environment: Environment | None = None
    inputs: tuple[Item, ...] = ()
    outputs: tuple[Item, ...] = ()


def recipe(near: Lineage, key: str) -> Recipe:
    """The recipe of an execution, from the lineage of what it read and wrote."""
    nodes = {node.key: node for node in near.nodes}
    execution = nodes[key]
    assert isinstance(execution, Execution)
    read = [edge for edge in near.edges if edge.kind == "input" and edge.target == key]
    written = [edge for edge in near.edges if edge.kind == "output" and edge.source == key]
    artifacts = {key: node for key, node in nodes.items() if isinstance(node, Artifact)}
    surroundings = [artifacts[e.source] for e in read if ArtifactType.ENVIRONMENT in artifacts[e.source].types]
    code, folder = execution.code, execution.properties.get(WORKING_FOLDER)
    return Recipe(
        execution=key,
        pipeline=execution.pipeline,
        stage=execution.stage,
        project=execution.project,
        started_at=execution.started_at,
        commit=(code.snapshot or code.commit) if code else None,
        code=code,
        end_commit=execution.end_commit,
        command=execution.command,
        working_folder=folder if isinstance(folder, str) and folder else ".",
        parameters=execution.parameters,
        environment=_environment(surroundings[0]) if surroundings else None,
        inputs=tuple(_item(e, artifacts[e.source]) for e in read if artifacts[e.source] not in surroundings),
        outputs=tuple(_item(edge, artifacts[edge.target]) for edge in written),
    )


def producer(near: Lineage, artifact: str, path: str | None = None) -> str:
    """The execution to run again to get an artifact: of those that wrote it, one that can be, and the newest of them.

    One that wrote it under the `path` comes before the others: a copy has the content of its original.

    Raises:
        NotReproducible: none is known.
    """
    writers = {edge.source for edge in near.edges if edge.kind == "output" and edge.target == artifact}
    found = [node for node in near.nodes if isinstance(node, Execution) and node.key in writers]
    if not found:
        raise NotReproducible(f"{artifact}: no recorded execution wrote it; it came from outside of the pipeline")
    at_path = {edge.source for edge in near.edges if edge.target == artifact and edge.path == path}
    return max(found, key=lambda node: (node.key in at_path, *_fitness(node))).key


def chain(up: Lineage, key: str) -> list[str]:
    """The executions that led to one, in the order in which to run them, itself last.

    Where several wrote the same content the one that `producer` takes is enough.
    """
    makers: dict[str, list[Execution]] = {}
    inputs: dict[str, set[str]] = {}
    executions = {node.key: node for node in up.nodes if isinstance(node, Execution)}
    for edge in up.edges:
        if edge.kind == "output" and edge.source in executions:
            makers.setdefault(edge.target, []).append(executions[edge.source])
        elif edge.kind == "input":
            inputs.setdefault(edge.target, set()).add(edge.source)
    wanted, waiting = {key}, [key]
    while waiting:
        reader = waiting.pop()
        for artifact in inputs.get(reader, ()):
            before = [maker for maker in makers.get(artifact, ()) if _started(maker) < _started(executions[reader])]
            maker = max(before, key=_fitness, default=None)
            if maker is not None and maker.key not in wanted:
                wanted.add(maker.key)
                waiting.append(maker.key)
    # What was read was written before, so the times at which they started are an order that goes.
    ordered = sorted(wanted - {key}, key=lambda wanted_key: (_started(executions[wanted_key]), wanted_key))
    return [*ordered, key]


def _fitness(execution: Execution) -> tuple[bool, bool, str, str]:
    return execution.status == "complete", execution.code is not None, _started(execution), execution.key


def _started(execution: Execution) -> str:
    return execution.started_at or ""


def _item(edge: Edge, node: Artifact) -> Item:
    return Item(
        key=node.key,
        path=edge.path,
        types=node.types,
        size_bytes=node.size_bytes,
        sha256=node.sha256,
        url=edge.url,
        values=node.values,
    )


def _environment(node: Artifact) -> Environment:
    told = node.properties
    python, platform = told.get("python"), told.get("platform")
    return Environment(
        key=node.key,
        python=python if isinstance(python, str) else None,
        platform=platform if isinstance(platform, str) else None,
        distributions=dict(_versions(told.get("distributions"))),
    )


def _versions(told: Json) -> Iterable[tuple[str, str]]:
    """Names and versions, however they are told: an object of versions or of objects, or a list of `name==version`."""
    if isinstance(told, dict):
        for name, about in told.items():
            version = about.get("version") if isinstance(about, dict) else about
            if isinstance(version, str):
                yield name, version
    elif isinstance(told, list):
        for line in told:
            name, separator, version = str(line).partition("==")
            if separator:
                yield name, version
