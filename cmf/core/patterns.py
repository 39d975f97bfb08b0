"""Patterns of paths, as in a .gitignore file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cmf.core.errors import InvalidValue


class Patterns:
    """Patterns of one root: the last that matches a path decides; one that begins with `!` takes paths out again.

    >>> found = Patterns(["*.log", "/raw/", "!keep.log"])
    >>> [found.matches(path) for path in ("a/b.log", "a/keep.log", "raw/x.csv", "sub/raw/x.csv")]
    [True, False, True, False]
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [rule for pattern in patterns if (rule := _rule(pattern)) is not None]

    def matches(self, path: str) -> bool:
        """Whether a path (relative to the root, `/` between its parts), or a folder that it lies in, is meant."""
        for wanted, expression in reversed(self._rules):
            if expression.fullmatch(path):
                return wanted
        return False


def _rule(pattern: str) -> tuple[bool, re.Pattern[str]] | None:
    text = pattern.strip()
    if not text or text.startswith("#"):
        return None
    wanted = not text.startswith("!")
    text = text.removeprefix("!").removeprefix("\\")
    # A folder is meant with all below it; what ends in a slash is a folder, so only what is below it is a file.
    below = "/.+" if text.endswith("/") else "(?:/.*)?"
    body = text.rstrip("/")
    anchored = "/" in body
    try:
        expression = re.compile(("" if anchored else "(?:.*/)?") + _expression(body.lstrip("/")) + below, re.DOTALL)
    except re.error as exc:
        raise InvalidValue(f"{pattern!r} is no pattern of paths: {exc}") from exc
    return wanted, expression


_PIECES = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[!?\]?[^\]]*\]|\\.|.", re.DOTALL)


def _expression(pattern: str) -> str:
    return "".join(map(_piece, _PIECES.findall(pattern)))


def _piece(piece: str) -> str:
    match piece:
        case "**/":
            return "(?:.*/)?"
        case "/**":
            return "/.*"
        case "?":
            return "[^/]"
        case _ if set(piece) == {"*"}:
            return "[^/]*"
        case _ if len(piece) > 1 and piece.startswith("["):
            inside = piece[1:-1].replace("\\", "\\\\")
            return f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside}]"
        case _:
            return re.escape(piece[-1])
