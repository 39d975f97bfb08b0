"""Recording a program in any language, from outside: what is said of it, and what it is seen to use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import CmfError
from cmf.core.identity import use_key
from cmf.core.model import ArtifactType, UseKind
from cmf.core.operations import SetProperty
from cmf.core.patterns import Patterns
from cmf.recording import Run, open_repository, run
from cmf.tracking import nesting
from cmf.tracking.names import pipeline_name, script_of, stage_of_command
from cmf.tracking.observed import Observation, Observed, condensed
from cmf.tracking.process import Child, ProgramFailed, ProgramStopped
from cmf.tracking.value_files import read_values

CODE = ("*.py", "*.pyc", "*.pyi", "*.pyx", "*.so", "*.pyd", "*.dylib", "*.pth", "*.ipynb")
"""What is read as code, not as an input."""


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
    stage = program.stage or stage_of_command(program.command)
    recorded = run(
        program.pipeline or pipeline_name(repository), stage, params=program.parameters, command=program.command
    )
    session = _Session(program, recorded, repository.root)
    try:
        with session.child.signals(), recorded:
            session.run()
    except ProgramStopped as exc:
        return Outcome(exc.exit_code, f"stopped {exc}", session.notes)
    except ProgramFailed as exc:
        return Outcome(exc.exit_code, str(exc), session.notes)
    return Outcome(0, None, session.notes)


class _Session:
    """A program, its run, and how far it has come."""

    def __init__(self, program: Program, recorded: Run, root: Path) -> None:
        self.program = program
        self.child = Child()
        self.notes: list[str] = []
        self._run = recorded
        self._root = root

    def run(self) -> None:
        """See `record_program`.

        Raises:
            ProgramFailed, ProgramStopped: it did not do what it was to do; all that is known of it was recorded.
        """
        for path in self.program.inputs:
            self._run.input(path)
        before = {path: _state(path) for path in self.program.written}
        with ExitStack() as stack:
            observation = stack.enter_context(Observation(self._root)) if self.program.observe else None
            environment = {**os.environ, nesting.PART_OF: self._run.key, "CMF_PIPELINE": self._run.pipeline}
            if observation:
                environment = observation.environment(environment)
            error = self.child.run(self.program.command, environment)
            self._record(before, observation.seen() if observation else None, error)

    def _record(
        self, before: Mapping[str, object], observed: Observed | None, error: ProgramFailed | ProgramStopped | None
    ) -> None:
        problems = list(self._outputs(before))
        if observed is not None:
            self._guesses(observed)
        if error is not None:
            raise error
        if problems:
            raise ProgramFailed("; ".join(problems), 1)

    def _outputs(self, before: Mapping[str, object]) -> Iterator[str]:
        """Record what was written; → what is wrong with it."""
        for path, type_ in self.program.written.items():
            state = _state(path)
            if state is None:
                yield f"the program did not write {path}"
            elif state == before[path]:
                yield f"the program did not write {path}, which is as it was before"
            else:
                yield from self._output(path, type_)

    def _output(self, path: str, type_: str) -> Iterator[str]:
        try:
            self._run.output(path, type=type_)
            if path in self.program.metrics and (values := read_values(Path(path))):
                self._run.metrics(self._run.path_of(path), **values)
        except CmfError as exc:
            yield str(exc)

    def _guesses(self, observed: Observed) -> None:
        if not observed.pythons:
            self.notes.append("--auto saw nothing: no Python of the program could be observed (-I, -S or -E hide it)")
        wanted = _Wanted(self.program, self._run, self._root)
        inputs = {path: version for path, version in observed.inputs.items() if wanted.as_input(path)}
        outputs = condensed([path for path in observed.outputs if wanted.as_output(path)], self._root, whole=True)
        changed = {path: version for path, version in inputs.items() if version is not None}
        unchanged = condensed([path for path in inputs if path not in changed], self._root, whole=False)
        marks = [
            *self._guess("input", ((path, changed.get(path)) for path in (*changed, *unchanged))),
            *self._guess("output", ((path, None) for path in outputs)),
        ]
        if marks:
            self._run.state(marks)
        if unknown := [path for path in observed.unknown if wanted.as_input(path)]:
            self.notes.append(
                f"read, and then changed by something that cannot be observed, so not recorded as inputs: "
                f"{', '.join(unknown[:5])}{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}"
            )

    def _guess(self, direction: UseKind, files: Iterable[tuple[str, str | None]]) -> Iterator[SetProperty]:
        """Record files that were seen; → what marks them as guessed."""
        for path, version in files:
            try:
                if direction == "output":
                    made = self._run.output(self._root / path)
                elif version is None:
                    made = self._run.input(self._root / path)
                else:
                    made = self._run.input(path, version=version)
            except CmfError as exc:
                self.notes.append(f"not recorded: {exc}")
            else:
                yield SetProperty(key=use_key(self._run.key, made.key, direction, path), name="guessed", value=True)


class _Wanted:
    """Which of the files that were seen are inputs and outputs."""

    def __init__(self, program: Program, recorded: Run, root: Path) -> None:
        self._include = Patterns(program.include)
        self._exclude = Patterns(program.exclude)
        self._code = Patterns(CODE)
        script = script_of(program.command)
        self._scripts = {recorded.path_of(path) for path in (program.command[0], script) if path}
        self._inputs = [recorded.path_of(path) for path in program.inputs]
        self._outputs = [recorded.path_of(path) for path in program.written]

    def as_input(self, path: str) -> bool:
        """Whether this, which was read, is an input that nobody said."""
        if _is_within(path, self._inputs):
            return False
        if self._include.matches(path):
            return True
        return not (self._exclude.matches(path) or self._code.matches(path) or path in self._scripts)

    def as_output(self, path: str) -> bool:
        """Whether this, which was written, is an output that nobody said."""
        if _is_within(path, self._outputs):
            return False
        return self._include.matches(path) or not self._exclude.matches(path)


def _is_within(path: str, said: list[str]) -> bool:
    return any(path == other or path.startswith(f"{other}/") for other in said)


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
