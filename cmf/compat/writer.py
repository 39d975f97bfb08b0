"""`cmf.Cmf`: the methods of cmflib's class, on cmf's own recorder."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Final, Self

from cmf.compat import dataslices
from cmf.compat.arguments import AnyPath, checked_methods
from cmf.compat.files import read_parquet
from cmf.compat.objects import Artifact, Context, Execution
from cmf.compat.replaying import Replaying, direction_of
from cmf.compat.session import Properties, Session
from cmf.compat.step_metrics import StepMetrics
from cmf.compat.translate import VALIDATION
from cmf.core.addresses import is_address, without_secrets
from cmf.core.errors import InvalidValue, UnknownKey
from cmf.core.model import ArtifactType
from cmf.core.operations import PutRelation
from cmf.places import KEPT
from cmf.properties import set_properties
from cmf.recording import ending

LABELS, LABELS_URI = "labels", "labels_uri"


@checked_methods
class Cmf(Replaying):
    """Records executions of one pipeline, with the methods of cmflib's class of this name.

    `filepath` names no file here: the folder that it lies in is where the clone is looked for, as `root` of `cmf.run`
    is, and relative paths count from that folder. Without a `pipeline_name` the pipeline is called as the folder.
    `graph` and `is_server` change nothing. An execution ends when it is finalized, when the next one is created,
    when a `with` block of this object is left, or with the program.

    Raises:
        InvalidValue: a name or property that cannot be recorded.
        FileProblem: there is no such folder.
    """

    ARTIFACTS_PATH: Final = KEPT
    DATASLICE_PATH: Final = "dataslice"
    METRICS_PATH: Final = "metrics"

    DataSlice = dataslices.DataSlice

    def __init__(
        self,
        filepath: AnyPath = "mlmd",
        pipeline_name: str = "",
        custom_properties: Properties | None = None,
        graph: bool = False,
        is_server: bool = False,
    ) -> None:
        self._session = Session(filepath, pipeline_name, custom_properties)
        self._steps = StepMetrics()
        self.filepath = filepath
        self.pipeline_name = self._session.pipeline
        self.parent_context = self._session.parent
        self.branch_name = os.fspath(filepath).rsplit("/", 1)[-1]
        self.graph = graph
        self.child_context: Context | None = None
        self.execution: Execution | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.end(*ending(error))

    def finalize(self) -> None:
        """End the execution that is open as complete. What was recorded is on the disk without it."""
        self._session.end("complete")

    # Stages and executions

    def create_context(self, pipeline_stage: str, custom_properties: Properties | None = None) -> Context:
        """Enter a stage, made if there is none of this name: the executions created from now on are of it."""
        self.child_context = self._session.enter_stage(pipeline_stage, custom_properties)
        return self.child_context

    def update_context(
        self,
        type_name: str,
        context_name: str,
        context_id: int,
        properties: Properties | None = None,
        custom_properties: Properties | None = None,
    ) -> Context:
        """Set properties of a pipeline or stage, and keep its others. Only the id counts.

        Raises:
            UnknownKey: there is none of this id.
        """
        graph, repository = self._session.graph, self._session.repository
        key = graph.context(context_id).key
        repository.record(set_properties(key, {**(properties or {}), **(custom_properties or {})}))
        return graph.context(context_id)

    def create_execution(
        self,
        execution_type: str,
        custom_properties: Properties | None = None,
        cmd: str | None = None,
        create_new_execution: bool = True,
    ) -> Execution:
        """Begin an execution of the stage, with the environment as an input.

        Its `custom_properties` are its parameters. With `create_new_execution=False` it is the one of the stage that
        goes by the name `execution_type`, begun or gone on with. Without a stage it is of one that is called as the
        script is. The one before it ends as complete.
        """
        self._steps.clear()
        named = not create_new_execution
        self.execution = self._session.begin(execution_type, custom_properties, cmd, named=named)
        self._note_stage()
        return self.execution

    def update_execution(self, execution_id: int, custom_properties: Properties | None = None) -> Execution:
        """Set properties of any execution, also of one that has ended, and keep its others.

        Raises:
            UnknownKey: there is none of this id.
        """
        graph = self._session.graph
        key = graph.execution_key(execution_id)
        self._session.repository.record(set_properties(key, custom_properties or {}))
        return graph.execution(key)

    # Artifacts

    def log_dataset(
        self,
        url: AnyPath,
        event: str,
        custom_properties: Properties | None = None,
        label: AnyPath | None = None,
        label_properties: Properties | None = None,
        external: bool = False,
    ) -> Artifact:
        """Record that the execution reads or wrote a file or folder. `external` changes nothing.

        With a `label`, a file of labels is recorded beside it, as `log_label` does.

        Raises:
            FileProblem: it cannot be read or kept; nothing was recorded.
        """
        found = self._use(url, event, ArtifactType.DATASET, custom_properties)
        if label is None:
            return found
        self._label(label, found, label_properties)
        return self._session.graph.artifact(found.key)

    def log_model(
        self,
        path: AnyPath,
        event: str,
        model_framework: str = "Default",
        model_type: str = "Default",
        model_name: str = "Default",
        custom_properties: Properties | None = None,
    ) -> Artifact:
        """Record that the execution reads or wrote a model; a file or folder.

        What is said of the model by default is recorded of an output, and changes nothing of an input.

        Raises:
            FileProblem: it cannot be read or kept; nothing was recorded.
        """
        told = {"model_framework": model_framework, "model_type": model_type, "model_name": model_name}
        if direction_of(event) == "input":
            told = {name: value for name, value in told.items() if value != "Default"}
        return self._use(path, event, ArtifactType.MODEL, {**told, **(custom_properties or {})})

    def log_execution_metrics(self, metrics_name: str, custom_properties: Properties | None = None) -> Artifact:
        """Record metrics of the whole execution."""
        return self._record(metrics_name, custom_properties or {}, ArtifactType.METRICS)

    def log_validation_output(self, version: str, custom_properties: Properties | None = None) -> Artifact:
        """Record that the execution put out a validation of this version."""
        return self._record(VALIDATION, {**(custom_properties or {}), "version": version}, VALIDATION)

    def log_python_env(self, url: AnyPath) -> Artifact:
        """Record a file that describes an environment as an input. `create_execution` records one by itself."""
        return self._use(url, "input", ArtifactType.ENVIRONMENT, None)

    def log_label(self, url: AnyPath, dataset_name: str, custom_properties: Properties | None = None) -> Artifact:
        """Record a file of labels as an input, and that it labels a dataset, named by its path or its full name.

        Raises:
            UnknownKey: no such dataset is recorded.
        """
        graph = self._session.graph
        shown = self._session.shown(self._session.whole(dataset_name))
        if (key := graph.key_named(dataset_name) or graph.key_named(shown)) is None:
            raise UnknownKey(f"{dataset_name} (log the dataset before its labels)")
        return self._label(url, graph.artifact(key), custom_properties)

    def log_dvc_lock(self, file_path: AnyPath) -> str:
        """Commit a `dvc.lock` on the execution's branch; → the commit, as `git log` begins, empty without git.

        Raises:
            FileProblem: it cannot be read.
        """
        commit = self._session.running().commit(self._session.whole(file_path))
        self._note_execution()
        return f"commit {commit}" if commit else ""

    # Fine-grained metrics

    @property
    def metrics(self) -> dict[str, dict[int, dict[str, Any]]]:
        """The rows of each fine-grained metric of the execution, as they were logged, by their number."""
        return self._steps.rows

    def log_metric(self, metrics_name: str, custom_properties: Properties | None = None) -> None:
        """Add a row to a fine-grained metric. Its numbers are also recorded as points at once.

        Raises:
            InvalidValue: a value that cannot be recorded.
        """
        self._steps.add(self._session.running(), metrics_name, custom_properties or {})
        self._note_execution()

    def commit_metrics(self, metrics_name: str) -> Artifact:
        """Write the rows of a metric to `cmf_artifacts/<Execution_uuid>/metrics/<name>`, and record that as output.

        Raises:
            InvalidValue: nothing was logged under this name.
            MissingExtra: pandas or pyarrow is not installed.
        """
        self._session.running()
        self._note_execution()
        return self._steps.commit(self._session, metrics_name)

    # Data slices

    def create_dataslice(self, name: str) -> dataslices.DataSlice:
        """A list of files, to be recorded as one artifact by its `commit`."""
        return dataslices.DataSlice(name, self)

    def read_dataslice(self, name: str) -> Any:
        """A data slice as a DataFrame: of this execution, or the one recorded last under this name.

        Raises:
            UnknownKey, MissingExtra
        """
        return read_parquet(dataslices.slice_file(self._session, name))

    def update_dataslice(self, name: str, record: str, custom_properties: Properties) -> None:
        """Set properties of one file in a data slice, and record the new content as an output."""
        dataslices.change_slice(self._session, name, record, custom_properties)

    # What is known of artifacts

    def get_artifact(self, artifact_id: int) -> Artifact:
        """The artifact of this id.

        Raises:
            UnknownKey
        """
        graph = self._session.graph
        return graph.artifact(graph.artifact_key(artifact_id))

    def update_existing_artifact(self, artifact: Artifact, custom_properties: Properties) -> None:
        """Set properties of an artifact, and keep its others. The object has them too."""
        self._session.repository.record(set_properties(artifact.key, custom_properties))
        if (known := self._session.asked(lambda graph: graph.artifact(artifact.key))) is not None:
            vars(artifact).update(vars(known))

    def update_dataset_url(self, artifact: Artifact, updated_url: str) -> None:
        """Say where the bytes of an artifact can be found too: its property `url`, which nothing here fetches from."""
        self.update_existing_artifact(artifact, {"url": updated_url})

    def update_model_url(self, dup_artifact: list[Artifact], updated_url: str) -> list[Artifact]:
        """The same of several models; → they, as they are now."""
        for artifact in dup_artifact:
            self.update_dataset_url(artifact, updated_url)
        return dup_artifact

    def update_model_output(self, artifact: Artifact) -> None:
        """Record the custom properties that an artifact's object has by now."""
        self.update_existing_artifact(artifact, artifact.custom_properties.plain())

    def link_artifacts(self, artifact_source: Artifact, artifact_target: Artifact) -> None:
        """Say that one artifact was derived from another, the source."""
        relation = PutRelation(kind="derived_from", source=artifact_target.key, target=artifact_source.key)
        self._session.repository.record([relation])

    def _use(self, url: AnyPath, event: str, type_: str, properties: Properties | None) -> Artifact:
        direction, path = direction_of(event), self._session.whole(url)
        if is_address(os.fspath(url)):
            raise InvalidValue(
                f"{without_secrets(os.fspath(url))}: what is elsewhere is not fetched; record a file of this machine, "
                f"or a version that you know, with log_dataset_with_version(URL, HASH, {event!r})"
            )
        recorder = self._session.running()
        # What is known as a model is no dataset for being read as one.
        types = None if direction == "input" and type_ == ArtifactType.DATASET else (type_,)
        recorded = recorder.use(direction, path, types, properties)
        self._note_execution()
        return self._session.put(direction, self._session.shown(path), recorded)

    def _record(self, name: str, values: Properties, kind: str) -> Artifact:
        recorded = self._session.running().measure(name, values, kind)
        self._note_execution()
        return self._session.put("output", name, recorded)

    def _label(self, url: AnyPath, dataset: Artifact, properties: Properties | None) -> Artifact:
        label = self._use(url, "input", ArtifactType.LABEL, {**(properties or {}), "dataset_uri": dataset.uri})
        shown = self._session.shown(self._session.whole(url))
        known = self._session.graph.artifact(dataset.key).custom_properties.plain()
        told = {
            LABELS: _with(known.get(LABELS), shown),
            LABELS_URI: _with(known.get(LABELS_URI), f"{shown}:{label.uri}"),
        }
        relation = PutRelation(kind="labels", source=label.key, target=dataset.key)
        self._session.running().write([relation, *set_properties(dataset.key, told)])
        return label

    def _note_execution(self) -> None:
        """Show the execution that was begun by itself."""
        if self.execution is None or self.execution.key != self._session.running().key:
            self.execution = self._session.execution()
            self._note_stage()

    def _note_stage(self) -> None:
        if self.child_context is None and self._session.stage_context is not None:
            self.child_context = self._session.stage_context


def _with(known: object, more: str) -> str:
    """A set of texts, as cmflib keeps one: separated by commas."""
    texts = [text for text in str(known or "").split(",") if text]
    return ",".join([*texts, *([] if more in texts else [more])])
