"""The id of a clone, under which its records stand everywhere."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from cmf import journal
from cmf.core.errors import InvalidValue, JournalUnwritable
from cmf.core.records import MAX_LINE_BYTES, ORIGIN_PATTERN, parse_header


def site_of(folder: Path) -> str:
    """The clone's id, made at the first use; two processes that make it at once agree.

    If the file is lost, the id is taken from what was recorded under it.
    """
    file = folder / "site"
    try:
        known = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if not known:
            draft = folder / f"site.{journal.ulid()}"
            draft.write_text((_recorded_site(folder) or journal.ulid()) + "\n", encoding="utf-8")
            _put_in_place(draft, file)
            known = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise JournalUnwritable(file, getattr(exc, "strerror", None) or str(exc)) from exc
    if not re.fullmatch(ORIGIN_PATTERN, known):
        raise JournalUnwritable(file, f"{known[:60]!r} is no id of a clone; delete the file, and the id is found again")
    return known


def _put_in_place(draft: Path, file: Path) -> None:
    """Give a file its name, unless another process was first; an empty one counts as none."""
    try:
        if file.exists() and file.stat().st_size == 0:
            draft.replace(file)
        else:
            file.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _recorded_site(folder: Path) -> str | None:
    for path in journal.segments(folder / "journal"):
        with suppress(InvalidValue), path.open("rb") as lines:
            return parse_header(lines.readline(MAX_LINE_BYTES).rstrip(b"\n")).site
    return None
