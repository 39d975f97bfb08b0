"""Where things are: the folder that a clone is in, or would be made in."""

from __future__ import annotations

from pathlib import Path

from cmf.core.errors import FileProblem

FOLDER = ".cmf"
"""What makes a folder a clone."""

KEPT = "cmf_artifacts"
"""The folder under which content of cmf's own making is known; it is in commits and caches, not in the tree."""


def root_of(start: Path) -> Path:
    """The folder to record in from `start`: the nearest above it that is a clone or a git repository, else itself.

    Raises:
        FileProblem: `start` is no folder.
    """
    here = _resolved(start)
    return next((folder for folder in (here, *here.parents) if _is_marked(folder)), here)


def clone_of(start: Path) -> Path | None:
    """The clone that a folder lies in; None for one whose records would go to a clone that is not made yet."""
    root = root_of(start)
    return root if (root / FOLDER).is_dir() else None


def _is_marked(folder: Path) -> bool:
    return (folder / FOLDER).is_dir() or (folder / ".git").exists()


def _resolved(start: Path) -> Path:
    try:
        here = start.resolve()
    except OSError as exc:  # the current folder was deleted
        raise FileProblem(start, exc.strerror or str(exc)) from exc
    if not here.is_dir():
        raise FileProblem(start, "is no folder")
    return here
