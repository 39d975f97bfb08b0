"""DataFrames with cmflib's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cmf.compat.files import pandas
from cmf.compat.objects import Artifact, Execution

PREFIX = "custom_properties_"


def frame(rows: Iterable[Mapping[str, Any]], *, in_order: bool = False) -> Any:
    """Rows as a DataFrame; its columns by name, or `in_order` of their first row.

    Raises:
        MissingExtra: pandas is not installed.
    """
    made = pandas().DataFrame(list(rows))
    return made if in_order else made.reindex(columns=sorted(made.columns))


def execution_row(execution: Execution, *, named: bool = True) -> dict[str, Any]:
    """The row of an execution; `named` with its id and name."""
    first = {"id": execution.id, "name": execution.name} if named else {}
    return first | execution.properties.plain() | _custom(execution)


def artifact_row(artifact: Artifact, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The row of an artifact, behind what the caller has to say of it."""
    own = {
        "id": artifact.id,
        "type": artifact.type,
        "uri": artifact.uri,
        "name": artifact.name,
        "create_time_since_epoch": artifact.create_time_since_epoch,
        "last_update_time_since_epoch": artifact.last_update_time_since_epoch,
    }
    return {**(more or {}), **own} | artifact.properties.plain() | _custom(artifact)


def _custom(of: Execution | Artifact) -> dict[str, Any]:
    return {PREFIX + name: value for name, value in of.custom_properties.plain().items()}
