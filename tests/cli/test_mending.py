"""What becomes of a damaged journal or view: it is found, said, and mended."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cmf
from cmf.recording import close_repositories

Run = Callable[..., "subprocess.CompletedProcess[str]"]
READING = ["status", "log", "lineage model.pkl"]


def segment(clone: Path) -> Path:
    return next(iter(sorted(clone.glob(".cmf/journal/*.jsonl"))))


def forget_view(clone: Path) -> None:
    for file in clone.glob(".cmf/view.db*"):
        file.unlink()


def damage(file: Path, line: int) -> None:
    lines = file.read_bytes().split(b"\n")
    lines[line - 1] = lines[line - 1].replace(b"digits", b"digitz").replace(b"md5", b"md6")
    file.write_bytes(b"\n".join(lines))


def test_a_sound_clone_is_said_to_be(run: Run, clone: Path) -> None:
    told = run("fsck", at=clone)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.fullmatch(r"sound: 1 segment, [\d.]+ kB; the view shows what they say\n", told.stdout)
    found = json.loads(run("fsck", "--json", at=clone).stdout)
    assert found == {"segments": 1, "bytes": segment(clone).stat().st_size, "damage": []}
    assert list(clone.glob(".cmf/fsck*")) == []


@pytest.mark.parametrize("shown", [True, False], ids=["in the view", "not in the view yet"])
def test_a_damaged_line_is_found_with_its_path_and_number(run: Run, clone: Path, shown: bool) -> None:
    damage(segment(clone), 4)
    if not shown:
        forget_view(clone)
    told = run("fsck", at=clone)
    assert told.returncode == 1
    assert told.stdout.startswith(f"{segment(clone)}, line 4: its sum does not continue the chain; restore the file")
    assert told.stdout.count("\n") == 1
    found = json.loads(run("fsck", "--json", at=clone).stdout)["damage"]
    assert [(one["path"], one["line"]) for one in found] == [(str(segment(clone)), 4)]


def test_what_reads_a_damaged_journal_says_so_in_one_line(run: Run, clone: Path) -> None:
    damage(segment(clone), 4)
    for command in [*READING, "rebuild"]:
        forget_view(clone)
        told = run(*command.split(), at=clone)
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith(f"cmf: {segment(clone)}, line 4: its sum does not continue the chain.")
        assert told.stderr.count("\n") == 1


def test_a_torn_last_line_is_one_notice_once(run: Run, clone: Path) -> None:
    whole = segment(clone).read_bytes()
    segment(clone).write_bytes(whole + b'{"seq":99,"at":"2026')
    told = run("log", "--json", at=clone)
    assert told.returncode == 0
    assert len(json.loads(told.stdout)) == 3
    assert re.fullmatch(r"cmf: note: .*cut off 20 bytes of a last line that was never finished.*\n", told.stderr)
    assert segment(clone).read_bytes() == whole
    assert run("log", at=clone).stderr == ""
    assert run("fsck", at=clone).returncode == 0


@pytest.mark.parametrize("state", ["garbage", "missing", "empty", "half"])
def test_rebuild_makes_the_view_anew_whatever_state_it_is_in(run: Run, clone: Path, state: str) -> None:
    view = clone / ".cmf" / "view.db"
    content = view.read_bytes()
    forget_view(clone)
    written = {"garbage": b"no database " * 999, "empty": b"", "half": content[: len(content) // 2]}
    if state != "missing":
        view.write_bytes(written[state])
    told = run("rebuild", at=clone)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "made the view anew: 5 artifacts, 3 executions\n"
    assert run("fsck", at=clone).returncode == 0
    assert json.loads(run("rebuild", "--json", at=clone).stdout)["kinds"]["artifact"] == 5


def test_a_view_that_is_no_database_is_found_and_every_command_names_the_cure(run: Run, clone: Path) -> None:
    forget_view(clone)
    (clone / ".cmf" / "view.db").write_bytes(b"no database " * 999)
    told = run("fsck", at=clone)
    assert told.returncode == 1
    assert told.stdout.endswith("; run 'cmf rebuild'\n")
    for command in READING:
        told = run(*command.split(), at=clone)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
        assert "cmf rebuild" in told.stderr


def test_a_view_that_says_other_than_the_journal_is_found(run: Run, clone: Path) -> None:
    with sqlite3.connect(clone / ".cmf" / "view.db") as db:
        assert db.execute("UPDATE artifact SET name = 'other.pkl' WHERE name = 'model.pkl'").rowcount == 1
    db.close()
    told = run("fsck", at=clone)
    assert told.returncode == 1
    assert re.search(
        r"view\.db: it says other than the journal of 1 nodes? \(md5:\w+\); run 'cmf rebuild'\n", told.stdout
    )
    assert run("rebuild", at=clone).returncode == 0
    assert run("fsck", at=clone).returncode == 0


def test_a_view_of_records_that_the_journal_lost_is_found(run: Run, clone: Path) -> None:
    first = segment(clone)
    with cmf.run("digits", "later", root=clone):
        pass
    close_repositories()
    first.rename(clone / "moved.jsonl")
    told = run("fsck", at=clone)
    assert told.returncode == 1
    assert f"records that the journal has not (segments {first.stem}); run 'cmf rebuild'" in told.stdout
    assert run("rebuild", at=clone).stdout == "made the view anew: 0 artifacts, 1 execution\n"
    assert run("fsck", at=clone).returncode == 0


def test_long_work_shows_its_progress_on_a_terminal_only(clone: Path, environment: dict[str, str]) -> None:
    for command in ("rebuild", "fsck"):
        ours, theirs = pty.openpty()
        started = [sys.executable, "-m", "cmf.cli", command]
        done = subprocess.run(started, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=theirs, timeout=60)
        os.close(theirs)
        seen = os.read(ours, 1 << 16)
        os.close(ours)
        assert done.returncode == 0
        assert done.stdout.startswith(b"made the view anew" if command == "rebuild" else b"sound")
        assert (b"rebuilding" if command == "rebuild" else b"journal") in seen


def test_a_view_that_is_only_behind_is_brought_up_to_date(run: Run, clone: Path) -> None:
    forget_view(clone)
    assert run("fsck", at=clone).returncode == 0
    assert run("log", at=clone).stdout.count("digits/") == 3
