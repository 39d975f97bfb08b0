"""Contexts, executions and artifacts as scripts written for cmflib meet them: objects with ML Metadata's attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from cmf.compat.ids import id_of, uri_of
from cmf.core.values import from_json

ValueField = Literal["string_value", "int_value", "double_value"]


class Value:
    """A property's value. It equals the plain value, and has the fields of ML Metadata's `Value`.

    `string_value` is the text of any value, since cmflib kept most values as text.
    """

    def __init__(self, value: Any = None) -> None:
        self.value = value

    @property
    def string_value(self) -> str:
        """The value as text."""
        return "" if self.value is None else str(self.value)

    @string_value.setter
    def string_value(self, value: str) -> None:
        self.value = value

    @property
    def int_value(self) -> int:
        """A whole number; 0 of anything else."""
        return int(self.value) if isinstance(self.value, int) else 0

    @int_value.setter
    def int_value(self, value: int) -> None:
        self.value = value

    @property
    def double_value(self) -> float:
        """A number; 0.0 of anything else."""
        return float(self.value) if isinstance(self.value, int | float) else 0.0

    @double_value.setter
    def double_value(self, value: float) -> None:
        self.value = value

    def HasField(self, name: ValueField) -> bool:  # noqa: N802 (ML Metadata's name)
        """Whether the value is of this field's type."""
        return name == self._field()

    def WhichOneof(self, name: str) -> ValueField | None:  # noqa: N802 (ML Metadata's name)
        """The field whose type the value is of; None where there is none."""
        return self._field()

    def _field(self) -> ValueField | None:
        match self.value:
            case None:
                return None
            case int():
                return "int_value"
            case float():
                return "double_value"
            case _:
                return "string_value"

    def __eq__(self, other: object) -> bool:
        return bool(self.value == (other.value if isinstance(other, Value) else other))

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.string_value

    def __repr__(self) -> str:
        return repr(self.value)


class Properties(dict[str, Value]):
    """Values by name. As in ML Metadata, one that is asked for and is not there is made."""

    def __missing__(self, name: str) -> Value:
        return self.setdefault(name, Value())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Properties:
        """Those of recorded values; None stands for what is not known, and is left out."""
        return cls({name: Value(from_json(value)) for name, value in values.items() if value is not None})

    def plain(self) -> dict[str, Any]:
        """The values as Python's own."""
        return {name: value.value for name, value in self.items() if value.value is not None}


@dataclass(kw_only=True)
class Entity:
    """What all have. `key` is what it is called everywhere else in cmf; times are in milliseconds since 1970."""

    key: str
    name: str
    type: str
    properties: Properties = field(default_factory=Properties)
    custom_properties: Properties = field(default_factory=Properties)
    create_time_since_epoch: int = 0
    last_update_time_since_epoch: int = 0

    @property
    def id(self) -> int:
        """The id, see `cmf.compat.ids`."""
        return id_of(self.key)


class Context(Entity):
    """A pipeline or a stage."""


class Execution(Entity):
    """A run of a stage. Only one that is used again by its name has a `name`."""


class Artifact(Entity):
    """Content, or a record such as metrics."""

    @property
    def uri(self) -> str:
        """The hash of the content."""
        return uri_of(self.key)


def milliseconds(time: str | None) -> int:
    """A time as ML Metadata has it; 0 where it is not known."""
    return round(datetime.fromisoformat(time).timestamp() * 1000) if time else 0
