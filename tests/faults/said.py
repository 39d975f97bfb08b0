"""What sites say: operations of every kind, about few things, so that sites contradict each other."""

from __future__ import annotations

import random

from histories import artifact, execution

from cmf.core.identity import use_key
from cmf.core.operations import (
    Operation,
    PutArtifact,
    PutExecution,
    PutPoints,
    PutRelation,
    PutUse,
    Retract,
    SetProperty,
)
from cmf.core.wire import PullQuestion

SHARED = [f"shared-{number}" for number in range(6)]

EVERYTHING = PullQuestion(pipelines=("a", "b", "digits"), artifacts=tuple(artifact(name) for name in SHARED))
"""All that sites record."""

BULK_BYTES = 300_000
"""Of one property: four of them fill a chunk."""


def said(chance: random.Random, *, bulky: bool) -> tuple[str, list[Operation]]:
    """The key of an execution that no other life tells of, and operations about it and what all share."""
    inputs, outputs = chance.sample(SHARED, 2), chance.sample(SHARED, 1)
    operations = execution(
        chance.randrange(10**9), inputs, outputs, pipeline=chance.choice(["a", "b"]), metrics=chance.randrange(4)
    )
    put = operations[0]
    assert isinstance(put, PutExecution)
    keys = [artifact(name) for name in SHARED]
    use = use_key(put.key, artifact(outputs[0]), "output", f"data/{outputs[0]}")
    for _ in range(chance.randrange(2, 9)):
        operations.append(_about(chance, put.key, chance.choice(keys), chance.choice(keys), use))
    if bulky:
        for number in range(chance.randrange(4, 14)):
            text = chance.randbytes(BULK_BYTES // 2).hex()
            operations.append(SetProperty(key=put.key, name=f"text-{number % 2}", value=text))
    return put.key, operations


def _about(chance: random.Random, execution: str, one: str, other: str, use: str) -> Operation:
    match chance.randrange(8):
        case 0:
            return Retract(key=chance.choice([one, use]), reason=chance.choice([None, "bad data"]))
        case 1:
            return PutRelation(kind=chance.choice(["derived_from", "version_of"]), source=one, target=other)
        case 2:
            rows = ((chance.randrange(9), chance.random() * 1e9, chance.random()),)
            return PutPoints(execution=execution, series="loss", chunk=chance.randrange(3), rows=rows)
        case 3:
            return PutArtifact(
                key=one, name=f"name-{chance.randrange(4)}", types=(chance.choice(["Model", "Dataset"]),)
            )
        case 4:
            return SetProperty(key=use, name="note", value=chance.random())
        case 5:
            return PutUse(execution=execution, artifact=one, direction="input", path="data/again")
        case _:
            return SetProperty(key=one, name=chance.choice("xyz"), value=chance.choice([None, chance.random(), "text"]))
