"""What the annotations of a function say of the files that it takes and returns."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from cmf.tracking import typed

_LISTS = (
    list,
    set,
    frozenset,
    *(
        getattr(collections.abc, name)
        for name in (
            "Sequence",
            "Iterable",
            "Collection",
            "Iterator",
            "Generator",
            "AsyncIterable",
            "AsyncIterator",
            "AsyncGenerator",
        )
    ),
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def hints_of(function: Callable[..., Any]) -> dict[str, object]:
    """The annotations of a function (its result's is `return`) or class, as far as they can be resolved.

    One that cannot, such as a name imported for type checkers only, says nothing, and does not hide the others.
    """
    function = inspect.unwrap(getattr(function, "func", function))  # what decorators and functools.partial wrap
    spaces = getattr(function, "__globals__", None) or vars(sys.modules.get(function.__module__, typed))
    # `if TYPE_CHECKING: import cmf` is common, and what our own words mean is known all the same.
    names = {"cmf": SimpleNamespace(**vars(typed)), **_own_words(), **spaces, **_enclosed(function)}
    return {name: _resolved(hint, names) for name, hint in _annotations(function).items()}


def file_class(hint: object) -> type[typed.File] | None:
    """The class of file that an annotation names for a value, if it names one.

    >>> file_class(typing.Annotated[str, typed.Model]), file_class(typed.Dataset | None), file_class(list[int])
    (<class 'cmf.tracking.typed.Model'>, <class 'cmf.tracking.typed.Dataset'>, None)
    """
    for told in _alternatives(hint):
        if isinstance(told, type) and issubclass(told, typed.File):
            return told
    return None


def of_items(hint: object) -> object:
    """What an annotation says of each item of a list or mapping."""
    for told in _alternatives(hint):
        arguments = typing.get_args(told)
        if typing.get_origin(told) in _LISTS and arguments:
            return arguments[0]
        if typing.get_origin(told) in _MAPPINGS and arguments:
            return arguments[-1]
    return None


def of_members(hint: object, count: int) -> list[object]:
    """What an annotation says of each of the members of a tuple."""
    for told in _alternatives(hint):
        if typing.get_origin(told) is tuple:
            arguments = typing.get_args(told)
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return [arguments[0]] * count
            if len(arguments) == count:
                return list(arguments)
    return [of_items(hint)] * count


def _alternatives(hint: object) -> list[object]:
    """What a value may be by an annotation: the arms of a union, what `Annotated` and aliases stand for."""
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        return [told for arm in typing.get_args(hint) for told in _alternatives(arm)]
    if metadata := getattr(hint, "__metadata__", ()):
        said = [item if isinstance(item, type) else type(item) for item in metadata]
        return [*said, *_alternatives(typing.get_args(hint)[0])]
    for inner in ("__supertype__", "__bound__", "__value__"):  # NewType, TypeVar, TypeAliasType
        if (stands_for := getattr(hint, inner, None)) is not None and not isinstance(hint, type):
            return _alternatives(stands_for)
    return [hint]


def _annotations(function: Callable[..., Any]) -> Mapping[str, object]:
    if dataclasses.is_dataclass(function):
        return {field.name: field.type for field in dataclasses.fields(function)}
    try:
        return getattr(function, "__annotations__", None) or {}
    except Exception:  # Python 3.14 evaluates them here
        return {}


def _own_words() -> dict[str, object]:
    return {"Dataset": typed.Dataset, "Model": typed.Model, "Metrics": typed.Metrics}


def _enclosed(function: Callable[..., Any]) -> dict[str, object]:
    """The names of enclosing functions that a function uses."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    found = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return found


def _resolved(hint: object, names: dict[str, Any]) -> object:
    try:
        holder = SimpleNamespace(__annotations__={"it": hint})
        return typing.get_type_hints(holder, globalns=names, localns=names, include_extras=True)["it"]
    except Exception:  # it may say anything, and be wrong
        return None
