"""The files among the arguments and results of a step."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cmf.core.errors import FileProblem
from cmf.core.model import ArtifactType
from cmf.places import FOLDER, root_of
from cmf.tracking.hints import file_class, hints_of, of_items, of_members
from cmf.tracking.typed import File, Metrics

MANY = 1_000
"""A container of more items is looked through only if its first is a file."""

_DEEPEST = 8


class Found(NamedTuple):
    """A file that a value names; `label` says where in the arguments or results, and is empty where that says nothing.

    `declared` says that an annotation or a class says so; otherwise it is a path that might be about anything.
    """

    label: str
    path: str
    type: type[File] | None
    version: str | None = None
    properties: Mapping[str, object] = {}
    declared: bool = True

    @property
    def input_types(self) -> tuple[str, ...] | None:
        """The types to state of an input. That it is a dataset is no news: of a known model it would even be wrong."""
        told = self.output_types
        return None if told == (ArtifactType.DATASET,) else told

    @property
    def output_types(self) -> tuple[str, ...]:
        """The types to state of an output."""
        return (self.type.artifact_type if self.type else ArtifactType.DATASET,)

    @property
    def is_there(self) -> bool:
        """Whether there is content to record: a readable file, or a folder that does not hold the clone itself."""
        path = Path(self.path)
        try:
            return os.access(path, os.R_OK) and (path.is_file() or (path.is_dir() and not _holds_clone(path)))
        except (OSError, ValueError, FileProblem):
            return False


def files_in(value: object, hint: object = None, label: str = "", depth: int = _DEEPEST) -> Iterator[Found]:
    """The files that a value names, itself or within, by what it is and by what its annotation says."""
    if isinstance(value, str | os.PathLike):
        if (found := _file(value, hint, label)) is not None:
            yield found
    elif depth and not isinstance(value, Metrics):
        for name, item, told in members(value, hint):
            yield from files_in(item, told, f"{label}.{name}" if label else name, depth - 1)


def members(value: object, hint: object) -> list[tuple[str, Any, object]]:
    """The members of a container or record: name, value, and what the annotation says of it."""
    try:
        listed = _members(value, hint)
    except Exception:  # a container of the user's may do anything when it is looked through
        return []
    return listed if len(listed) <= MANY or _is_file(listed[0]) else []


def is_nothing_but_files(value: object, hint: object, depth: int = _DEEPEST) -> bool:
    """Whether a value is a file, or a list or mapping of files: then it is no parameter beside."""
    if isinstance(value, str | os.PathLike):
        found = _file(value, hint, "")
        return found is not None and (found.declared or found.is_there)
    if not depth or not isinstance(value, list | tuple | set | frozenset | Mapping):
        return False
    inner = members(value, hint)
    return bool(inner) and all(is_nothing_but_files(item, told, depth - 1) for _, item, told in inner)


def _members(value: object, hint: object) -> list[tuple[str, Any, object]]:
    if isinstance(value, Mapping):
        told = of_items(hint)
        return [(str(name), item, told) for name, item in value.items()]
    if (fields := _fields(value)) is not None:
        hints = hints_of(type(value))
        return [(name, getattr(value, name, None), hints.get(name)) for name in fields]
    if isinstance(value, list | tuple | set | frozenset):
        pairs = zip(value, of_members(hint, len(value)), strict=True)
        return [(str(number), item, told) for number, (item, told) in enumerate(pairs)]
    return []


def _holds_clone(folder: Path) -> bool:
    return (folder / FOLDER).exists() or root_of(Path.cwd()).is_relative_to(folder.resolve())


def _file(value: str | os.PathLike[Any], hint: object, label: str) -> Found | None:
    if isinstance(value, File):
        return Found(label, os.fspath(value), type(value), value.version, value.properties)
    try:
        path = os.fsdecode(value)
    except Exception:  # an object of the user's own that is a path in name only
        return None
    told = file_class(hint)
    if told is not None and path and "://" not in path:
        return Found(label, path, told)
    return Found(label, path, None, declared=False) if isinstance(value, Path) else None


def _is_file(member: tuple[str, object, object]) -> bool:
    return isinstance(member[1], str | os.PathLike) and _file(member[1], member[2], "") is not None


def _fields(value: object) -> tuple[str, ...] | None:
    """The names of the fields of a dataclass or named tuple."""
    if isinstance(value, tuple):
        return getattr(value, "_fields", None)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(field.name for field in dataclasses.fields(value))
    return None
