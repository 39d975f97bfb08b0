"""How an execution begins, anew or once more, and what it is told of itself."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cmf.clock import now
from cmf.core.operations import ExecutionIdentity, NamedIdentity, RunIdentity
from cmf.core.recipe import WORKING_FOLDER
from cmf.core.values import Json, check_name
from cmf.properties import Properties, checked
from cmf.recorder import Recorder
from cmf.repository import Repository
from cmf.versioning.git import project_name


class Start(NamedTuple):
    """What a new run is told of itself. `command` is what runs, None for this program."""

    pipeline: str
    stage: str
    type: str
    parameters: dict[str, Json]
    command: tuple[str, ...] | None

    @classmethod
    def of(
        cls,
        pipeline: str,
        stage: str,
        parameters: Properties | None = None,
        type: str | None = None,  # noqa: A002 (the graph's word)
        command: Sequence[str] | None = None,
    ) -> Start:
        """Checked values; without a `type` the run is of its stage's name.

        Raises:
            InvalidValue: a name or parameter that cannot be recorded.
        """
        return cls(
            check_name(pipeline, "the pipeline's name"),
            check_name(stage, "the stage's name"),
            check_name(type or stage, "the type"),
            checked(parameters, "parameter"),
            None if command is None else tuple(command),
        )


def start_run(repository: Repository, start: Start) -> Recorder:
    """A new execution, begun now."""
    code, branch, remote = repository.code.now()
    of = RunIdentity(
        pipeline=start.pipeline,
        stage=start.stage,
        type=start.type,
        uuid=uuid.uuid4().hex,
        started_at=now(),
        project=repository.settings.project or project_name(remote, repository.root),
        namespace=repository.settings.namespace,
        branch=branch,
        command=tuple(map(_printable, sys.orig_argv if start.command is None else start.command)),
        code=code,
        parameters=start.parameters,
    )
    recorder = Recorder(repository, of, code)
    if folder := _working_folder(repository.root):
        recorder.set({WORKING_FOLDER: folder})
    return recorder


def resume_run(repository: Repository, pipeline: str, stage: str, name: str) -> Recorder:
    """The execution of a stage that goes by a name, begun or gone on with."""
    of = NamedIdentity(
        pipeline=check_name(pipeline, "the pipeline's name"),
        stage=check_name(stage, "the stage's name"),
        name=check_name(name, "the execution's name"),
        namespace=repository.settings.namespace,
    )
    return Recorder(repository, of, repository.code.now().code)


def take_up_run(repository: Repository, identity: ExecutionIdentity) -> Recorder:
    """An execution that was recorded before, here or elsewhere, to say more of it."""
    code = identity.code if isinstance(identity, RunIdentity) else None
    return Recorder(repository, identity, code, taken_up=True)


def _working_folder(root: Path) -> str | None:
    """Where in the clone this program works, if that is not its root: a command is run again there."""
    try:
        here = Path.cwd()
    except OSError:  # it was deleted
        return None
    if here == root or not here.is_relative_to(root):
        return None
    return os.fsencode(here.relative_to(root)).decode(errors="backslashreplace")


def _printable(part: str) -> str:
    return os.fsencode(part).decode(errors="backslashreplace")
