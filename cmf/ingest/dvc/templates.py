"""The templates of `dvc.yaml`: `${…}` in texts, and stages that stand for many (`foreach`, `matrix`).

The lock holds everything resolved; only what it lacks is resolved here: the folder that a stage runs in, and which
output is a metric. What cannot be resolved is said to be so, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from cmf.core.errors import FileProblem
from cmf.documents import load

Values = Mapping[str, Any]

MOST_STAGES = 100_000
"""How many stages one may stand for."""

_TEMPLATE = re.compile(r"\$\{\s*([^}]+?)\s*\}")
_STEP = re.compile(r"[^.\[\]]+")


class Unresolved(Exception):
    """A template names what is not known."""


def values_of(folder: Path, variables: object) -> dict[str, Any]:
    """What templates can name: the content of `params.yaml`, and what `vars` lists (files, or names with values)."""
    found: dict[str, Any] = {}
    for named in ["params.yaml", *(variables if isinstance(variables, list) else [])]:
        if isinstance(named, dict):
            found |= named
        else:
            found |= _of_file(folder, str(named))
    return found


def expanded(name: str, stage: Values, values: Values) -> Iterator[tuple[str, Values, Values]]:
    """The stages that one of `dvc.yaml` stands for: name in the lock, definition, what its templates can name.

    Raises:
        Unresolved
    """
    if "foreach" in stage:
        for key, item in _items(resolved(stage["foreach"], values)):
            yield f"{name}@{_text(key)}", stage.get("do") or {}, {**values, "key": key, "item": item}
    elif "matrix" in stage:
        matrix = resolved(stage["matrix"], values)
        if (many := prod(map(len, matrix.values()))) > MOST_STAGES:
            raise Unresolved(f"its matrix stands for {many:,} stages")
        rest = {field: value for field, value in stage.items() if field != "matrix"}
        for chosen in product(*(list(enumerate(of)) for of in matrix.values())):
            item = {axis: value for axis, (_, value) in zip(matrix, chosen, strict=True)}
            parts = [f"{axis}{i}" if _is_nested(v) else _text(v) for axis, (i, v) in zip(matrix, chosen, strict=True)]
            yield f"{name}@{'-'.join(parts)}", rest, {**values, "key": "-".join(parts), "item": item}
    else:
        yield name, stage, values


def resolved(value: Any, values: Values) -> Any:
    """A value with its templates replaced; a text that is one template becomes what that names.

    Raises:
        Unresolved
    """
    if isinstance(value, dict):
        return {resolved(key, values): resolved(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, values) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if whole := _TEMPLATE.fullmatch(value):
        return _named(whole[1], values)
    return _TEMPLATE.sub(lambda found: _text(_named(found[1], values)), value)


def _of_file(folder: Path, named: str) -> dict[str, Any]:
    """The values of a file, or those of them that are listed behind a colon."""
    file, _, listed = named.partition(":")
    try:
        content = load(folder / file)
    except FileProblem:
        return {}  # a template that needs it is then unresolved, and that is said
    if not isinstance(content, dict):
        return {}
    wanted = [name.strip() for name in listed.split(",") if name.strip()]
    return {name: content[name] for name in wanted or content if name in content}


def _items(of: object) -> list[tuple[Any, Any]]:
    if isinstance(of, dict):
        return list(of.items())
    if not isinstance(of, list):
        raise Unresolved("foreach lists nothing")
    return list(enumerate(of)) if any(map(_is_nested, of)) else [(item, item) for item in of]


def _named(path: str, values: Values) -> Any:
    found: Any = values
    for step in _STEP.findall(path):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            raise Unresolved(f"${{{path}}} is not known") from exc
    return found


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
