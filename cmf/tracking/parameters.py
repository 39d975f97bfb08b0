"""Any value as a parameter: what JSON can hold as it is, of everything else what it was.

A step takes whatever its function takes, so this never raises. What cannot be recorded becomes an object that says so:

    a DataFrame              {"unrecorded": "pandas.core.frame.DataFrame", "shape": [150, 4]}
    a list of a million      {"unrecorded": "list", "length": 1000000}
    any other object         {"unrecorded": "my.module.Optimizer", "text": "Optimizer(lr=0.1)"}
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import os
import re
import reprlib
from collections.abc import Mapping
from typing import Any

from cmf.core.errors import InvalidValue
from cmf.core.values import MAX_NAME, encode, to_json
from cmf.tracking.found import MANY

MOST_BYTES = 1 << 16
"""The greatest size of one parameter as JSON; what is larger is data rather than configuration."""

_TOGETHER = 1 << 19
_DEEPEST = 16
_SHORT = 200


def described(parameters: Mapping[str, object]) -> dict[str, object]:
    """Values that can be recorded as parameters, under names that can name them."""
    found = {name_of(name): _bounded(value) for name, value in parameters.items()}
    sizes = {name: len(encode(to_json(value))) for name, value in found.items()}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if sum(sizes.values()) <= _TOGETHER:
            break
        found[name], sizes[name] = unrecorded(found[name]), 100
    return found


def name_of(name: object) -> str:
    """A name that can be recorded, of whatever a caller used as one."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(name))[:MAX_NAME]
    return shown or "(empty)"


def unrecorded(value: object) -> dict[str, object]:
    """What stands for a value that cannot be recorded."""
    kind = type(value)
    made: dict[str, object] = {"unrecorded": kind.__name__ if kind.__module__ == "builtins" else _full_name(kind)}
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return made | {"shape": list(shape)}
    if isinstance(value, str | bytes | bytearray | Mapping | list | tuple | set | frozenset):
        return made | {"length": len(value)}
    return made | {"text": _full_name(value) if callable(value) else _text(value)}


def _bounded(value: object) -> object:
    try:
        shown = _described(value, _DEEPEST)
        return shown if len(encode(to_json(shown))) <= MOST_BYTES else unrecorded(value)
    except Exception:  # a value of the user's may do anything when it is looked at
        return {"unrecorded": _full_name(type(value))}


def _described(value: object, depth: int) -> object:
    match value:
        case None | bool() | int() | float() | str() | enum.Enum() | os.PathLike():
            return _plain(value)
        case Mapping():
            return _mapping(value, depth)
        case list() | tuple() | set() | frozenset() if depth and len(value) <= MANY:
            shown = [_described(item, depth - 1) for item in value]
            return (
                sorted(shown, key=lambda item: encode(to_json(item))) if isinstance(value, set | frozenset) else shown
            )
    if (fields := _settings(value)) is not None:
        return _mapping(fields, depth)
    return _plain(value)


def _mapping(value: Mapping[Any, object], depth: int) -> object:
    if not depth or len(value) > MANY:
        return unrecorded(value)
    return {_key(key): _described(item, depth - 1) for key, item in value.items()}


def _key(key: object) -> str:
    """The text of a mapping's key, that of a number as JSON has it."""
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return name_of(key) if isinstance(key, str | int | float) else _text(key)


def _plain(value: object) -> object:
    try:
        to_json(value)
    except InvalidValue:
        return unrecorded(value)
    return value


def _settings(value: object) -> Mapping[str, object] | None:
    """The members of an object that holds settings, and is made to show them."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(value, argparse.Namespace):
        return vars(value)
    names = getattr(type(value), "__struct_fields__", None) or getattr(
        type(value), "model_fields", None
    )  # msgspec, pydantic
    if isinstance(names, tuple | dict):
        return {str(name): getattr(value, str(name), None) for name in names}
    return None


def _text(value: object) -> str:
    """A short text of a value, the same in every process: without addresses in memory."""
    shown = re.sub(r" at 0x[0-9a-f]+", "", _SHORTENED.repr(value))
    return shown.encode(errors="backslashreplace").decode()[:_SHORT]


def _full_name(value: object) -> str:
    kind = value if hasattr(value, "__qualname__") else type(value)
    return name_of(f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', kind)}")


_SHORTENED = reprlib.Repr()
_SHORTENED.maxother = _SHORTENED.maxstring = _SHORT
