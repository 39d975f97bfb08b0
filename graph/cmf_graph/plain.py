"""What people see in Neo4j: recorded values as plain properties, so that `WHERE e.accuracy > 0.9` works.

The exact truth stands beside them as JSON text, in the properties that begin with `cmf_`; this is a mirror.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cmf.core.values import Json, encode, from_json

STRUCTURAL = frozenset(
    {"key", "name", "first", "first_seen", "first_origin", "recorded_at", "retracted", "retraction_recorded_at"}
    | {"types", "size_bytes", "sha256", "namespace", "parent"}
    | {"pipeline", "stage", "type", "project", "branch", "status", "started", "started_at", "ended_at", "error"}
    | {"command", "commit", "remote", "dirty", "end_commit", "series", "places"}
    | {"path", "long_path", "commit_stamp", "url", "url_stamp"}
)
"""Properties that cmf itself sets; a user's property of such a name gets the prefix."""

PREFIX = "property_"
_TAKEN = (PREFIX, "parameter_", "metric_", "cmf_")

MAX_TOKEN = 2000
"""The longest property name that is mirrored; Neo4j keeps each name for ever."""

MAX_PATH = 1000
"""Longer paths are cut in `path`, which is indexed (an index entry has a limit), and whole in `long_path`."""


def mirrored(properties: Mapping[str, Json]) -> dict[str, Any]:
    """A node's or use's properties under the names that they have in Neo4j.

    >>> mirrored({"accuracy": 0.97, "name": "x", "layers": [64, None]})
    {'accuracy': 0.97, 'property_name': 'x', 'layers': '[64,null]'}
    """
    return _plain_ones((user_name(name), value) for name, value in properties.items())


def prefixed(prefix: str, values: Mapping[str, Json]) -> dict[str, Any]:
    """Parameters or metrics, under their prefix.

    >>> prefixed("metric_", {"loss": {"$number": "NaN"}})
    {'metric_loss': nan}
    """
    return _plain_ones((prefix + name, value) for name, value in values.items())


def user_name(name: str) -> str:
    """The name in Neo4j of a user's property; no two have the same."""
    return PREFIX + name if name in STRUCTURAL or name.startswith(_TAKEN) else name


def plain(value: Json) -> Any:
    """A value as Neo4j can hold it: numbers, text and lists of one kind as they are, all else as JSON text."""
    match value:
        case None | bool() | str() | int() | float():
            return value
        case {"$number": str()} if len(value) == 1:
            return _number(value)
        case list():
            return _list(value)
        case _:
            return _text(value)


def time(text: str | None) -> str | None:
    """A recorded time that a statement makes a datetime of; None where the calendar has no such time."""
    try:
        return text if text and datetime.fromisoformat(text) else None
    except ValueError:
        return None


def paths(path: str) -> dict[str, str]:
    """The properties that hold the path of a use."""
    if len(path) <= MAX_PATH:
        return {"path": path}
    return {"path": path[:MAX_PATH] + "…", "long_path": path}


def _plain_ones(named: Iterable[tuple[str, Json]]) -> dict[str, Any]:
    return {
        name: plain(value)
        for name, value in named
        if value is not None and len(name) <= MAX_TOKEN and "\x00" not in name
    }


def _number(value: Json) -> Any:
    number = from_json(value)
    return number if isinstance(number, float) or -(2**63) <= number < 2**63 else _text(value)


def _list(value: list[Json]) -> Any:
    items: list[Any] = [plain(item) if isinstance(item, dict) else item for item in value]
    kinds = {type(item) for item in items}
    if kinds == {int, float}:
        return [float(item) for item in items]
    # An object became text, which must not be taken for one.
    return (
        items if len(kinds) <= 1 and kinds <= {bool, int, float, str} and not _objects(value, kinds) else _text(value)
    )


def _objects(value: list[Json], kinds: set[type]) -> bool:
    return str in kinds and any(isinstance(item, dict) for item in value)


def _text(value: Json) -> str:
    return encode(value).decode()
