"""YAML files of DVC, read with the library that DVC itself writes them with."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from cmf.core.errors import FileProblem


def load(path: Path) -> Any:
    """The content of a YAML, JSON or TOML file, by its suffix.

    Raises:
        FileProblem: it cannot be read, or is malformed.
    """
    try:
        return parse(path.read_bytes(), path)
    except OSError as exc:
        raise FileProblem(path, exc.strerror or str(exc)) from exc


def parse(content: bytes, path: Path) -> Any:
    """The content of such a file from its bytes; `path` says which form it has, and where errors are."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if path.suffix == ".json":
            return json.loads(content)
        if path.suffix == ".toml":
            return tomllib.loads(content.decode())
        return YAML(typ="safe").load(content.decode())
    except (YAMLError, ValueError, RecursionError) as exc:  # UnicodeDecodeError, JSON's and TOML's are ValueErrors
        raise FileProblem(path, f"malformed: {' '.join(str(exc).split())[:300]}; nothing was recorded") from exc
