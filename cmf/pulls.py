"""What was pulled before, so that the next pull brings only news: `.cmf/pulls/<name>.json`, one file a question.

It is a note, not the truth: what is missing or damaged costs a pull of everything, and it holds only as long as all
the segments are there that were pulled for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from cmf import journal
from cmf.core.values import encode
from cmf.core.wire import PullQuestion, Slice

MAX_NOTES = 50
"""How many questions are remembered. The oldest are forgotten."""


class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question that was answered: by which server (and asked by whom), at which version, kept in which segments."""

    asker: str
    asked: Slice
    version: str
    segments: tuple[str, ...]

    def asking(self, question: PullQuestion) -> PullQuestion:
        """The question that asks only for what this answer did not bring."""
        now = _slice(question)
        return msgspec.structs.replace(question, since=self.version, held=None if now == self.asked else self.asked)

    def is_of_the_store_of(self, version: str) -> bool:
        """Whether another answer came from the same store: if not, it had to bring everything."""
        return self.version.rpartition(":")[0] == version.rpartition(":")[0]


class Pulls:
    """The notes in a folder of one server's answers, whose segments are in another folder."""

    def __init__(self, folder: Path, asker: str, segments: Path) -> None:
        self._folder = folder
        self._asker = asker
        self._segments = segments

    def best(self, question: PullQuestion) -> Note | None:
        """What was answered to the question, or to the one that is most like it and has anything in common with it."""
        asked = _slice(question)
        if (same := self._read(self._path(asked))) is not None:
            return same
        known = [(_common(asked, note.asked), note.version, note) for note in self._notes()]
        likeness, _, note = max(known, key=lambda item: item[:2], default=(0, "", None))
        return note if likeness else None

    def keep(self, question: PullQuestion, version: str, before: Note | None, segment: str | None) -> None:
        """Note that a question was answered at a version: `before` was known, and `segment` has what came.

        A note that cannot be written is none: the next pull then brings more than news.
        """
        segments = (before.segments if before else ()) + ((segment,) if segment else ())
        if not version or not segments:
            return
        asked = _slice(question)
        note = Note(asker=self._asker, asked=asked, version=version, segments=tuple(dict.fromkeys(segments)))
        path = self._path(asked)
        draft = path.with_name(f"{journal.ulid()}.part")
        try:
            with suppress(OSError):
                self._folder.mkdir(exist_ok=True)
                draft.write_bytes(encode(note))
                draft.replace(path)
                self._forget()
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _notes(self) -> Iterator[Note]:
        for path in self._files():
            if (note := self._read(path)) is not None:
                yield note

    def _read(self, path: Path) -> Note | None:
        try:
            note = msgspec.json.decode(path.read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        is_ours = note.asker == self._asker and note.segments
        return note if is_ours and all(map(self._is_there, note.segments)) else None

    def _is_there(self, segment: str) -> bool:
        path = self._segments / f"{segment}{journal.SUFFIX}"
        return os.sep not in segment and path.is_file() and path.stat().st_size > 0

    def _files(self) -> list[Path]:
        with suppress(OSError):
            return [path for path in self._folder.iterdir() if path.suffix == ".json"]
        return []

    def _forget(self) -> None:
        by_age = sorted(self._files(), key=lambda path: path.stat().st_mtime)
        for path in by_age[:-MAX_NOTES]:
            path.unlink(missing_ok=True)

    def _path(self, asked: Slice) -> Path:
        name = hashlib.sha256(self._asker.encode() + encode(asked)).hexdigest()[:26]
        return self._folder / f"{name}.json"


def _slice(question: PullQuestion) -> Slice:
    """What is asked for, in one order."""
    return Slice(
        artifacts=tuple(sorted(set(question.artifacts))),
        projects=tuple(sorted(set(question.projects), key=lambda of: (of.project, of.branch or ""))),
        pipelines=tuple(sorted(set(question.pipelines))),
        direction=question.direction,
        depth=question.depth,
    )


def _common(one: Slice, other: Slice) -> int:
    """How much two questions ask for alike."""
    if (one.direction, one.depth) != (other.direction, other.depth):
        return 0
    return sum(
        len(set(getattr(one, name)) & set(getattr(other, name))) for name in ("artifacts", "projects", "pipelines")
    )
