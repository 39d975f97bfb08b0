"""What cmflib's commands do, as functions: they answer with text, and raise where cmflib answers with a failure.

A `file_name` names no file here: the clone is the one that the folder it lies in belongs to.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from cmf.compat.arguments import AnyPath, checked
from cmf.compat.graph import Graph, Near
from cmf.compat.ids import executions_of, path_in
from cmf.compat.objects import Artifact
from cmf.compat.session import folder_of
from cmf.core.errors import ArtifactsLeft, BadQuestion, FileProblem, UnknownKey
from cmf.pictures.labels import counted, size
from cmf.questions import Query, StoreSource
from cmf.recording import open_repository
from cmf.repository import Repository


class Reply(str):
    """What a command has to say. It is text, and has what scripts ask of cmflib's answers."""

    __slots__ = ()

    status: Literal["success"] = "success"
    """A failure is no answer but an exception."""

    def handle(self) -> str:
        """The text."""
        return str(self)


@checked
def metadata_push(
    pipeline_name: str,
    file_name: AnyPath = "./mlmd",
    tensorboard_path: AnyPath | None = None,
    execution_uuid: str | None = None,
) -> Reply:
    """Send to the server what it does not have of the clone, which has this pipeline.

    All pipelines and executions of the clone go along, since a journal is sent as it is. Logs of TensorBoard are
    not sent; record them as an artifact.

    Raises:
        UnknownKey: the clone has no such pipeline or execution.
        SettingsProblem, ServerProblem
    """
    from cmf import sync

    with closing(Repository.find(folder_of(file_name))) as repository:
        _check(repository, pipeline_name, execution_uuid)
        if tensorboard_path is not None:
            warnings.warn(
                f"{tensorboard_path}: logs of TensorBoard are not sent with the metadata; record them with "
                f"log_dataset({os.fspath(tensorboard_path)!r}, 'output'), and 'cmf artifact push' sends them",
                stacklevel=3,
            )
        server = sync.remote(repository)
        pushed = sync.push(repository, server)
    if not pushed.applied:
        return Reply(f"everything is on the server ({server.url})")
    return Reply(f"{counted(pushed.applied, 'record')} sent to {server.url}")


@checked
def metadata_pull(pipeline_name: str, file_name: AnyPath = "./mlmd", execution_uuid: str | None = None) -> Reply:
    """Bring what the server has of a pipeline, or of one execution with what it used, into the clone.

    Raises:
        BadQuestion: the server has nothing of it.
        SettingsProblem, ServerProblem
    """
    from cmf import sync
    from cmf.core.wire import PullQuestion

    if execution_uuid is None:
        question = PullQuestion(pipelines=(pipeline_name,))
    else:
        question = PullQuestion(artifacts=executions_of(execution_uuid), depth=1)
    repository = open_repository(folder_of(file_name))
    server = sync.remote(repository)
    pulled = sync.pull(repository, server, question)
    if not pulled.operations and not pulled.incremental:
        asked = f"the pipeline {pipeline_name!r}" if execution_uuid is None else f"the execution {execution_uuid}"
        raise BadQuestion(f"{server.url} has nothing of {asked}; 'cmf log --remote' shows what it has")
    return Reply(f"{counted(pulled.operations, 'operation')} pulled from {server.url}")


@checked
def metadata_export(
    pipeline_name: str, json_file_name: AnyPath | None = None, file_name: AnyPath = "./mlmd", *, overwrite: bool = False
) -> Reply:
    """Write a pipeline as JSON in cmflib's form to a file, `<pipeline>.json` where none is named.

    Raises:
        UnknownKey: the clone has no such pipeline.
        FileProblem: the file is there already, and it is not to `overwrite` it; or it cannot be written.
    """
    from cmf.cmfquery import CmfQuery

    text = CmfQuery(file_name).dumptojson(pipeline_name)
    if text is None:
        raise UnknownKey(f"the pipeline {pipeline_name}")
    file = Path(json_file_name or f"{pipeline_name}.json")
    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as out:
            json.dump(json.loads(text), out, indent=4)
    except FileExistsError as exc:
        raise FileProblem(file, "is there already; name another file, or delete it") from exc
    except (OSError, ValueError) as exc:  # a name with a NUL is a ValueError
        raise FileProblem(file, getattr(exc, "strerror", None) or str(exc)) from exc
    return Reply(f"{pipeline_name} written to {file}")


@checked
def artifact_push(pipeline_name: str, filepath: AnyPath = "./mlmd", jobs: int = 32) -> Reply:
    """Send the bytes of what was recorded in the clone to DVC's default remote, if it lacks them.

    Raises:
        UnknownKey: the clone has no such pipeline.
        ArtifactsLeft: some could not be sent; all others were.
        SettingsProblem, DataRemoteProblem
    """
    from cmf import artifacts

    with closing(Repository.find(folder_of(filepath))) as repository:
        _check(repository, pipeline_name)
        pushed = artifacts.push(repository, jobs=jobs)
    _raise_left(pushed.problems, "sent")
    return Reply(f"{counted(pushed.objects, 'object')} ({size(pushed.size_bytes)}) sent to {pushed.remote}")


@checked
def artifact_pull(pipeline_name: str, file_name: AnyPath = "./mlmd", artifact_name: str | None = None) -> Reply:
    """Bring the bytes of all that a pipeline used, or of one artifact, to their places in the tree.

    An artifact is named by its full name, the path it was used under, or the last part of that; of several the newest
    is meant. What was changed in the tree is not overwritten.

    Raises:
        UnknownKey: the clone has no such pipeline or artifact.
        ArtifactsLeft: some could not be brought; all others were.
        SettingsProblem, DataRemoteProblem
    """
    from cmf import artifacts

    with closing(Repository.find(folder_of(file_name))) as repository:
        graph = _check(repository, pipeline_name)
        if artifact_name is None:
            keys = [node.key for node in graph.nodes_of_executions(pipeline_name)]
            wanted = artifacts.of_executions(repository.view, keys)
        else:
            found = _named(_artifacts(graph, pipeline_name), artifact_name)[-1]
            wanted = [artifacts.of_artifact(repository.view, found.key, path_in(found.name))]
        pulled = artifacts.pull(repository, wanted)
    _raise_left(pulled.problems, "brought")
    told = f"{counted(len(pulled.placed), 'artifact')} put in place, {len(pulled.unchanged):,} already there"
    return Reply(told + (f", {len(pulled.elsewhere):,} kept elsewhere" if pulled.elsewhere else ""))


@checked
def pipeline_list(file_name: AnyPath = "./mlmd") -> Reply:
    """The names of the clone's pipelines, as Python writes a list."""
    with closing(Repository.find(folder_of(file_name))) as repository:
        return Reply([pipeline.name for pipeline in _graph(repository).pipelines()])


@checked
def execution_list(pipeline_name: str, file_name: AnyPath = "./mlmd", execution_uuid: str | None = None) -> Reply:
    """The executions of a pipeline, or one of them, as a table.

    Raises:
        UnknownKey: the clone has no such pipeline or execution.
    """
    with closing(Repository.find(folder_of(file_name))) as repository:
        executions = _check(repository, pipeline_name, execution_uuid).executions(pipeline_name)
    if execution_uuid is not None:
        executions = [one for one in executions if one.key in executions_of(execution_uuid)]
    columns = ("Context_Type", "Execution", "Execution_uuid", "Pipeline_Type", "Git_Repo")
    rows = [
        [str(one.id), *(one.properties[name].string_value for name in columns[:3]), one.name]
        + [one.properties[name].string_value for name in columns[3:]]
        for one in executions
    ]
    return Reply(_table(["id", *columns[:3], "name", *columns[3:]], rows))


@checked
def artifact_list(pipeline_name: str, file_name: AnyPath = "./mlmd", artifact_name: str | None = None) -> Reply:
    """What the executions of a pipeline used, or what of it has a name, as a table; see `artifact_pull` for names.

    Raises:
        UnknownKey: the clone has no such pipeline or artifact.
    """
    with closing(Repository.find(folder_of(file_name))) as repository:
        found = _artifacts(_check(repository, pipeline_name), pipeline_name)
    if artifact_name is not None:
        found = _named(found, artifact_name)
    rows = [
        [str(one.id), one.name, one.type, str(one.create_time_since_epoch), one.properties["url"].string_value, one.uri]
        for one in found
    ]
    return Reply(_table(["id", "name", "type", "create_time_since_epoch", "url", "uri"], rows))


@checked
def repo_push(
    pipeline_name: str,
    filepath: AnyPath = "./mlmd",
    tensorboard_path: AnyPath | None = None,
    execution_uuid: str | None = None,
    jobs: int = 32,
) -> Reply:
    """Send bytes, then metadata, then the branch that is checked out with those of the executions.

    Raises:
        CmfError: as `artifact_push` and `metadata_push` do, or git's own words where it refuses.
    """
    from cmf.compat.repos import push_branches

    said = [artifact_push(pipeline_name, filepath, jobs)]
    said.append(metadata_push(pipeline_name, filepath, tensorboard_path, execution_uuid))
    said.append(Reply(push_branches(folder_of(filepath))))
    return Reply("\n".join(said))


@checked
def repo_pull(pipeline_name: str, file_name: AnyPath = "./mlmd", execution_uuid: str | None = None) -> Reply:
    """Bring metadata, then the branch that is checked out, then bytes. A branch that went its own way is left alone.

    Raises:
        CmfError: as `metadata_pull` and `artifact_pull` do, or git's own words where it refuses.
    """
    from cmf.compat.repos import pull_branch

    said = [metadata_pull(pipeline_name, file_name, execution_uuid)]
    said.append(Reply(pull_branch(folder_of(file_name))))
    said.append(artifact_pull(pipeline_name, file_name))
    return Reply("\n".join(said))


@checked
def dvc_ingest(file_name: AnyPath = "./mlmd") -> Reply:
    """Record the stages of the DVC pipeline in the folder, as its `dvc.lock` has them.

    Raises:
        FileProblem: there is none.
    """
    from cmf.ingest.dvc import check_there, ingest

    folder = folder_of(file_name)
    check_there(folder)  # before the folder is made a clone
    done = ingest(open_repository(folder), folder, None)
    return Reply(f"{counted(len(done.executions), 'stage')} recorded, {counted(done.statements, 'statement')} new")


def _graph(repository: Repository) -> Graph:
    view = repository.view
    return Graph(Query(StoreSource(view), repository.root), repository.settings.namespace, view)


def _check(repository: Repository, pipeline: str, uuid: str | None = None) -> Graph:
    """The clone's graph, which knows this pipeline, and this execution of it."""
    graph = _graph(repository)
    names = [one.name for one in graph.pipelines()]
    if pipeline not in names:
        raise UnknownKey(f"the pipeline {pipeline}", tuple(names[:3]))
    if uuid is not None:
        keys = executions_of(uuid)
        if not any(node.key in keys for node in graph.nodes_of_executions(pipeline)):
            raise UnknownKey(f"the execution {uuid} of {pipeline}")
    return graph


def _artifacts(graph: Graph, pipeline: str) -> list[Artifact]:
    near: Near = graph.around([node.key for node in graph.nodes_of_executions(pipeline)])
    return near.artifacts()


def _named(artifacts: Iterable[Artifact], name: str) -> list[Artifact]:
    """Those that a name means: the full one, a path, or a path's last part; the first of these that means any."""
    known = list(artifacts)
    forms: Sequence[Callable[[str], str]] = (str, path_in, lambda full: path_in(full).rpartition("/")[2])
    for form in forms:
        if found := [one for one in known if form(one.name) == name]:
            return found
    raise UnknownKey(f"the artifact {name}")


def _raise_left(problems: Sequence[tuple[str, str]], verb: str) -> None:
    if problems:
        told = "; ".join(f"{path}: {problem}" for path, problem in problems[:3])
        more = f"; and {len(problems) - 3:,} more" if len(problems) > 3 else ""
        raise ArtifactsLeft(f"{counted(len(problems), 'artifact')} could not be {verb}: {told}{more}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns, each as wide as it must be."""
    lines: list[Any] = [[_one_line(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _one_line(text: str) -> str:
    from cmf.pictures.labels import printable

    return printable(" ".join(text.split("\n")))
