"""Statements of another tool's records: each is stamped by what it says, not by when or where it was read.

So the same record read twice, or at two sites, makes the same statements.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from cmf.clock import written
from cmf.core.news import Stated
from cmf.core.operations import (
    Operation,
    PutArtifact,
    PutContext,
    PutExecution,
    PutRelation,
    PutUse,
    SetProperty,
    put_context,
)
from cmf.core.records import make_stamp
from cmf.core.values import Json, fit, to_json

_TOLERATED_US = 86_400_000_000
_UNFIT = re.compile(r"[^0-9A-Za-z_.:-]")


class Statements:
    """Statements of records of one `source`; `namespace` is that of the clone's pipelines."""

    def __init__(self, source: str, namespace: str | None) -> None:
        self.stated: list[Stated] = []
        self._source = source
        self._namespace = namespace

    def say(self, at: str, operations: Iterable[Operation]) -> None:
        """State these, as of a time."""
        for operation in operations:
            origin = _UNFIT.sub("_", _subject(operation).partition(":")[2])[:40]
            self.stated.append((make_stamp(at, f"{self._source}.{origin}", 1), operation))

    def set(self, at: str, key: str, properties: dict[str, Json]) -> None:
        """State properties, as of a time; a null is not said."""
        self.say(at, [SetProperty(key=key, name=name, value=v) for name, v in properties.items() if v is not None])

    def pipeline(self, at: str, name: str) -> str:
        """State that there is this pipeline; → its key."""
        put = put_context("pipeline", fit(name), None, self._namespace)
        self.say(at, [put])
        return put.key

    def stage(self, at: str, pipeline: str, name: str) -> str:
        """State that there is this stage of the pipeline with this key; → its key."""
        put = put_context("stage", fit(name), pipeline, self._namespace)
        self.say(at, [put])
        return put.key

    def ran_in(self, at: str, execution: str, context: str) -> None:
        """State where an execution ran."""
        self.say(at, [PutRelation(kind="ran_in", source=execution, target=context)])


def is_to_come(at: str) -> bool:
    """Whether a time has not come by any clock that is about right.

    A statement of such a time would outrank every later one, and clocks would follow it.
    """
    return at > written(time.time_ns() // 1000 + _TOLERATED_US)


def json_object(value: Mapping[Any, Any], what: str) -> dict[str, Json]:
    """The recorded form of an object; see `to_json`."""
    return {str(name): to_json(item, f"{what}: {name}") for name, item in value.items()}


def _subject(operation: Operation) -> str:
    match operation:
        case PutUse():
            return operation.execution
        case PutRelation():
            return operation.source
        case PutContext() | PutExecution() | PutArtifact() | SetProperty():
            return operation.key
        case _:
            return getattr(operation, "key", "") or operation.execution  # type: ignore[union-attr]
