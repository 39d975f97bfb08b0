"""A history to measure on: projects of executions in layers, with shared datasets, reuse and reverts.

                corpora (20, shared by all projects)   raw data
                        │                                │
    layer 0     ○ ○ ○ ○ ○ ○ ○ ○ ○ ○      each execution reads two contents and writes one, with ten metrics
    layer 1     ○ ○ ○ ○ ○ ○ ○ ○ ○ ○      of the layer above; one input in ten is of any earlier layer,
      …                                  one output in thirty is a content that the project had before
    layer 19    ○ ○ ○ ○ ○ ○ ○ ○ ○ ○

It is the same at each run. One execution is ten records.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import histories  # of the tests

from cmf.clock import HybridClock
from cmf.core.operations import Operation
from cmf.journal import SegmentWriter
from cmf.repository import Repository

PROJECT_EXECUTIONS = 200
LAYER_EXECUTIONS = 10
CORPORA = 20
RECORDS_OF_EXECUTION = 10

PIECE = 5_000


def operations(executions: int, seed: int = 1) -> Iterator[Operation]:
    """What a site recorded. Histories of different seeds have nothing but their pipelines in common."""
    chance = random.Random(seed)
    made: list[str] = []
    for number in range(executions):
        project, place = divmod(number, PROJECT_EXECUTIONS)
        layer = place // LAYER_EXECUTIONS
        if place == 0:
            made.clear()
        if layer == 0:
            inputs = [corpus(chance.randrange(CORPORA), seed), f"{seed}-raw-{number}"]
        else:
            above = made[(layer - 1) * LAYER_EXECUTIONS : layer * LAYER_EXECUTIONS]
            inputs = sorted({chance.choice(made if chance.random() < 0.1 else above), chance.choice(above)})
            if len(inputs) == 1:
                inputs.append(f"{seed}-settings-{project}")
        output = chance.choice(made) if made and chance.random() < 1 / 30 else f"{seed}-made-{number}"
        made.append(output)
        yield from histories.execution(number, inputs, [output], pipeline=f"project-{seed}-{project}", metrics=10)


def corpus(number: int, seed: int = 1) -> str:
    """The name of a dataset that many projects read."""
    return f"{seed}-corpus-{number}"


def write_journal(root: Path, operations: Iterator[Operation]) -> Repository:
    """A clone whose journal holds the operations, written in big pieces; its view knows nothing of them yet."""
    repository = Repository.create(root)
    writer = SegmentWriter(repository.folder / "journal", repository.site, "cmf bench", HybridClock())
    while piece := list(islice(operations, PIECE)):
        writer.append(piece)
    writer.close()
    return repository
