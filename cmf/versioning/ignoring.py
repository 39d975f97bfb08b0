"""What DVC leaves out of a folder: the patterns of `.dvcignore` files, and what no data is."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE = ".dvcignore"
ALWAYS = frozenset({".git", ".hg", ".dvc"})
"""Names of folders that DVC never takes for data."""


class Ignoring:
    """The patterns in force in a folder; those of the folders above it, up to DVC's root, count after its own."""

    def __init__(self, folder: str, above: Ignoring | None) -> None:
        self._folder = folder
        self._above = above

    def below(self, name: str) -> Ignoring:
        """The patterns in force in a folder in this one."""
        return Ignoring(os.path.join(self._folder, name), self)

    def leaves_out(self, name: str, is_folder: bool) -> bool:
        """Whether a file or folder in this folder is left out."""
        if name == ".git" or (is_folder and name in ALWAYS):
            return True
        path = name + "/" if is_folder else name
        at: Ignoring | None = self
        while at is not None:
            if at._patterns is not None and (decided := at._patterns.check_file(path).include) is not None:
                return decided
            path = f"{os.path.basename(at._folder)}/{path}"
            at = at._above
        return False

    @property
    def is_plain(self) -> bool:
        """Whether there are no patterns at all."""
        return self._patterns is None and (self._above is None or self._above.is_plain)

    @cached_property
    def _patterns(self) -> GitIgnoreSpec | None:
        try:
            with open(os.path.join(self._folder, FILE), encoding="utf-8", errors="surrogateescape") as file:
                lines = [line for line in map(str.strip, file) if line and not line.startswith("#")]
        except OSError:
            return None
        if not lines:
            return None
        from pathspec import GitIgnoreSpec

        return GitIgnoreSpec.from_lines(lines)


def patterns_of(folder: str, root: str) -> Ignoring:
    """The patterns in force in a folder at or below DVC's root."""
    found = Ignoring(root, None)
    relative = os.path.relpath(folder, root)
    for name in () if relative == os.curdir else relative.split(os.sep):
        found = found.below(name)
    return found
