"""`cmfquery.CmfQuery`: the questions of cmflib's class, answered from the graph.

Answers that are tables are DataFrames of pandas, which the extra `pandas` brings.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

from cmf.compat import dump
from cmf.compat.arguments import AnyPath, checked, checked_methods
from cmf.compat.files import content_file, read_parquet
from cmf.compat.frames import artifact_row, execution_row, frame
from cmf.compat.graph import Graph, Near
from cmf.compat.ids import id_of, path_in
from cmf.compat.objects import Artifact, Execution, milliseconds
from cmf.compat.session import folder_of
from cmf.compat.translate import type_of
from cmf.core import model
from cmf.core.errors import BadQuestion
from cmf.core.model import ArtifactType, Direction, Edge
from cmf.core.store import Filters
from cmf.questions import Query, StoreSource, query
from cmf.repository import Repository

EXCLUDED_ARTIFACT_TYPES: Final = ["Environment", "Label"]
"""What `get_one_hop_parent_artifacts_with_id` leaves out."""

DataFrame = Any
"""One of pandas, which need not be installed."""


@checked_methods
class CmfQuery:
    """Questions to the clone that `filepath` lies in, to a server whose address it is, or to the clone's server.

    Raises:
        NotARepository: nothing was recorded in that folder.
        SettingsProblem: `is_server`, and the clone has none.
    """

    def __init__(self, filepath: AnyPath = "mlmd", is_server: bool = False) -> None:
        self.filepath = filepath
        self._repository: Repository | None = None
        if isinstance(filepath, str) and filepath.startswith(("http://", "https://")):
            self._graph = Graph(query(filepath))
            return
        self._repository = Repository.find(folder_of(filepath))
        namespace = self._repository.settings.namespace
        if is_server:
            from cmf import sync

            self._graph = Graph(Query(sync.remote(self._repository), self._repository.root), namespace)
        else:
            view = self._repository.view
            self._graph = Graph(Query(StoreSource(view), self._repository.root), namespace, view)

    # Pipelines and stages

    def get_pipeline_names(self) -> list[str]:
        """The names of all pipelines."""
        return [pipeline.name for pipeline in self._graph.pipelines()]

    def get_pipeline_id(self, pipeline_name: str) -> int:
        """The id of a pipeline, -1 when there is none of this name."""
        return next((found.id for found in self._graph.pipelines() if found.name == pipeline_name), -1)

    def get_pipeline_stages(self, pipeline_name: str) -> list[str]:
        """The names of a pipeline's stages, each `<pipeline>/<stage>`."""
        return [stage.name for stage in self._graph.stages(pipeline_name)]

    # Executions

    def get_all_exe_in_stage(self, stage_name: str) -> list[Execution]:
        """The executions of a stage, which is named `<pipeline>/<stage>`, oldest first."""
        found = self._graph.stage(stage_name)
        return self._graph.executions(*found) if found else []

    def get_all_executions_in_stage(self, stage_name: str) -> DataFrame:
        """The executions of a stage, a row each."""
        return frame(map(execution_row, self.get_all_exe_in_stage(stage_name)))

    def get_all_executions_in_pipeline(self, pipeline_name: str) -> DataFrame:
        """The executions of a pipeline, a row each."""
        return frame(map(execution_row, self._graph.executions(pipeline_name)))

    def get_all_executions_by_stage(self, stage_id: int, execution_uuid: str | None = None) -> list[Execution]:
        """The executions of the stage of this id, or the one of them with a UUID.

        Raises:
            UnknownKey: no stage has this id.
        """
        found = self.get_all_exe_in_stage(self._graph.context(stage_id).name)
        return [one for one in found if execution_uuid in (None, one.properties["Execution_uuid"])]

    def get_all_executions_by_ids_list(self, exe_ids: Iterable[int]) -> DataFrame:
        """The executions with these ids, a row each.

        Raises:
            UnknownKey: one of them is unknown.
        """
        return frame(execution_row(self._execution(id_), named=False) for id_ in exe_ids)

    def get_executions_with_execution_ids(self, exe_ids: Iterable[int]) -> DataFrame:
        """Id, stage and UUID of the executions with these ids.

        Raises:
            UnknownKey: one of them is unknown.
        """
        columns = ("Execution_type_name", "Execution_uuid")
        found = [self._execution(id_) for id_ in exe_ids]
        rows = [{"id": one.id} | {name: one.properties[name].string_value for name in columns} for one in found]
        return frame(rows, in_order=True)

    # Artifacts

    def get_all_artifacts(self) -> list[str]:
        """The names of all artifacts, oldest first."""
        return [artifact.name for artifact in self._all_artifacts()]

    def get_artifact_names(self) -> list[str]:
        """The same as `get_all_artifacts`."""
        return self.get_all_artifacts()

    def get_artifact(self, name: str) -> DataFrame | None:
        """The artifact of this name, as one row; None when there is none. A path, or a key, is a name too."""
        key = self._graph.key_named(name)
        return None if key is None else self.get_artifact_df(self._graph.artifact(key))

    def get_artifact_df(self, artifact: Artifact, d: dict[str, Any] | None = None) -> DataFrame:
        """An artifact as one row, behind the columns of `d`."""
        return frame([artifact_row(artifact, d)], in_order=True)

    def get_all_artifacts_by_context(self, pipeline_name: str) -> DataFrame:
        """What the executions of a pipeline read and wrote, a row each."""
        keys = [node.key for node in self._graph.nodes_of_executions(pipeline_name)]
        return frame(map(artifact_row, self._graph.around(keys).artifacts()))

    def get_all_artifacts_by_ids_list(self, artifact_ids: Iterable[int]) -> DataFrame:
        """The artifacts with these ids, a row each.

        Raises:
            UnknownKey: one of them is unknown.
        """
        keys = [self._graph.artifact_key(id_) for id_ in artifact_ids]
        return frame(artifact_row(self._graph.artifact(key)) for key in keys)

    def get_all_artifacts_for_execution(self, execution_id: int) -> DataFrame:
        """What an execution read and wrote, a row for each use; the column `event` is INPUT or OUTPUT.

        Raises:
            UnknownKey: no execution has this id.
        """
        key = self._graph.execution_key(execution_id)
        near = self._graph.around([key])
        artifacts = near.artifacts()
        rows = []
        for direction, keys in (("INPUT", near.inputs([key])), ("OUTPUT", near.outputs([key]))):
            rows += [artifact_row(one, {"event": direction}) for one in artifacts if one.key in keys]
        return frame(rows)

    def get_all_artifacts_for_executions(self, execution_ids: Iterable[int]) -> DataFrame:
        """What executions read and wrote, a row for each artifact.

        Raises:
            UnknownKey: one of the ids is unknown.
        """
        keys = [self._graph.execution_key(id_) for id_ in execution_ids]
        return frame(map(artifact_row, self._graph.around(keys).artifacts()))

    def get_all_artifact_types(self) -> list[str]:
        """The types of the artifacts that there are, in the order of their first."""
        nodes = [node for node in self._graph.query.artifacts() if isinstance(node, model.Artifact)]
        return list(dict.fromkeys(type_of(node.types) for node in reversed(nodes)))

    # From artifacts to executions

    def get_all_executions_for_artifact(self, artifact_name: str) -> DataFrame:
        """The executions that read or wrote an artifact, a row for each use; without rows when it is unknown."""
        key = self._graph.key_named(artifact_name)
        return frame([] if key is None else self._users(key))

    def get_all_executions_for_artifact_id(self, artifact_id: int) -> DataFrame:
        """The executions that read or wrote an artifact, a row for each use.

        Raises:
            UnknownKey: no artifact has this id.
        """
        return frame(self._users(self._graph.artifact_key(artifact_id)))

    def find_producer_execution(self, artifact_name: str) -> Execution | None:
        """The first of the executions that wrote an artifact; None when none did, or it is unknown."""
        if (key := self._graph.key_named(artifact_name)) is None:
            return None
        near = self._lineage([key], "upstream", 1)
        makers = near.makers([key])
        return next((self._graph.as_execution(one) for one in near.executions() if one.key in makers), None)

    def get_producer_execution(self, artifact_name: str) -> Execution | None:
        """The same as `find_producer_execution`."""
        return self.find_producer_execution(artifact_name)

    # Lineage of artifacts

    def get_one_hop_child_artifacts(self, artifact_name: str, pipeline_id: int | None = None) -> DataFrame:
        """What the executions wrote that read an artifact, or those of them in a pipeline."""
        if (key := self._graph.key_named(artifact_name)) is None:
            return frame([])
        near = self._lineage([key], "downstream", 1)
        users = near.users([key]) & {one.key for one in near.executions() if _is_in(one, pipeline_id, self._graph)}
        return frame(map(artifact_row, near.artifacts(near.outputs(users))))

    def get_one_hop_parent_artifacts(self, artifact_name: str) -> DataFrame:
        """What the executions read that wrote an artifact."""
        key = self._graph.key_named(artifact_name)
        return frame([] if key is None else map(artifact_row, self._parents(key)))

    def get_one_hop_parent_artifacts_with_id(self, artifact_id: int) -> DataFrame:
        """What the executions read that wrote an artifact, but for environments and labels.

        Raises:
            UnknownKey: no artifact has this id.
        """
        parents = self._parents(self._graph.artifact_key(artifact_id))
        return frame(artifact_row(one) for one in parents if one.type not in EXCLUDED_ARTIFACT_TYPES)

    def get_all_child_artifacts(self, artifact_name: str) -> DataFrame:
        """Everything that an artifact has touched, nearest first."""
        return self._closure(artifact_name, "downstream")

    def get_all_parent_artifacts(self, artifact_name: str) -> DataFrame:
        """Everything that an artifact comes from, nearest first."""
        return self._closure(artifact_name, "upstream")

    # Lineage of executions

    def get_one_hop_parent_executions(
        self, execution_id: Collection[int], pipeline_id: int | None = None
    ) -> list[Execution]:
        """The executions, or those of a pipeline, that wrote what executions read.

        Raises:
            UnknownKey: one of the ids is unknown.
        """
        keys = [self._graph.execution_key(id_) for id_ in execution_id]
        near = self._lineage(keys, "upstream", 2)
        makers = near.makers(near.inputs(keys))
        found = [one for one in near.executions() if one.key in makers and _is_in(one, pipeline_id, self._graph)]
        return [self._graph.as_execution(one) for one in found]

    def get_one_hop_parent_executions_ids(
        self, execution_ids: Collection[int], pipeline_id: int | None = None
    ) -> list[int]:
        """The ids of the same executions."""
        return [execution.id for execution in self.get_one_hop_parent_executions(execution_ids, pipeline_id)]

    def get_one_hop_parent_execution_ids(
        self, execution_id: int | Collection[int], pipeline_id: int | None = None
    ) -> list[int]:
        """The ids of the executions whose outputs one execution (or several) read."""
        ids = execution_id if isinstance(execution_id, Collection) else [execution_id]
        return self.get_one_hop_parent_executions_ids(ids, pipeline_id)

    def get_all_parent_executions_by_id(
        self, execution_id: Collection[int], pipeline_id: int | None = None
    ) -> list[list[Any]]:
        """Every execution, or those of a pipeline, that executions come from, and the links among them all.

        → `[[[id, stage, UUID], …], [{"source": id, "target": id}, …]]`; data flows from source to target.

        Raises:
            UnknownKey: one of the ids is unknown.
        """
        roots = [self._graph.execution_key(id_) for id_ in execution_id]
        near = self._lineage(roots, "upstream", None)
        kept = {one.key: one for one in near.executions() if one.key in roots or _is_in(one, pipeline_id, self._graph)}
        makers: dict[str, set[str]] = {}
        for edge in near.answer.edges:
            if edge.kind == "output" and edge.source in kept:
                makers.setdefault(edge.target, set()).add(edge.source)
        inputs = [edge for edge in near.answer.edges if edge.kind == "input" and edge.target in kept]
        links = {(maker, edge.target): None for edge in inputs for maker in sorted(makers.get(edge.source, ()))}
        parents = [self._graph.as_execution(one) for key, one in kept.items() if key not in roots]
        return [
            [
                [one.id, *(one.properties[name].value for name in ("Execution_type_name", "Execution_uuid"))]
                for one in parents
            ],
            [{"source": id_of(source), "target": id_of(target)} for source, target in links],
        ]

    def get_all_parent_executions(self, artifact_name: str) -> DataFrame:
        """Every execution that wrote something that an artifact comes from, a row each; not its own producers."""
        if (key := self._graph.key_named(artifact_name)) is None:
            return frame([])
        near = self._lineage([key], "upstream", None)
        others = near.makers([node for node in near.nodes if node != key])
        found = [one for one in near.executions() if one.key in others]
        return frame(execution_row(self._graph.as_execution(one)) for one in found)

    # Content

    def get_metrics(self, metrics_name: str) -> DataFrame | None:
        """The rows of fine-grained metrics, named as they were committed or by their full name; None without any.

        Of several of one name, those committed last.

        Raises:
            FileProblem: their file is neither in the cache nor in the tree.
        """
        asked = path_in(metrics_name)
        for node in self._graph.query.artifacts(Filters(type=ArtifactType.STEP_METRICS)):
            uses = [use for use in self._graph.query.show(node.key).uses if use.retracted is None]
            if asked in {part for use in uses for part in (use.path, use.path.rpartition("/")[2])}:
                return read_parquet(content_file(self._here("get_metrics"), node.key, sorted(use.path for use in uses)))
        return None

    @staticmethod
    @checked
    def read_dataslice(name: AnyPath) -> DataFrame:
        """A data slice, from the path of its file.

        Raises:
            FileProblem: it cannot be read.
        """
        return read_parquet(Path(name))

    # Everything, as JSON

    def dumptojson(self, pipeline_name: str, exec_uuid: str | None = None) -> str | None:
        """A pipeline, or what it has of one execution, as JSON in cmflib's form; None for an unknown pipeline."""
        found = [one for one in self._graph.pipelines() if one.name == pipeline_name]
        told = [dump.pipeline(self._graph, one, exec_uuid) for one in found]
        return json.dumps({"Pipeline": told}) if told else None

    def extract_to_json(self, last_sync_time: int) -> str:
        """The executions that began or ended since a time (milliseconds since 1970; 0 for all), as JSON."""
        told = [dump.pipeline(self._graph, one, since=last_sync_time) for one in self._graph.pipelines()]
        return json.dumps({"Pipeline": [one for one in told if one["stages"] or not last_sync_time]})

    def _execution(self, id_: int) -> Execution:
        return self._graph.execution(self._graph.execution_key(id_))

    def _all_artifacts(self) -> list[Artifact]:
        keys = [node.key for node in self._graph.nodes_of_executions()]
        used = {artifact.key: artifact for artifact in self._graph.around(keys).artifacts()}
        for node in self._graph.query.artifacts():
            if node.key not in used and node.retracted is None:
                used[node.key] = self._graph.artifact(node.key)
        return sorted(used.values(), key=lambda one: (one.create_time_since_epoch, one.key))

    def _lineage(self, keys: Collection[str], direction: Direction, depth: int | None) -> Near:
        return Near(self._graph.query.lineage_of(keys, direction, depth))

    def _parents(self, key: str) -> list[Artifact]:
        near = self._lineage([key], "upstream", 1)
        return near.artifacts(near.inputs(near.makers([key])))

    def _closure(self, name: str, direction: Direction) -> DataFrame:
        if (key := self._graph.key_named(name)) is None:
            return frame([])
        near = self._lineage([key], direction, None)
        others = near.artifacts([node for node in near.nodes if node != key])
        distances = {node.key: node.distance or 0 for node in near.answer.nodes}
        return frame(map(artifact_row, sorted(others, key=lambda one: distances[one.key])))

    def _users(self, key: str) -> list[dict[str, Any]]:
        near = self._lineage([key], "both", 1)
        rows = []
        for edge in near.uses.get(key, ()):
            of = near.nodes[edge.source if edge.kind == "output" else edge.target]
            assert isinstance(of, model.Execution)
            rows.append((milliseconds(of.started_at or of.first_seen), _use_row(edge, self._graph.as_execution(of))))
        return [row for _, row in sorted(rows, key=lambda one: (one[0], one[1]["Type"] != "INPUT"))]

    def _here(self, what: str) -> Repository:
        if self._repository is None:
            raise BadQuestion(f"{what} reads a file of a clone; ask CmfQuery of a folder, not of a server")
        return self._repository


def _use_row(use: Edge, execution: Execution) -> dict[str, Any]:
    properties = execution.properties
    return {
        "Type": use.kind.upper(),
        "execution_id": execution.id,
        "execution_name": execution.name,
        "execution_type_name": properties["Execution_type_name"].string_value,
        "pipeline": properties["Pipeline_Type"].string_value,
        "stage": properties["Context_Type"].string_value,
    }


def _is_in(execution: model.Execution, pipeline_id: int | None, graph: Graph) -> bool:
    return pipeline_id is None or graph.as_execution(execution).properties["Pipeline_id"] == pipeline_id
