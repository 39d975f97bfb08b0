"""No versions: of code that is not in git, of data that is not to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cmf.core.model import Code
from cmf.versioning.contents import Contents
from cmf.versioning.ports import Branch, CodeVersion, Versioned


class NoCodeVersioning:
    """Says of the code that nothing is known. See `CodeVersioning`."""

    def now(self) -> CodeVersion:
        """See the port."""
        return CodeVersion(None, None, None)

    def branch(self, name: str, base: Code | None) -> Branch:
        """See the port."""
        return NoBranch()

    def tracks(self, path: Path) -> bool:
        """See the port."""
        return False

    def ignores(self, path: Path) -> bool:
        """See the port."""
        return True

    def close(self) -> None:
        """See the port."""


class NoBranch:
    """Makes no commits. See `Branch`."""

    def commit(self, files: Mapping[Path, bytes | None], message: str) -> str | None:
        """See the port."""
        return None


class NoDataVersioning:
    """Finds contents, and keeps only what cmf itself makes. See `DataVersioning`."""

    def __init__(self, contents: Contents, own: Contents) -> None:
        self._contents = contents
        self._own = own

    def add(self, path: Path) -> Versioned:
        """See the port."""
        return Versioned(self._contents.at(path), {})

    def add_former(self, path: Path, source: Path) -> Versioned:
        """See the port."""
        return Versioned(self._contents.at(source), {})

    def keep(self, source: Path, path: Path) -> Versioned:
        """See the port."""
        return Versioned(self._own.at(source), {})
