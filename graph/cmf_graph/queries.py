"""The Cypher of `cypher/<family>/<name>.cypher`: one statement a file, under a header that says what it is.

    // The nodes with these keys
    // parameters: keys
    // returns: key, name
    UNWIND $keys AS key MATCH …

The header is checked against the statement, so that a query and its description cannot part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import LiteralString, NamedTuple, NoReturn


class Query(NamedTuple):
    """A statement of a file. `returns` names its columns, none for one that only writes."""

    path: Path
    title: str
    parameters: tuple[str, ...]
    returns: tuple[str, ...]
    text: LiteralString

    @property
    def name(self) -> str:
        """Family and name, as in the folder."""
        return f"{self.path.parent.name}/{self.path.stem}"


def folder() -> Path:
    """Where the files are: beside this module in a wheel, the repository's own folder in a checkout."""
    here = Path(__file__).parent
    for found in (here / "cypher", here.parent.parent / "cypher"):
        if found.is_dir():
            return found
    raise RuntimeError(f"{here / 'cypher'}: the queries are missing; install cmf-lineage again")


@cache
def load(name: str) -> Query:
    """The query `<family>/<name>`.

    Raises:
        RuntimeError: its file is missing or its header is wrong; the message begins with `file:line`.
    """
    return read(folder() / f"{name}.cypher")


def family(name: str) -> Iterator[Query]:
    """Every query of a family, by name."""
    return (load(f"{name}/{path.stem}") for path in sorted((folder() / name).glob("*.cypher")))


def read(path: Path) -> Query:
    """The query of one file; see `load`."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as exc:
        raise RuntimeError(f"{path}:1: cannot be read: {exc.strerror}") from exc
    title = _header(path, lines, 1, "// ")
    parameters = _names(_header(path, lines, 2, "// parameters: "))
    returns = _names(_header(path, lines, 3, "// returns: "))
    text = "\n".join(lines[3:]).strip()
    _check(path, text, parameters)
    # The files are ours, and nothing is ever formatted into them but the bound of a walk (see lineage.bounded).
    return Query(path, title, parameters, returns, text)


_PARAMETER = re.compile(r"\$([a-z_]+)")


def _header(path: Path, lines: list[str], number: int, begins: str) -> str:
    line = lines[number - 1] if len(lines) >= number else ""
    told = line.removeprefix(begins).strip()
    if not line.startswith(begins) or not told:
        _refuse(path, number, f"this line must be '{begins}…'")
    return told


def _names(told: str) -> tuple[str, ...]:
    return () if told == "none" else tuple(name.strip() for name in told.split(","))


def _check(path: Path, text: str, parameters: tuple[str, ...]) -> None:
    if not text or ";" in text:
        _refuse(path, 4, "one statement must follow, without a semicolon")
    used = set(_PARAMETER.findall(text))
    if used != set(parameters):
        _refuse(path, 2, f"the statement's parameters are {', '.join(sorted(used)) or 'none'}")


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise RuntimeError(f"{path}:{line}: {problem}")
