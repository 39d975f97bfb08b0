"""A recorded command, as it can be run in another folder and on another machine."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cmf.pictures.labels import command_line

_INTERPRETER = re.compile(r"(python|pypy)[\d.]*(\.exe)?")


class Command(NamedTuple):
    """What to run; what of it was replaced, in a person's words; and paths in it that lie outside of the folder."""

    arguments: tuple[str, ...]
    replaced: tuple[str, ...]
    outside: tuple[str, ...]

    @property
    def interpreter(self) -> str | None:
        """The Python that runs it; None for other programs."""
        return self.arguments[0] if self.arguments and _is_interpreter(self.arguments[0]) else None


def runnable(recorded: Sequence[str], root: Path, base: Path) -> Command:
    """The command, where the clone at `root` is now at `base`.

    A Python that is not on this machine becomes the one that runs this; paths into the clone become paths into the
    new folder.
    """
    replaced, arguments = [], []
    for position, argument in enumerate(recorded):
        now = _moved(argument, root, base) if position else _program(argument, root, base)
        if now != argument:
            replaced.append(f"{command_line([argument])} → {command_line([now])}")
        arguments.append(now)
    rest = arguments if arguments and not _is_interpreter(arguments[0]) else arguments[1:]
    outside = [a for a in rest if os.path.isabs(a) and not Path(a).is_relative_to(base)]  # noqa: PTH117 (text)
    return Command(tuple(arguments), tuple(replaced), tuple(outside))


def _program(name: str, root: Path, base: Path) -> str:
    if _is_interpreter(name):
        return name if shutil.which(name) else sys.executable
    moved = _moved(name, root, base)
    return moved if Path(moved).exists() else name


def _is_interpreter(name: str) -> bool:
    return _INTERPRETER.fullmatch(Path(name).name) is not None


def _moved(argument: str, root: Path, base: Path) -> str:
    """An argument with the clone's folder replaced, wherever in it that stands as a whole (`--data=/clone/data`)."""
    return re.sub(rf"(?<![\w/.-]){re.escape(str(root))}(?=/|$)", lambda _: str(base), argument)
