"""What a DVC pipeline's files say, as statements: an execution for each stage as the lock has it.

An execution's identity is the content of its entry, so the same entry is the same execution on any machine, and a
stage that ran again on other content is another one.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cmf.clock import now, written
from cmf.core import foreign
from cmf.core.addresses import without_secrets
from cmf.core.errors import FileProblem
from cmf.core.identity import use_key
from cmf.core.model import ArtifactType, Code, Execution
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    Operation,
    PutArtifact,
    PutUse,
    put_execution,
)
from cmf.core.values import Json, base_name, canonical, fit
from cmf.ingest.dvc import definitions, history, lock
from cmf.ingest.dvc.definitions import Definition
from cmf.ingest.dvc.history import Brought, Checkout
from cmf.ingest.dvc.lock import Entry
from cmf.ingest.dvc.metrics import metrics
from cmf.ingest.statements import Statements, is_to_come
from cmf.repository import Repository
from cmf.versioning.git import project_name

SOURCE: Final = "dvc"
DEFAULT_PARAMS = "params.yaml"


class Ingested(NamedTuple):
    """What was found, how many statements of it were new, and notes of what was left out."""

    executions: tuple[str, ...]
    statements: int
    notes: tuple[str, ...]


def ingest(repository: Repository, folder: Path, pipeline: str | None = None) -> Ingested:
    """Record what the `dvc.yaml` and `dvc.lock` in a folder of the clone say; what is known already is not said again.

    The pipeline is called as the folder is, or at the clone's root as the project, unless `pipeline` names it.

    Raises:
        FileProblem: a file is missing or malformed; nothing was recorded.
    """
    made = _Ingestion(repository, folder.resolve(), pipeline)
    executions = made.state()
    return Ingested(executions, repository.take(made.statements.stated), tuple(made.notes))


class _Ingestion:
    def __init__(self, repository: Repository, folder: Path, pipeline: str | None) -> None:
        self._repository = repository
        self._root = repository.root
        self._lock_file, self._yaml_file = folder / "dvc.lock", folder / "dvc.yaml"
        check_there(folder)
        if not folder.is_relative_to(self._root):
            raise FileProblem(folder, f"lies outside of the clone {self._root}")
        self._folder = folder.relative_to(self._root).as_posix()
        settings = repository.settings
        versioned = settings.versioning == "git"
        self._checkout = history.checked_out(folder) if versioned else Checkout()
        self._project = settings.project or project_name(self._checkout.remote, self._root)
        # Of a project `example.org/team/digits` the last part.
        whole = self._project.rpartition("/")[2] if self._folder == "." else self._folder
        self._pipeline = fit(pipeline or whole)
        self._entries = lock.entries(self._lock_file.read_bytes(), self._lock_file)
        self._definitions = definitions.read(self._yaml_file)
        self._brought = history.brought(self._lock_file, self._entries) if versioned else {}
        self._defined_at = history.changed_at(self._yaml_file, by_git=versioned)
        self._outputs = {item.key for entry in self._entries.values() for item in entry.outs}
        self.statements = Statements(SOURCE, settings.namespace)
        self.notes = [*self._definitions.notes]
        self._outside: dict[str, None] = {}

    def state(self) -> tuple[str, ...]:
        """State every stage that both files know; → the keys of the executions."""
        noted = " ".join(self.notes)
        for name in self._entries.keys() - self._definitions.stages.keys():
            if f"stage {name.partition('@')[0]!r}" not in noted:
                self.notes.append(f"{self._lock_file}: stage {name!r} is no longer in dvc.yaml; its entry was left out")
        for name in self._definitions.stages.keys() - self._entries.keys():
            self.notes.append(f"{self._yaml_file}: stage {name!r} has no entry in dvc.lock: it has not run")
        self.notes.sort()
        stated = tuple(
            self._stage(name, self._entries[name], definition)
            for name, definition in self._definitions.stages.items()
            if name in self._entries
        )
        if self._outside:
            some, rest = list(self._outside)[:5], len(self._outside) - 5
            self.notes.append(
                f"{self._lock_file}: {', '.join(some)}{f' and {rest:,} more' if rest > 0 else ''}: outside of the "
                f"clone {self._root}. The content is recorded; no pull or reproduction puts anything there"
            )
        return stated

    def _stage(self, name: str, entry: Entry, definition: Definition) -> str:
        put = put_execution(ForeignIdentity(source=SOURCE, run=_identity(self._folder, name, entry)))
        brought = self._brought.get(name)
        at = brought.at if brought and not is_to_come(brought.at) else self._known_since(put.key)
        say = self.statements
        say.say(at, [put, EndExecution(key=put.key, status="complete", ended_at=at)])
        pipeline = say.pipeline(at, self._pipeline)
        say.ran_in(at, put.key, say.stage(at, pipeline, name))
        say.say(at, self._facts(put.key, entry, brought))
        say.set(max(at, self._defined_at), put.key, definition.facts)
        self._uses(at, put.key, entry, definition, brought)
        return put.key

    def _known_since(self, key: str) -> str:
        """When a run that git does not know ended: what was said of it before, else when the lock was written."""
        known = next(iter(self._repository.view.nodes([key])), None)
        if isinstance(known, Execution) and known.ended_at:
            return known.ended_at
        at = written(self._lock_file.stat().st_mtime_ns // 1000)
        return now() if is_to_come(at) else at

    def _facts(self, key: str, entry: Entry, brought: Brought | None) -> Iterator[Operation]:
        parameters = {
            fit(name if file == DEFAULT_PARAMS else f"{file}:{name}"): value
            for file, of in entry.params.items()
            for name, value in of.items()
        }
        yield from foreign.state(
            key,
            command=entry.command,
            code=Code(commit=brought.commit, remote=self._checkout.remote) if brought else None,
            project=self._project,
            branch=self._checkout.branch,
            parameters=parameters,
        )

    def _uses(self, at: str, execution: str, entry: Entry, definition: Definition, brought: Brought | None) -> None:
        unhashed: list[Json] = []
        for direction, items in (("input", entry.deps), ("output", entry.outs)):
            for item in items:
                path = self._path(definition.folder, item.path)
                if item.key is None:
                    unhashed.append(path)
                    continue
                said = definition.outs.get(item.path, {}) if direction == "output" else {}
                said = said | self._definitions.types.get(posixpath.normpath(f"{definition.folder}/{item.path}"), {})
                url = path if "://" in path else None
                types = _types(direction, said, item.key in self._outputs)
                put = PutArtifact(key=item.key, name=base_name(path), types=types, size_bytes=item.size_bytes)
                use = PutUse(
                    execution=execution,
                    artifact=item.key,
                    direction=direction,  # type: ignore[arg-type]
                    path=path,
                    commit=brought.commit if brought and direction == "output" else None,
                    url=url,
                )
                self.statements.say(at, [put, use])
                key = use_key(execution, item.key, direction, path)
                self.statements.set(at, key, item.more)
                self.statements.set(max(at, self._defined_at), key, said)
                if said.get("kind") == "metrics":
                    values = list(metrics(self._root / path, path, item.key, execution))
                    self.statements.say(at, values)
                    if not values:
                        self.notes.append(f"{path}: is not as the stage wrote it, or has no values; they were left out")
        if unhashed:
            self.statements.set(at, execution, {"without_hash": unhashed})
            self.notes.append(f"{self._lock_file}: no hash of {', '.join(map(str, unhashed))}; kept as 'without_hash'")

    def _path(self, folder: str, path: str) -> str:
        """A path of the lock, from the clone's root, so that any machine says the same; an address as it is.

        One that leads out of the clone begins with `..`, or if the lock has it so, it is a whole path.
        """
        if "://" in path:
            return without_secrets(path)
        root = self._root.as_posix()
        told = posixpath.join(self._folder, folder, path)
        shown = posixpath.relpath(posixpath.join(root, told), root)
        if shown.startswith("../"):
            shown = posixpath.normpath(told) if told.startswith("/") else shown
            self._outside[shown] = None
        return shown


def check_there(folder: Path) -> None:
    """That the files of a pipeline are in a folder.

    Raises:
        FileProblem: one is not.
    """
    yaml, locked = folder / "dvc.yaml", folder / "dvc.lock"
    if not yaml.is_file():
        near = sorted(found.parent for found in yaml.parent.glob("*/dvc.yaml"))
        hint = f"; there is one in {', '.join(map(str, near[:5]))}" if near else ""
        raise FileProblem(yaml, f"is not there; name the folder of a DVC pipeline{hint}")
    if not locked.is_file():
        raise FileProblem(locked, "is not there: nothing of this pipeline has run yet; run 'dvc repro' first")


def _identity(folder: str, stage: str, entry: Entry) -> str:
    content: Json = {"rule": "dvc/1", "folder": folder, "stage": stage, "content": entry.content}
    return hashlib.sha256(canonical(content)).hexdigest()


def _types(direction: str, said: dict[str, Json], is_output: bool) -> tuple[str, ...]:
    """The types of an artifact; an input that a stage here puts out has those of that output."""
    if said.get("kind") == "metrics":
        return (ArtifactType.METRICS,)
    if isinstance(named := said.get("type"), str) and named:
        return (fit({"model": ArtifactType.MODEL, "dataset": ArtifactType.DATASET}.get(named, named)),)
    return () if direction == "input" and is_output else (ArtifactType.DATASET,)
