"""Files and options that hold parameters or metrics."""

from __future__ import annotations

import json
from pathlib import Path

from cmf.core.errors import FileProblem, InvalidValue
from cmf.documents import load


def read_values(path: Path) -> dict[str, object]:
    """The names and values in a YAML, JSON or TOML file.

    Raises:
        FileProblem: it cannot be read, or is none of these, or holds no names with values.
    """
    if path.suffix.lower() not in (".yaml", ".yml", ".json", ".toml"):
        raise FileProblem(path, "is no .yaml, .json or .toml file")
    values = load(path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise FileProblem(path, f"holds a {type(values).__name__}, not names with values")
    return {str(name): value for name, value in values.items()}


def parse_assignment(text: str) -> tuple[str, object]:
    """What `name=value` says; a value that is JSON is what it says, any other is text.

    Raises:
        InvalidValue: there is no name.

    >>> parse_assignment("lr=0.1"), parse_assignment("kind=rbf"), parse_assignment("layers=[64, 10]")
    (('lr', 0.1), ('kind', 'rbf'), ('layers', [64, 10]))
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidValue(f"{text!r} is no parameter; write it as name=value")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
