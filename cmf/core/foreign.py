"""What statements say of an execution whose own record says little: one that another system recorded.

Its record names only who recorded it and under which id. All else is said by `ran_in` relations and by properties
with the names below, and answers show it where they show it of our own runs. A value of another form than is asked
for here is an ordinary property.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from cmf.core.delta import Delta
from cmf.core.errors import InvalidValue
from cmf.core.model import Code
from cmf.core.operations import ForeignIdentity, SetProperty, Time, check_time
from cmf.core.records import Stamp
from cmf.core.values import Json

PREFIX: Final = "cmf."
"""How the name of each such property begins."""

PARAMETER: Final = "cmf.parameter."
"""A parameter: followed by its name."""

RUNNING: Final = "running"
"""The one status that is stated; all others are told by how the execution ended."""


class Place(NamedTuple):
    """Where an execution ran. A pipeline without a stage where that is all that was said."""

    pipeline: str | None
    stage: str | None


def state(
    key: str,
    *,
    name: str | None = None,
    type_: str | None = None,
    started_at: str | None = None,
    command: tuple[str, ...] = (),
    code: Code | None = None,
    project: str | None = None,
    branch: str | None = None,
    running: bool = False,
    parameters: Mapping[str, Json] | None = None,
) -> Iterator[SetProperty]:
    """The statements that say this of an execution; what is not given is not said."""
    said: dict[str, Json] = {
        "name": name,
        "type": type_,
        "started_at": started_at,
        "command": list(command) or None,
        "code": msgspec.to_builtins(code) if code else None,
        "project": project,
        "branch": branch,
        "status": RUNNING if running else None,
    }
    for field, value in said.items():
        if value is not None:
            yield SetProperty(key=key, name=PREFIX + field, value=value)
    for parameter, value in (parameters or {}).items():
        yield SetProperty(key=key, name=PARAMETER + parameter, value=value)


def lifted(properties: Mapping[str, Json]) -> tuple[dict[str, Any], dict[str, Json]]:
    """The fields of an answer that properties state, and the properties that are left."""
    fields: dict[str, Any] = {}
    parameters: dict[str, Json] = {}
    rest: dict[str, Json] = {}
    for name, value in properties.items():
        if name.startswith(PARAMETER) and name != PARAMETER:
            parameters[name.removeprefix(PARAMETER)] = value
        elif (read := _FIELDS.get(name)) is None:
            rest[name] = value
        else:
            try:
                fields[name.removeprefix(PREFIX)] = read(value)
            except (ValueError, TypeError):
                rest[name] = value
    return fields | ({"parameters": parameters} if parameters else {}), rest


def places(of: Delta) -> dict[str, tuple[Place, ...]]:
    """Where executions ran whose own records do not say it, as far as it is known; first the place to show.

    That is one with a stage before one without, and then the first told of.
    """
    found: dict[str, list[tuple[bool, Stamp, Place]]] = defaultdict(list)
    for relation, first in of.relations.items():
        if relation.kind == "ran_in" and _is_foreign(of, relation.source) and (place := _place(of, relation.target)):
            found[relation.source].append((place.stage is None, first, place))
    return {key: tuple(dict.fromkeys(place for *_, place in sorted(told, key=_order))) for key, told in found.items()}


def _is_foreign(of: Delta, key: str) -> bool:
    fact = of.executions.get(key)
    return fact is not None and isinstance(fact.identity, ForeignIdentity)


def _order(told: tuple[bool, Stamp, Place]) -> tuple[bool, str, str, str]:
    whole, first, place = told
    return whole, first, place.pipeline or "", place.stage or ""


def _place(of: Delta, context: str) -> Place | None:
    if (fact := of.contexts.get(context)) is None:
        return None
    told = fact.operation
    if told.kind == "pipeline":
        return Place(told.name, None)
    parent = of.contexts.get(told.parent) if told.parent else None
    return Place(parent.operation.name if parent else None, told.name)


def _text(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _command(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(part) for part in value)


def _code(value: Json) -> Code:
    if not isinstance(value, dict) or value.keys() - set(Code.__struct_fields__):
        raise TypeError
    return msgspec.convert(value, Code)  # its error is a ValueError


def _time(value: Json) -> str:
    time: str = msgspec.convert(value, Time)
    try:
        check_time(time)
    except InvalidValue as exc:
        raise ValueError(time) from exc
    return time


def _running(value: Json) -> str:
    if value != RUNNING:
        raise ValueError(value)
    return RUNNING


_FIELDS: Final[Mapping[str, Callable[[Json], Any]]] = {
    "cmf.name": _text,
    "cmf.type": _text,
    "cmf.project": _text,
    "cmf.branch": _text,
    "cmf.started_at": _time,
    "cmf.command": _command,
    "cmf.code": _code,
    "cmf.status": _running,
}
"""What each property is read with; the rest of its name is the field's."""
