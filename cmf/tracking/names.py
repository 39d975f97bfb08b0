"""What a pipeline and a stage are called where nobody said."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from cmf.core.errors import InvalidValue
from cmf.repository import Repository
from cmf.tracking import nesting
from cmf.tracking.parameters import name_of

_INTERPRETER = re.compile(r"python[\d.]*t?|pypy[\d.]*|bash|sh|zsh|dash|Rscript|node|julia|perl|ruby|php|lua")
_TAKES_VALUE = ("-W", "-X", "-O", "-o")
"""Options of shells and of Python that the next word belongs to."""


def pipeline_name(repository: Repository) -> str:
    """The pipeline of the run that is open around, else the setting `pipeline`, else the name of the clone's folder."""
    if (around := nesting.innermost()) is not None:
        return around.pipeline
    return repository.settings.pipeline or name_of(repository.root.name or "root")


def stage_of(function: Callable[..., Any]) -> str:
    """The stage that a function is: its name, with its class's before it.

    Raises:
        InvalidValue: it has none, being an object that can be called.
    """
    named = getattr(function, "func", function)  # functools.partial
    name = getattr(named, "__qualname__", None)
    if not isinstance(name, str):
        raise InvalidValue(f"{function!r} has no name; say @cmf.step(stage=...)")
    return name_of(name.rpartition("<locals>.")[2])


def stage_of_command(command: Sequence[str]) -> str:
    """The stage that a command is: the name of the script or program.

    >>> stage_of_command(["/usr/bin/python3", "-u", "code/train.py", "--lr", "1"]), stage_of_command(["make", "all"])
    ('train', 'make')
    >>> stage_of_command(["python", "-m", "digits.train"]), stage_of_command(["python", "-c", "1"])
    ('digits.train', 'python')
    """
    if (module := module_of(command)) is not None:
        return name_of(module)
    return name_of(PurePath(script_of(command) or command[0]).stem or command[0])


def script_of(command: Sequence[str]) -> str | None:
    """The script that a command gives to an interpreter."""
    words = _words(command)
    return words[0] if words and not words[0].startswith("-") else None


def module_of(command: Sequence[str]) -> str | None:
    """The module that a command gives to Python with `-m`."""
    words = _words(command)
    return words[1] if len(words) > 1 and words[0] == "-m" else None


def _words(command: Sequence[str]) -> list[str]:
    """What follows an interpreter and its options: a script, or `-m` or `-c` with what belongs to it."""
    if not _INTERPRETER.fullmatch(os.path.basename(command[0])):  # noqa: PTH119 (a word, perhaps no path)
        return []
    words = list(command[1:])
    while words and words[0].startswith("-") and words[0] not in ("-", "-m", "-c", "-e"):
        del words[: 2 if words[0] in _TAKES_VALUE else 1]
    return words
