"""Which files of the repository a program and its children used, as far as their Pythons tell.

What a Python tells, and how, is in `observer/sitecustomize.py`; here it is collected, and becomes inputs and outputs.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from cmf.core.errors import FileProblem
from cmf.core.identity import file_key
from cmf.scratch import Scratch

FOLDER = Path(__file__).parent / "observer"
"""What a Python that is to be observed finds first on its path."""

Before = Path | str
"""What a file had in it before it was changed: a file that has it now, or else only its key."""

MANY = 100
"""Of a folder of which more files were used, the folder is meant."""


class Observed(NamedTuple):
    """What was seen: paths in the repository.

    `inputs` are those that were read as they were before, with what that was where they have changed since; `unknown`
    were read and then changed by something that tells nothing. `pythons` is how many programs told anything.
    """

    inputs: dict[str, Before | None]
    outputs: list[str]
    unknown: list[str]
    pythons: int


class Observation:
    """A place for what is told of one run."""

    def __init__(self, root: Path, scratch: Scratch) -> None:
        self._root = root
        self._scratch = scratch

    def __enter__(self) -> Self:
        try:
            self._folder = self._scratch.path()
            self._folder.mkdir()
            self._log = self._folder / "log"
            self._log.touch()
        except OSError as exc:
            raise FileProblem(self._root, f"--auto cannot work: {exc}") from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment in which a program and all its children tell what they use."""
        order = [str(self._log), str(self._root), _other_path(self._root, given.get("PWD", ""))]
        if any("\n" in path for path in order):
            raise FileProblem(self._root, "--auto cannot work where a path has a line break in it")
        path = os.pathsep.join(filter(None, [str(FOLDER), given.get("PYTHONPATH", "")]))
        return {**given, "PYTHONPATH": path, "CMF_OBSERVE": "\n".join(order)}

    def seen(self) -> Observed:
        """What was told until now, in paths relative to the root."""
        told = _Told()
        for record in _records(self._log.read_bytes()):
            told.take(*record)
        return told.outcome(self._root, self._folder)


class _Told:
    """The records of a log, in order."""

    def __init__(self) -> None:
        self._pythons = 0
        self._read: dict[str, str] = {}
        self._written: dict[str, str] = {}
        self._kept: dict[str, tuple[str, str]] = {}
        self._moved: dict[str, str] = {}

    def take(self, kind: str, path: str, state: str, more: str) -> None:
        """Take in one record."""
        match kind:
            case "p":
                self._pythons += 1
            case "r" if path not in self._written:
                self._read.setdefault(path, state)
            case "w":
                self._written.setdefault(path, state)
            case "k":
                self._kept.setdefault(path, (state, more))
            case "m":
                self._move(more, path)

    def outcome(self, root: Path, copies: Path) -> Observed:
        """What it comes to, by what is there now; `copies` are of files that were changed, named by their md5."""
        base = str(root).rstrip("/") + "/"
        inputs: dict[str, Before | None] = {}
        unknown: list[str] = []
        for path, state in self._read.items():
            kept, md5 = self._kept.get(path, ("", ""))
            if _content(state_of(path)) == _content(state):
                inputs[path.removeprefix(base)] = None
            elif _content(kept) == _content(state):
                copy = copies / md5
                inputs[path.removeprefix(base)] = copy if copy.exists() else file_key(md5)
            elif _content(state_of(moved := self._moved.get(path, path))) == _content(state):
                inputs[path.removeprefix(base)] = Path(moved)
            else:
                unknown.append(path.removeprefix(base))
        outputs = [
            path.removeprefix(base) for path, before in self._written.items() if state_of(path) not in ("", before)
        ]
        return Observed(inputs, outputs, unknown, self._pythons)

    def _move(self, source: str, target: str) -> None:
        for known in (self._written, self._read):
            for path in [path for path in known if path.startswith(f"{source}/")]:
                new = target + path[len(source) :]
                if known is self._written:
                    known.setdefault(new, "")
                else:
                    self._moved[path] = new


def state_of(path: str) -> str:
    """The state of a file as the observer tells it; empty where there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 (the observer's way)
    except (OSError, ValueError):
        return ""
    if not stat.S_ISREG(found.st_mode):
        return ""
    return f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}:{found.st_ctime_ns}"


def _content(state: str) -> str:
    """What of a state changes with the content only: a file that was read may be linked, or get another mode.

    Of one that was written all counts, since programs set the time of what they write (as `shutil.copy2` does).
    """
    return state.rpartition(":")[0]


def condensed(paths: Iterable[str], fits: Callable[[str, list[str]], bool]) -> list[str]:
    """Paths, with a folder in the place of more than MANY of its files, and so on for the folders.

    `fits` says whether a folder can stand for those files in it.
    """
    listed = dict.fromkeys(paths)
    while True:
        below: dict[str, list[str]] = defaultdict(list)
        for path in listed:
            below[path.rpartition("/")[0]].append(path)
        full = [
            (folder, inside)
            for folder, inside in below.items()
            if folder and len(inside) > MANY and fits(folder, inside)
        ]
        if not full:
            return list(listed)
        for folder, inside in full:
            for path in inside:
                del listed[path]
            listed[folder] = None


def _other_path(root: Path, shell: str) -> str:
    """The root by the path on which the shell came here, where links lead another way than the real one."""
    here = Path.cwd()
    if not shell or Path(shell) == here or not here.is_relative_to(root) or Path(shell).resolve() != here:
        return ""
    above = Path(shell, *[os.pardir] * len(here.relative_to(root).parts))
    return os.path.normpath(above) if above.resolve() == root else ""


def _records(log: bytes) -> Iterator[tuple[str, str, str, str]]:
    fields = [os.fsdecode(field) for field in log.split(b"\0")]
    for start in range(0, len(fields) - 4, 4):
        kind, path, state, more = fields[start : start + 4]
        yield kind, path, state, more
