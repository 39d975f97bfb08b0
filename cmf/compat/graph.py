"""What is asked of the graph in cmflib's terms: by ids and names, answered with cmflib's objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

from cmf.compat import translate
from cmf.compat.ids import id_of, named_artifacts, prefix_of
from cmf.compat.objects import Artifact, Context, Execution
from cmf.core import model
from cmf.core.errors import InvalidValue, UnknownKey
from cmf.core.identity import kind_of, stage_key
from cmf.core.lineage import MAX_LIMIT
from cmf.core.model import Edge, Lineage
from cmf.core.operations import ExecutionIdentity
from cmf.core.store import Filters, Store
from cmf.questions import Query

_CONTEXTS = ("context:", "context;")


class Graph:
    """A graph in cmflib's terms. A `store`, where there is one in this process, also knows of stages without a run."""

    def __init__(self, query: Query, namespace: str | None = None, store: Store | None = None) -> None:
        self.query = query
        self._namespace = namespace
        self._store = store

    def pipelines(self) -> list[Context]:
        """The pipelines, in the order in which they were first recorded."""
        return _in_order(translate.pipeline(node) for node in self.query.pipelines())

    def stages(self, pipeline: str) -> list[Context]:
        """The stages of a pipeline, in the order in which they were first recorded."""
        found = {stage.key: stage for stage in self._stages_without_runs(pipeline)}
        for node in self.nodes_of_executions(pipeline):
            if node.stage is not None and (key := stage_key(pipeline, node.stage, self._namespace)) not in found:
                known = model.Stage(key=key, name=node.stage, first_seen=node.started_at or node.first_seen)
                found[key] = translate.stage(known, pipeline)
        return _in_order(found.values())

    def _stages_without_runs(self, pipeline: str) -> Iterator[Context]:
        if self._store is None:
            return
        nodes = self._store.nodes(self._store.keys(*_CONTEXTS, MAX_LIMIT))
        pipelines = {node.key for node in nodes if isinstance(node, model.Pipeline) and node.name == pipeline}
        for node in nodes:
            if isinstance(node, model.Stage) and node.pipeline in pipelines and node.retracted is None:
                yield translate.stage(node, pipeline)

    def node(self, key: str) -> model.Node:
        """The pipeline or stage of this process's store with this key.

        Raises:
            UnknownKey
        """
        for node in self._store.nodes([key]) if self._store is not None else ():
            return node
        raise UnknownKey(key)

    def stage(self, name: str) -> tuple[str, str] | None:
        """The pipeline and the stage that a stage's full name stands for; None where no pipeline begins so."""
        for pipeline in self.pipelines():
            if name.startswith(f"{pipeline.name}/"):
                stage = name.removeprefix(f"{pipeline.name}/")
                if any(found.name == name for found in self.stages(pipeline.name)):
                    return pipeline.name, stage
        return None

    def context(self, id_: int) -> Context:
        """The pipeline or stage of this id.

        Raises:
            UnknownKey
        """
        for pipeline in self.pipelines():
            for context in (pipeline, *self.stages(pipeline.name)):
                if context.id == id_:
                    return context
        raise UnknownKey(f"the id {id_} of a pipeline or stage")

    def nodes_of_executions(self, pipeline: str | None = None, stage: str | None = None) -> list[model.Execution]:
        """The executions, oldest first."""
        nodes = self.query.executions(Filters(pipeline=pipeline, stage=stage))
        return [node for node in nodes if isinstance(node, model.Execution) and node.retracted is None][::-1]

    def executions(self, pipeline: str | None = None, stage: str | None = None) -> list[Execution]:
        """The executions, oldest first."""
        return [self.as_execution(node) for node in self.nodes_of_executions(pipeline, stage)]

    def as_execution(self, node: model.Execution) -> Execution:
        """A node as cmflib's object."""
        return translate.execution(node, self._namespace)

    def execution_key(self, id_: int) -> str:
        """The key of the execution of this id.

        Raises:
            UnknownKey, InvalidValue
        """
        try:
            return self.query.key(f"execution:{prefix_of(id_)}")
        except UnknownKey as exc:
            raise UnknownKey(f"the id {id_} of an execution") from exc

    def execution(self, key: str) -> Execution:
        """The execution with this key.

        Raises:
            UnknownKey
        """
        node = self.query.show(key, 1).node
        if not isinstance(node, model.Execution):
            raise InvalidValue(f"{key} names no execution")
        return self.as_execution(node)

    def identities(self, keys: Collection[str]) -> list[ExecutionIdentity]:
        """What these executions are the digests of, as far as the store knows them."""
        known = self._store.state(keys).executions if self._store is not None else {}
        return [fact.identity for fact in known.values()]

    def artifact_key(self, id_: int) -> str:
        """The key of the artifact of this id.

        Raises:
            UnknownKey, InvalidValue
        """
        for algorithm in ("md5", "sha256"):
            try:
                return self.query.key(f"{algorithm}:{prefix_of(id_)}")
            except UnknownKey:
                continue
        # Digests of other algorithms need not be hexadecimal, and then an id is no beginning of one.
        for node in self.query.artifacts():
            if id_of(node.key) == id_:
                return node.key
        raise UnknownKey(f"the id {id_} of an artifact")

    def key_named(self, name: str) -> str | None:
        """The key of the artifact of this name, or under this path; None when there is none."""
        for asked in (*named_artifacts(name), name.strip()):
            try:
                key = self.query.key(asked)
            except UnknownKey:
                continue
            if kind_of(key) == "artifact":
                return key
        return None

    def artifact(self, key: str) -> Artifact:
        """The artifact with this key.

        Raises:
            UnknownKey
        """
        found = self.query.show(key)
        if not isinstance(found.node, model.Artifact):
            raise InvalidValue(f"{key} names no artifact")
        uses = [use for use in found.uses if use.retracted is None]
        first = sorted((use.kind != "output", _execution_of(use)) for use in uses)[:1]
        near = {user: self.query.show(user, 1).node for _, user in first}
        return translate.artifact(found.node, uses, near)

    def around(self, executions: Collection[str]) -> Near:
        """What executions read and wrote."""
        return Near(self.query.lineage_of(executions, "both", 1) if executions else _NOTHING)


class Near:
    """A lineage answer, with the uses of each of its nodes at hand."""

    def __init__(self, answer: Lineage) -> None:
        self.answer = answer

    @cached_property
    def nodes(self) -> dict[str, model.Node]:
        """The nodes by their keys, oldest first."""
        in_order = sorted(self.answer.nodes, key=lambda node: (node.first_seen or "", node.key))
        return {node.key: node for node in in_order}

    @cached_property
    def uses(self) -> dict[str, list[Edge]]:
        """The uses of each node."""
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.answer.edges:
            found[edge.source].append(edge)
            found[edge.target].append(edge)
        return found

    def executions(self) -> list[model.Execution]:
        """The executions among the nodes."""
        return [node for node in self.nodes.values() if isinstance(node, model.Execution)]

    def artifacts(self, among: Collection[str] | None = None) -> list[Artifact]:
        """The artifacts among the nodes, or those of them with these keys."""
        nodes = [node for node in self.nodes.values() if isinstance(node, model.Artifact)]
        return [
            translate.artifact(node, self.uses.get(node.key, ()), self.nodes)
            for node in nodes
            if among is None or node.key in among
        ]

    def inputs(self, executions: Collection[str]) -> set[str]:
        """The keys of what these executions read."""
        return {edge.source for edge in self.answer.edges if edge.kind == "input" and edge.target in executions}

    def outputs(self, executions: Collection[str]) -> set[str]:
        """The keys of what these executions wrote."""
        return {edge.target for edge in self.answer.edges if edge.kind == "output" and edge.source in executions}

    def users(self, artifacts: Collection[str]) -> set[str]:
        """The keys of the executions that read these artifacts."""
        return {edge.target for edge in self.answer.edges if edge.kind == "input" and edge.source in artifacts}

    def makers(self, artifacts: Collection[str]) -> set[str]:
        """The keys of the executions that wrote these artifacts."""
        return {edge.source for edge in self.answer.edges if edge.kind == "output" and edge.target in artifacts}


_NOTHING = Lineage(roots=(), direction="both", depth=1, complete=True, truncated=None, nodes=(), edges=())


def _execution_of(use: Edge) -> str:
    return use.source if use.kind == "output" else use.target


def _in_order(contexts: Iterable[Context]) -> list[Context]:
    return sorted(contexts, key=lambda context: (context.create_time_since_epoch, context.name))
