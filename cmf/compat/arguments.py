"""Arguments of the wrong type, told by name before anything is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from types import FunctionType, NoneType
from typing import Any, Final, NamedTuple, ParamSpec, SupportsIndex, TypeVar, cast

from cmf.compat.objects import Artifact
from cmf.core.errors import InvalidValue
from cmf.core.values import check_text

AnyPath = str | os.PathLike[str]
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    "str": (str, "text"),
    "AnyPath": (str | os.PathLike, "a path, as text or as a Path"),
    "int": (SupportsIndex, "a whole number"),
    "Properties": (Mapping, "a dict of names and values"),
    "Mapping[str, Any]": (Mapping, "a dict of names and values"),
    "dict[str, Any]": (Mapping, "a dict of names and values"),
    "Artifact": (Artifact, "an artifact, as get_artifact(id) gives it"),
    "list[Artifact]": (Iterable, "a list of artifacts"),
    "Iterable[int]": (Iterable, "a list of ids"),
    "Collection[int]": (Iterable, "a list of ids"),
    "None": (NoneType, "None"),
}
"""What is checked of each annotation; one that is not here is not."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, that tells of an argument whose type is not the annotated one.

    Raises:
        InvalidValue: when it is called so.
    """
    assert isinstance(function, FunctionType)
    kinds = {name: _kind(text) for name, text in function.__annotations__.items() if name != "return"}
    names = function.__code__.co_varnames[: function.__code__.co_argcount]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            if (kind := kinds.get(name)) is not None:
                kind.check(value, f"{function.__name__}: {name}")
        return cast(R, function(*args, **kwargs))

    return call


def checked_methods(of: type[T]) -> type[T]:
    """The class, each of whose public methods is `checked`."""
    for name, member in list(vars(of).items()):
        if isinstance(member, FunctionType) and (not name.startswith("_") or name == "__init__"):
            setattr(of, name, checked(member))
    return of


class _Kind(NamedTuple):
    types: tuple[Any, ...]
    words: str
    is_text: bool

    def check(self, value: object, what: str) -> None:
        if not isinstance(value, self.types):
            given = type(value).__name__
            raise InvalidValue(f"{what} must be {self.words}, not {given} ({value!r:.60})")
        if self.is_text and isinstance(value, str):
            check_text(value, what)


def _kind(annotation: str) -> _Kind | None:
    """What an annotation allows, if all of its parts are known here."""
    parts = annotation.split(" | ")
    if not all(part in _KINDS for part in parts):
        return None
    words = " or ".join(_KINDS[part][1] for part in parts if part != "None")
    return _Kind(tuple(_KINDS[part][0] for part in parts), words, "str" in parts)
