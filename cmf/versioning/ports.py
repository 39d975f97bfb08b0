"""What versions code and data: the ports that recording speaks to. "Off" is `cmf.versioning.none`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from cmf.core.model import Code
from cmf.versioning.contents import Content


class CodeVersion(NamedTuple):
    """The code that runs: its version, and what names the project it belongs to."""

    code: Code | None
    branch: str | None
    remote: str | None


class Branch(Protocol):
    """The commits of one execution."""

    def commit(self, files: Mapping[Path, bytes | None], message: str) -> str | None:
        """A commit in which these files have these contents (None: are not there); → its id, None without a repository.

        Where they have them already, it is the last commit.
        """


class CodeVersioning(Protocol):
    """Where the version of the code comes from, and where commits go. Threads may share it."""

    def now(self) -> CodeVersion:
        """The version of the tree as it is now."""

    def branch(self, name: str, base: Code | None) -> Branch:
        """The branch of an execution, made on the code that it started with if it is not there yet."""

    def tracks(self, path: Path) -> bool:
        """Whether the version of the code has this file, or a file in this folder."""

    def ignores(self, path: Path) -> bool:
        """Whether this file can be no part of the code's versions; True without a repository."""

    def close(self) -> None:
        """Let go of processes and files."""


class Versioned(NamedTuple):
    """Content that is kept, and the small files that stand for it in the versions of the code."""

    content: Content
    files: Mapping[Path, bytes | None]


class DataVersioning(Protocol):
    """Where data is kept."""

    def add(self, path: Path) -> Versioned:
        """Find what is at a path, keep it, and write the files that stand for it into the tree.

        Raises:
            FileProblem: nothing was kept, or it cannot be written down.
        """

    def add_former(self, path: Path, source: Path) -> Versioned:
        """`add`, of the content that was at a path before it changed, and that a file elsewhere has; the tree stays.

        Raises:
            FileProblem: nothing was kept.
        """

    def keep(self, source: Path, path: Path) -> Versioned:
        """Keep a file of cmf's own making, known under a path of the tree at which it need not be."""
