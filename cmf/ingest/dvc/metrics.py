"""The values of a metrics file, as an artifact of the execution that put it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cmf.core.errors import FileProblem, InvalidValue
from cmf.core.model import ArtifactType
from cmf.core.operations import Operation, PutUse, RecordIdentity, put_record
from cmf.core.values import Json, fit, to_json
from cmf.documents import load
from cmf.versioning.contents import Contents

READ = {".json", ".yaml", ".yml", ".toml"}


def metrics(file: Path, path: str, key: str, execution: str) -> Iterator[Operation]:
    """The values in a metrics file, if what is at its place now is what the execution wrote."""
    try:
        if file.suffix not in READ or Contents().at(file).key != key:
            return
        values = flat(to_json(load(file), path))
    except (FileProblem, InvalidValue):
        return  # gone, changed, or no metrics that can be read: its content is recorded all the same
    if not values:
        return
    put = put_record(RecordIdentity(kind=ArtifactType.METRICS, execution=execution, name=fit(path), values=values))
    yield put
    yield PutUse(execution=execution, artifact=put.key, direction="output", path=f"{path}:values")


def flat(value: Json) -> dict[str, Json]:
    """Values under one another as `train.loss`, as DVC shows them; where two would be called alike, as they are.

    >>> flat({"train": {"loss": 0.5}, "n": 3})
    {'train.loss': 0.5, 'n': 3}
    """
    if not isinstance(value, dict):
        return {"value": value}
    pairs = list(_pairs(value, ""))
    found = dict(pairs)
    return found if len(found) == len(pairs) and "" not in found else value


def _pairs(values: Mapping[str, Json], before: str) -> Iterator[tuple[str, Json]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and "$number" not in value:
            yield from _pairs(value, f"{before}{name}.")
        else:
            yield before + name, value
