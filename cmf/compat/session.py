"""Where a `Cmf` stands: the clone it records in, the pipeline, the stage, and the execution that is open."""

from __future__ import annotations

import atexit
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from cmf.clock import now
from cmf.compat import translate
from cmf.compat.arguments import AnyPath, checked
from cmf.compat.graph import Graph
from cmf.compat.objects import Artifact, Context, Execution
from cmf.core import answers, model
from cmf.core.delta import fold
from cmf.core.errors import InvalidValue, StoreIncompatible, StoreUnavailable, UnknownKey
from cmf.core.model import Code, Edge, UseKind
from cmf.core.operations import ExecutionIdentity, Operation, SetProperty, put_context, put_execution
from cmf.core.records import make_stamp
from cmf.core.values import check_name
from cmf.properties import set_properties
from cmf.questions import Query, StoreSource
from cmf.recorder import Recorder
from cmf.recording import ending, open_repository
from cmf.starting import Start, resume_run, start_run, take_up_run

Properties = Mapping[str, object]
T = TypeVar("T")
Status = Literal["complete", "failed", "aborted"]


@checked
def folder_of(filepath: AnyPath) -> Path:
    """The folder that cmflib's `filepath` lies in: where the clone is, and what paths are relative to."""
    return Path(os.path.abspath(os.path.dirname(os.fspath(filepath)) or "."))  # noqa: PTH100, PTH120 (keeps links)


class Session:
    """A place to record in. It ends the execution that is open when the next one is created, or the process ends."""

    def __init__(self, filepath: AnyPath, pipeline: str, properties: Properties | None) -> None:
        self.folder = folder_of(filepath)
        self.repository = open_repository(self.folder)
        self.pipeline = check_name(pipeline or self.folder.name, "the pipeline's name")
        self.stage: str | None = None
        self.stage_context: Context | None = None
        self.recorder: Recorder | None = None
        self._last: ExecutionIdentity | None = None
        self._ends = True
        self._remote: str | None = None
        self._told: Sequence[SetProperty] = ()
        put = put_context("pipeline", self.pipeline, namespace=self._namespace)
        self.parent = translate.pipeline(self._recorded(put.key, [put, *set_properties(put.key, properties or {})]))

    @property
    def graph(self) -> Graph:
        """What is asked of the clone.

        Raises:
            InvalidValue: in a forked child.
        """
        if not self.repository.has_view:
            raise InvalidValue("a forked child can record, but not look up what was recorded; start a process for that")
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        repository = self.repository
        return Graph(Query(StoreSource(repository.view), repository.root), self._namespace, repository.view)

    def asked(self, ask: Callable[[Graph], T]) -> T | None:
        """An answer of the graph to what was recorded just now; None where the graph cannot be asked."""
        try:
            return ask(self.graph)
        except (InvalidValue, UnknownKey, StoreUnavailable, StoreIncompatible):  # recording does not depend on it
            return None

    def whole(self, path: AnyPath) -> Path:
        """A path as it is meant: relative to the session's folder, wherever the process is by now."""
        return self.folder / path

    def enter_stage(self, stage: str, properties: Properties | None = None) -> Context:
        """Record a stage, the one that the next execution is of."""
        self.stage = check_name(stage, "the stage's name")
        put = put_context("stage", stage, self.parent.key, self._namespace)
        node = self._recorded(put.key, [put, *set_properties(put.key, properties or {})])
        self.stage_context = translate.stage(node, self.pipeline)
        return self.stage_context

    def begin(self, type_: str, properties: Properties | None, command: str | None, *, named: bool) -> Execution:
        """Begin an execution of the stage, or go on with the one of this name."""
        if self.stage is None:
            self.enter_stage(script_name())
        stage = self.stage or script_name()
        parts = None if command is None else _parts(command)
        if named:
            check_name(type_, "the execution's name")
            self.open(resume_run(self.repository, self.pipeline, stage, type_))
            self._tell_of_named(properties or {}, parts)
        else:
            self._told = ()
            self.open(start_run(self.repository, Start.of(self.pipeline, stage, properties, type_, parts)))
        return self.execution()

    def open(self, recorder: Recorder, *, ends: bool = True) -> None:
        """Make this the execution that is recorded from now on. Of one that `ends` not here, nothing is said of how."""
        self.end("complete")
        self.recorder, self._ends = recorder, ends
        self._remote = self.repository.code.now().remote
        _open.append(self)

    def running(self) -> Recorder:
        """The execution that is open, or the one that was last; if there is none, one that is called as the script."""
        if self.recorder is None and self._last is not None:
            self.open(take_up_run(self.repository, self._last))
        elif self.recorder is None:
            self.begin(script_name(), None, None, named=False)
        assert self.recorder is not None
        return self.recorder

    def end(self, status: Status, error: str | None = None) -> None:
        """End the execution that is open, if one is."""
        recorder, self.recorder = self.recorder, None
        self._last = recorder.identity if recorder is not None else self._last
        if self in _open:
            _open.remove(self)
        if recorder is not None and self._ends:
            recorder.end(status, error, keep_series=False)  # `commit_metrics` makes the file, if one is wanted

    def execution(self) -> Execution:
        """The execution that is open, as it is now."""
        recorder = self.running()
        node = _node(recorder.key, [put_execution(recorder.identity), *self._told])
        assert isinstance(node, model.Execution)
        return self.asked(lambda graph: graph.execution(recorder.key)) or translate.execution(node, self._namespace)

    def put(self, direction: UseKind, path: str, recorded: model.Artifact, url: str | None = None) -> Artifact:
        """An artifact that the open execution was just said to have read or written, as cmflib's object."""
        if (known := self.asked(lambda graph: graph.artifact(recorded.key))) is not None:
            return known
        execution = self.running().key
        ends = (recorded.key, execution) if direction == "input" else (execution, recorded.key)
        use = Edge(key=execution, source=ends[0], target=ends[1], kind=direction, path=path, url=url)
        user = model.Execution(key=execution, name=self.pipeline, code=Code(remote=self._remote))
        return translate.artifact(msgspec.structs.replace(recorded, first_seen=now()), [use], {execution: user})

    def shown(self, path: Path) -> str:
        """The path under which the recorder knows a file."""
        root = self.repository.root
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()

    def _tell_of_named(self, properties: Properties, command: tuple[str, ...] | None) -> None:
        """Say of an execution that is used again by its name what its own record has no place for."""
        code, _, remote = self.repository.code.now()
        told = {
            "Execution": shlex.join(sys.orig_argv if command is None else command),
            "Git_Repo": remote,
            "Git_Start_Commit": code.commit if code else None,
        }
        said = {**properties, **{name: value for name, value in told.items() if value}}
        self._told = set_properties(self.running().key, said)
        self.running().write(self._told)

    @property
    def _namespace(self) -> str | None:
        return self.repository.settings.namespace

    def _recorded(self, key: str, operations: Sequence[Operation]) -> model.Node:
        """Record what is said of a pipeline or stage; → it, as it is now."""
        self.repository.record(operations)
        return self.asked(lambda graph: graph.node(key)) or _node(key, operations)


def script_name() -> str:
    """What cmflib calls a stage or execution that was not given a name: the script, without its suffix."""
    return Path(sys.argv[0]).stem or "interactive"


def _node(key: str, operations: Sequence[Operation]) -> model.Node:
    """What operations by themselves say of a node."""
    stamp = make_stamp(now(), "now", 1)
    (node,) = answers.nodes(fold((stamp, operation) for operation in operations), [key], {})
    return node


def _parts(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command)) or (command,)
    except ValueError:  # a quote that is not closed
        return (command,)


_open: list[Session] = []
"""The sessions whose executions are open."""


@atexit.register
def _end_all() -> None:
    """Write down how the executions ended that nobody finalized. Python keeps the error that ended the program.

    In an interactive interpreter that may be the error of any line before, and says nothing.
    """
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    with ExitStack() as stack:  # which goes on to the others if one cannot be written
        for session in _open:
            stack.callback(session.end, *ending(error))
