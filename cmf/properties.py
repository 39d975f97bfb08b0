"""Properties, parameters and values as a caller gives them, and the statements that they become."""

from __future__ import annotations

from collections.abc import Mapping

from cmf.core.errors import InvalidValue
from cmf.core.operations import SetProperty
from cmf.core.values import Json, check_name, to_json

Properties = Mapping[str, object]


def checked(values: Properties | None, what: str) -> dict[str, Json]:
    """Values that can be recorded; `what` one of them is called.

    Raises:
        InvalidValue: a name or value that cannot.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidValue(f"{what} values are names with values, as in a dict, and no {type(values).__name__}")
    named = {check_name(name, f"the {what}'s name"): to_json(v, f"{what} {name!r}") for name, v in values.items()}
    to_json(named, f"the {what}s together")
    return named


def set_properties(key: str, properties: Properties) -> list[SetProperty]:
    """The statements of properties of a node or use; None deletes one.

    Raises:
        InvalidValue: a property that cannot be recorded.
    """
    return statements(key, checked(properties, "property"))


def statements(key: str, values: Mapping[str, Json]) -> list[SetProperty]:
    """The statements of checked properties."""
    return [SetProperty(key=key, name=name, value=value) for name, value in values.items()]
