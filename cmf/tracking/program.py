"""Recording a program in any language, from outside: what is said of it, and what it is seen to use."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import CmfError
from cmf.core.model import ArtifactType
from cmf.recording import Run, open_repository
from cmf.repository import Repository
from cmf.starting import Start
from cmf.tracking import nesting
from cmf.tracking.guessing import Guessing, NoGuessing, Said, Watching
from cmf.tracking.names import pipeline_name, script_of, stage_of_command
from cmf.tracking.observed import Observation
from cmf.tracking.process import Child, ProgramFailed, ProgramStopped
from cmf.tracking.value_files import read_values


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that is to run, and what is known of it before."""

    command: list[str]
    pipeline: str | None = None
    stage: str | None = None
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    """Outputs that are models."""
    metrics: list[str] = field(default_factory=list)
    """Files in which it leaves metrics."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    observe: bool = False
    """Whether the files that it opens become inputs and outputs, as far as it is Python."""
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)

    @property
    def written(self) -> dict[str, str]:
        """What it is to write, with the type of each."""
        said = {
            ArtifactType.DATASET: self.outputs,
            ArtifactType.MODEL: self.models,
            ArtifactType.METRICS: self.metrics,
        }
        return {path: type_ for type_, paths in said.items() for path in paths}


class Outcome(NamedTuple):
    """How it went: the exit code to pass on, what was wrong, and notes beside."""

    exit_code: int
    problem: str | None
    notes: list[str]


def record_program(program: Program) -> Outcome:
    """Run a program as one execution, whose inputs are recorded before it starts and whose outputs when it has ended.

    The execution is complete if the program says so by its exit code and has written what it was to write. What was
    written is recorded of a program that fails, too.

    Raises:
        CmfError: it was not started, because what was said of it cannot be recorded; or it could not be recorded.
    """
    repository = open_repository(Path.cwd())
    pipeline = program.pipeline or pipeline_name(repository)
    stage = program.stage or stage_of_command(program.command)
    watching = _watching(program, repository)
    session = _Session(program, watching, repository.root)
    run = Run(repository, Start.of(pipeline, stage, program.parameters, command=program.command))
    try:
        with session.child.signals(), run:
            session.record(run)
    except ProgramStopped as exc:
        return Outcome(exc.exit_code, f"the program was stopped: {exc}", session.notes)
    except ProgramFailed as exc:
        return Outcome(exc.exit_code, str(exc), session.notes)
    return Outcome(0, None, session.notes)


def _watching(program: Program, repository: Repository) -> Watching:
    if not program.observe:
        return NoGuessing()
    root = repository.root
    scripts = (program.command[0], script_of(program.command))
    said = Said(
        inputs=[_shown(path, root) for path in program.inputs],
        outputs=[_shown(path, root) for path in program.written],
        scripts=[_shown(path, root) for path in scripts if path],
    )
    return Guessing(Observation(root, repository.scratch), root, said, program.include, program.exclude)


class _Session:
    """A program, the process that it becomes, and what is to be told of it."""

    def __init__(self, program: Program, watching: Watching, root: Path) -> None:
        self.child = Child()
        self.notes: list[str] = []
        self._program = program
        self._watching = watching
        self._root = root

    def record(self, run: Run) -> None:
        """See `record_program`.

        Raises:
            ProgramFailed, ProgramStopped: it did not do what it was to do; all that is known of it was recorded.
        """
        for path in self._program.inputs:
            run.input(path)
        before = {path: _state(path) for path in self._program.written}
        around = {**os.environ, nesting.PART_OF: run.key, "CMF_PIPELINE": run.pipeline}
        with self._watching as watching:
            error = self.child.run(self._program.command, watching.environment(around))
            problems = list(self._outputs(run, before))
            self.notes += watching.record(run.recorder)
        if error is not None:
            raise error
        if problems:
            raise ProgramFailed("; ".join(problems), 1)

    def _outputs(self, run: Run, before: Mapping[str, object]) -> Iterator[str]:
        """Record what was written; → what is wrong with it."""
        for path, type_ in self._program.written.items():
            state = _state(path)
            if state is None:
                yield f"the program did not write {path}"
            elif state == before[path]:
                yield f"the program did not write {path}, which is as it was before"
            else:
                yield from self._output(run, path, type_)

    def _output(self, run: Run, path: str, type_: str) -> Iterator[str]:
        try:
            run.output(path, type=type_)
            if path in self._program.metrics and (values := read_values(Path(path))):
                run.metrics(_shown(path, self._root), **values)
        except CmfError as exc:
            yield str(exc)


def _shown(path: str, root: Path) -> str:
    """A path as it is recorded: in the repository, if it lies there."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links that users name)
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()


def _state(path: str) -> object:
    """What changes when a file, or a file of a folder, is written; None where there is nothing."""
    try:
        if not os.path.isdir(path):  # noqa: PTH112 (the path as it was given)
            return _version(path)
        files = (os.path.join(at, name) for at, _, names in os.walk(path) for name in names)  # noqa: PTH118
        return frozenset((file, _version(file)) for file in files)
    except (OSError, ValueError):
        return None


def _version(path: str) -> tuple[int, ...]:
    found = os.stat(path)  # noqa: PTH116
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
