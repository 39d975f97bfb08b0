"""Files of values in YAML, JSON or TOML, as DVC and pipelines write them, read within bounds.

YAML is read with the library that DVC itself writes it with.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmf.core.errors import FileProblem

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

MOST_REPEATED = 1_000_000
"""How many values a file may have by aliases, beside those that it has written out: whatever is made of it has them."""


def load(path: Path) -> Any:
    """The content of a YAML, JSON or TOML file, by its suffix.

    Raises:
        FileProblem: it cannot be read, or is malformed, or its aliases would make far more of it than it is.
    """
    try:
        return parse(path.read_bytes(), path)
    except OSError as exc:
        raise FileProblem(path, exc.strerror or str(exc)) from exc


def parse(content: bytes, path: Path) -> Any:
    """The content of such a file from its bytes; `path` says which form it has, and where errors are."""
    from ruamel.yaml.error import YAMLError

    try:
        match path.suffix.lower():
            case ".json":
                return json.loads(content) if content.strip() else None
            case ".toml":
                return tomllib.loads(content.decode())
        return _of_yaml(content.decode())
    except (YAMLError, ValueError, RecursionError) as exc:  # UnicodeDecodeError, JSON's and TOML's are ValueErrors
        raise FileProblem(path, f"malformed: {' '.join(str(exc).split())[:300]}; nothing was recorded") from exc


def _of_yaml(text: str) -> Any:
    """What YAML says. Its nodes are counted before values are made of them, since merging alone may take forever."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    root = yaml.compose(text)
    if root is None:
        return None
    _expect_bounded(root)
    return yaml.constructor.construct_document(root)


def _expect_bounded(root: Node) -> None:
    written: dict[int, int] = {}
    if _size(root, written) - len(written) > MOST_REPEATED:
        raise ValueError(f"its aliases would make more than {MOST_REPEATED:,} values of it")


def _size(node: Node, known: dict[int, int]) -> int:
    """How many nodes there are from this one on, where an alias counts as all that it stands for."""
    if (size := known.get(id(node))) is not None:
        if not size:
            raise ValueError("an alias in it stands for what it is in itself")
        return size
    known[id(node)] = 0
    parts = node.value if isinstance(node.value, list) else ()
    size = 1
    for part in parts:  # of a mapping these are pairs
        size += sum(_size(of, known) for of in (part if isinstance(part, tuple) else (part,)))
    known[id(node)] = size
    return size
