"""Histories of any size, as operations: what a site would have recorded, without the time it would have taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from cmf import journal
from cmf.clock import written
from cmf.core.delta import Delta, fold
from cmf.core.operations import (
    EndExecution,
    Operation,
    PutArtifact,
    PutExecution,
    PutUse,
    RecordIdentity,
    RunIdentity,
    put_execution,
    put_record,
)
from cmf.core.records import parse_record
from cmf.repository import Repository

BEGIN = 1_700_000_000_000_000


def artifact(name: str) -> str:
    """The key of the content called so."""
    return "md5:" + hashlib.md5(name.encode()).hexdigest()


def execution(
    number: int, inputs: Iterable[str], outputs: Iterable[str], *, pipeline: str = "digits", metrics: int = 0
) -> list[Operation]:
    """One execution that read and wrote the contents called so."""
    put = put_execution(
        RunIdentity(
            pipeline=pipeline,
            stage="train",
            type="train",
            uuid=f"{pipeline}-{number}",
            started_at=written(BEGIN + number * 1_000_000),
            project="digits",
            command=("python", "train.py"),
            parameters={"C": number / 7, "seed": number},
        )
    )
    said: list[Operation] = [put]
    for direction, names in (("input", inputs), ("output", outputs)):
        for name in names:
            said.append(PutArtifact(key=artifact(name), name=name, types=("Dataset",), size_bytes=len(name)))
            said.append(PutUse(execution=put.key, artifact=artifact(name), direction=direction, path=f"data/{name}"))  # type: ignore[arg-type]
    if metrics:
        values = {f"metric_{index}": number / (index + 1) for index in range(metrics)}
        record = put_record(RecordIdentity(kind="Metrics", execution=put.key, name="metrics", values=values))  # type: ignore[arg-type]
        said += [record, PutUse(execution=put.key, artifact=record.key, direction="output", path="metrics")]
    said.append(EndExecution(key=put.key, status="complete", ended_at=written(BEGIN + number * 1_000_000 + 500_000)))
    return said


def typical(executions: int, start: int = 0) -> Iterator[Operation]:
    """Executions of two inputs, one output and ten metrics (10 operations each), every tenth after the one before."""
    for number in range(start, start + executions):
        earlier = f"output-{number - 1}" if number % 10 else f"input-{number}-b"
        yield from execution(number, [f"input-{number}-a", earlier], [f"output-{number}"], metrics=10)


def chain(length: int) -> Iterator[Operation]:
    """content 0 → 1 → … → length, an execution between each two."""
    for number in range(length):
        yield from execution(number, [f"chain-{number}"], [f"chain-{number + 1}"], pipeline="chain")


def ladder(rungs: int) -> Iterator[Operation]:
    """Diamonds in a row: 2**rungs paths from `rung-0` to `rung-<rungs>`.

    rung-0 ─┬─ left ──► side-0-l ─┬─► rung-1 …
            └─ right ─► side-0-r ─┘
    """
    for rung in range(rungs):
        yield from execution(3 * rung, [f"rung-{rung}"], [f"side-{rung}-l"], pipeline="ladder")
        yield from execution(3 * rung + 1, [f"rung-{rung}"], [f"side-{rung}-r"], pipeline="ladder")
        yield from execution(
            3 * rung + 2, [f"side-{rung}-l", f"side-{rung}-r"], [f"rung-{rung + 1}"], pipeline="ladder"
        )


def hub(consumers: int) -> Iterator[Operation]:
    """One content that many executions read."""
    yield PutArtifact(key=artifact("hub"), name="hub", types=("Dataset",))
    for number in range(consumers):
        outputs = [f"made-{number}"] if number % 100 == 0 else []
        told = execution(number, ["hub"], outputs, pipeline="hub")
        yield from (said for said in told if isinstance(said, PutExecution | PutUse))


def cycle(length: int) -> Iterator[Operation]:
    """A chain whose last execution makes its first content again, as a revert does."""
    for number in range(length):
        outputs = [f"cycle-{(number + 1) % length}"]
        yield from execution(number, [f"cycle-{number}"], outputs, pipeline="cycle")


def record(root: Path, operations: Iterable[Operation], *, at_once: int = 5_000) -> Repository:
    """A clone whose journal holds the operations."""
    repository = Repository.create(root)
    rest = iter(operations)
    while piece := list(islice(rest, at_once)):
        repository.record(piece)
    return repository


def as_recorded(*repositories: Repository) -> Delta:
    """The specification's graph of all that these clones recorded."""
    stamped = []
    for repository in repositories:
        for segment in repository.segments:
            lines = [line for line, head in journal.read(segment.path) if head.sequence]
            records = [parse_record(line) for line in lines]
            stamped += [(record.stamp_in(segment.name), record.op) for record in records]
    return fold(stamped)
