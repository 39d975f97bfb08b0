"""What `cmf run --auto` makes of the files that a program was seen to use; "off" is `NoGuessing`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from cmf.core.errors import FileProblem, InvalidValue, SettingsProblem
from cmf.core.model import UseKind
from cmf.recorder import Recorder
from cmf.tracking.observed import Before, Observation, Observed, condensed

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CODE = ("*.py", "*.pyc", "*.pyi", "*.pyx", "*.so", "*.pyd", "*.dylib", "*.pth", "*.ipynb")
"""What is read as code, not as an input."""

NO_DATA = (".*", "*.dvc", "dvc.lock", "dvc.yaml")
"""What is hidden (settings, caches, secrets), and what stands for data: a program that records writes such files."""

GUESSED = {"guessed": True}
"""The property of a use that nobody said, but that was seen."""

_NAMED = 5


class Watching(Protocol):
    """What is done about the files that nobody named, while a program runs."""

    def __enter__(self) -> Self:
        """From here on."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Until here."""

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """The environment for the program."""

    def record(self, recorder: Recorder) -> list[str]:
        """Record what is known of these files now; → what the user is to be told."""


class NoGuessing:
    """Nothing is done about them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """See `Watching`."""
        return given

    def record(self, recorder: Recorder) -> list[str]:
        """See `Watching`."""
        return []


class Said:
    """What is known without looking, as paths in the repository: such files are not guessed."""

    def __init__(self, inputs: Iterable[str], outputs: Iterable[str], scripts: Iterable[str]) -> None:
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._scripts = frozenset(scripts)

    def has_input(self, path: str) -> bool:
        """Whether a file is an input, or lies in a folder that is one."""
        return _is_within(path, self._inputs)

    def has_output(self, path: str) -> bool:
        """Whether a file is an output, or lies in a folder that is one."""
        return _is_within(path, self._outputs)

    def is_script(self, path: str) -> bool:
        """Whether a file is what was asked to run."""
        return path in self._scripts


class Guessing:
    """They are looked at, and become inputs and outputs unless `exclude` or habit says otherwise.

    Raises:
        InvalidValue: a pattern that is none.
    """

    def __init__(
        self, observation: Observation, root: Path, said: Said, include: Iterable[str], exclude: Iterable[str]
    ) -> None:
        self._root = root
        self._said = said
        self._include = _patterns(include)
        self._exclude = _patterns(exclude)
        self._code = _patterns(CODE)
        self._no_data = _patterns(NO_DATA)
        self._observation = observation

    def __enter__(self) -> Self:
        self._observation.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observation.__exit__(kind, error, trace)

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """See `Watching`."""
        return self._observation.environment(given)

    def record(self, recorder: Recorder) -> list[str]:
        """See `Watching`."""
        seen = self._observation.seen()
        inputs = {path: before for path, before in seen.inputs.items() if self._is_input(path)}
        changed = {path: before for path, before in inputs.items() if before is not None}
        written = (*seen.outputs, *changed)

        def is_as_read(folder: str, inside: list[str]) -> bool:
            return not any(path.startswith(f"{folder}/") for path in written)

        def is_written_whole(folder: str, inside: list[str]) -> bool:
            return {f"{folder}/{entry.name}" for entry in os.scandir(self._root / folder)} == set(inside)

        unchanged = condensed((path for path in inputs if path not in changed), is_as_read)
        outputs = condensed(filter(self._is_output, seen.outputs), is_written_whole)
        return [
            *self._put(recorder, "input", changed),
            *self._put(recorder, "input", dict.fromkeys(unchanged)),
            *self._put(recorder, "output", dict.fromkeys(outputs)),
            *self._unseen(seen),
        ]

    def _unseen(self, seen: Observed) -> list[str]:
        """What could not be seen, as far as that can be known."""
        notes = []
        if not seen.pythons:
            notes.append(
                "--auto saw nothing: the command started no Python, or one that cannot be observed (older than 3.8, "
                "or run with -I, -S or -E); say what it reads and writes with -i and -o"
            )
        if unknown := list(filter(self._is_input, seen.unknown)):
            more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            notes.append(
                f"read, and then changed by something that cannot be observed, so not recorded as inputs: "
                f"{', '.join(unknown[:_NAMED])}{more}"
            )
        return notes

    def _put(self, recorder: Recorder, direction: UseKind, files: Mapping[str, Before | None]) -> list[str]:
        """Record files, as they were before where that is not what is there now; → what could not be recorded."""
        problems = []
        for path, before in files.items():
            try:
                if isinstance(before, str):
                    recorder.refer(direction, path, before, use_properties=GUESSED)
                else:
                    recorder.use(direction, self._root / path, use_properties=GUESSED, before=before)
            except (FileProblem, InvalidValue, SettingsProblem) as exc:
                problems.append(f"not recorded: {exc}")
        return problems

    def _is_input(self, path: str) -> bool:
        if self._said.has_input(path):
            return False
        is_code = self._code.match_file(path) or self._said.is_script(path)
        return self._include.match_file(path) or (self._is_data(path) and not is_code)

    def _is_output(self, path: str) -> bool:
        return not self._said.has_output(path) and (self._include.match_file(path) or self._is_data(path))

    def _is_data(self, path: str) -> bool:
        return not (self._exclude.match_file(path) or self._no_data.match_file(path))


def _patterns(lines: Iterable[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as exc:
        raise InvalidValue(f"{exc}; patterns are those of a .gitignore file") from exc


def _is_within(path: str, said: tuple[str, ...]) -> bool:
    return any(path == other or path.startswith(f"{other}/") for other in said)
