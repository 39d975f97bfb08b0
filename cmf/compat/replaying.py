"""The methods of cmflib's class that replay what was recorded elsewhere, as its server does.

An execution is the one that its UUID names: one of ours if the clone knows it, else the run of ML Metadata.
"""

from __future__ import annotations

from cmf.compat.arguments import checked_methods
from cmf.compat.ids import artifact_of, executions_of, path_in, recorded_by_cmflib
from cmf.compat.objects import Artifact, Context, Execution
from cmf.compat.session import Properties, Session
from cmf.core.errors import InvalidValue
from cmf.core.identity import stage_key
from cmf.core.model import ArtifactType, UseKind
from cmf.core.operations import PutRelation
from cmf.starting import take_up_run

_OF_MODEL = ("model_framework", "model_type", "model_name")


@checked_methods
class Replaying:
    """The part of `Cmf` that replays."""

    _session: Session
    execution: Execution | None
    child_context: Context | None

    def merge_created_context(self, pipeline_stage: str, custom_properties: Properties | None = None) -> Context:
        """Enter a stage, named `<pipeline>/<stage>`."""
        stage = pipeline_stage.removeprefix(f"{self._session.pipeline}/")
        self.child_context = self._session.enter_stage(stage, custom_properties)
        return self.child_context

    def merge_created_execution(
        self,
        execution_type: str,
        execution_cmd: str,
        properties: Properties | None = None,
        custom_properties: Properties | None = None,
        orig_execution_name: str = "",
        create_new_execution: bool = True,
    ) -> Execution:
        """Take up the execution with the `Execution_uuid` in `properties`; replayed again, it is the same one.

        Without a UUID it is a new one, or with `create_new_execution=False` the one of the name given.
        """
        session, custom = self._session, dict(custom_properties or {})
        if not (uuids := str((properties or {}).get("Execution_uuid") or "")):
            name = execution_type if create_new_execution else orig_execution_name or execution_type
            self.execution = session.begin(name, custom, execution_cmd or None, named=not create_new_execution)
            self.child_context = session.stage_context
            return self.execution
        self._take_up(uuids)
        told = {name: value for name, value in (properties or {}).items() if name in ("Git_Repo", "Git_Start_Commit")}
        session.running().set({**custom, **told, "Execution": execution_cmd, "Execution_type": execution_type})
        self.execution = session.execution()
        return self.execution

    def _take_up(self, uuids: str) -> None:
        session = self._session
        known = session.graph.identities(executions_of(uuids))
        for identity in known:
            session.open(take_up_run(session.repository, identity), ends=False)
            return
        recorder = take_up_run(session.repository, recorded_by_cmflib(uuids.split(",")[0].strip()))
        if session.stage is None:
            raise InvalidValue("an execution is of a stage; merge_created_context comes before merge_created_execution")
        stage = stage_key(session.pipeline, session.stage, session.repository.settings.namespace)
        recorder.write([PutRelation(kind="ran_in", source=recorder.key, target=stage)])
        session.open(recorder)

    def log_dataset_with_version(
        self,
        url: str,
        version: str,
        event: str,
        props: Properties | None = None,
        custom_properties: Properties | None = None,
    ) -> Artifact:
        """Record that the execution used a dataset with this hash."""
        return self.replay(event, url, artifact_of(version), ArtifactType.DATASET, props, custom_properties)

    def log_model_with_version(
        self,
        path: str,
        event: str,
        props: Properties | None = None,
        custom_properties: Properties | None = None,
    ) -> Artifact:
        """Record that the execution used a model, whose hash is `uri` or `Commit` in `props`."""
        uri = str((props or {}).get("uri") or (props or {}).get("Commit") or "")
        if not uri:
            raise InvalidValue(f"the model {path!r} has no hash; give it as 'uri' or 'Commit' in props")
        return self.replay(event, path, artifact_of(uri), ArtifactType.MODEL, props, custom_properties)

    def log_label_with_version(
        self, url: str, version: str, props: Properties | None = None, custom_properties: Properties | None = None
    ) -> Artifact:
        """Record that the execution read labels with this hash."""
        return self.replay("input", url, artifact_of(version), ArtifactType.LABEL, props, custom_properties)

    def log_python_env_from_client(self, url: str, uri: str, props: Properties | None = None) -> Artifact:
        """Record that the execution ran in an environment with this hash."""
        return self.replay("input", url, artifact_of(uri), ArtifactType.ENVIRONMENT, props, None)

    def log_step_metrics_from_client(
        self,
        metrics_name: str,
        uri: str,
        props: Properties | None = None,
        custom_properties: Properties | None = None,
    ) -> Artifact:
        """Record that the execution wrote fine-grained metrics with this hash."""
        key = artifact_of(uri)
        return self.replay("output", metrics_name, key, ArtifactType.STEP_METRICS, props, custom_properties)

    def log_execution_metrics_from_client(
        self, metrics_name: str, custom_properties: Properties | None = None
    ) -> Artifact:
        """Record metrics of the whole execution; what cmflib adds to their name does not count."""
        name = path_in(metrics_name)
        recorded = self._session.running().measure(name, custom_properties or {})
        return self._session.put("output", name, recorded)

    def replay(
        self,
        event: str,
        name: str,
        key: str,
        type_: str,
        props: Properties | None,
        custom_properties: Properties | None,
    ) -> Artifact:
        """Record that the execution used content that is known by its key. What cmflib adds to a name does not count.

        Of `props` those count that are facts of their own: what a model is, and the address of its bytes.
        """
        direction, path = direction_of(event), path_in(name)
        told = {part: value for part, value in (props or {}).items() if part in (*_OF_MODEL, "url")}
        properties = {**told, **(custom_properties or {})}
        recorded = self._session.running().refer(direction, path, key, (type_,), properties)
        return self._session.put(direction, path, recorded)


def direction_of(event: str) -> UseKind:
    """Whether cmflib's event is an input or an output.

    Raises:
        InvalidValue: neither.
    """
    match event.lower() if isinstance(event, str) else event:
        case "input":
            return "input"
        case "output":
            return "output"
    raise InvalidValue(f"the event {event!r} is neither 'input' nor 'output'")
