"""Branches of a git repository, moved as git moves them: behind a lock file, and only from where they were known."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cmf.scratch import Scratch, lock_file

if TYPE_CHECKING:
    from git import Repo

PREFIX = "cmf"
OTHER_PREFIX = "cmf-runs"
"""For repositories in which somebody has a branch `cmf`, beside which git allows no `cmf/…`."""

LOCK_SECONDS = 5.0
_PART_CHARACTERS = 60


class Refs:
    """The branches of a repository."""

    def __init__(self, repo: Repo, scratch: Scratch) -> None:
        self._folder = Path(repo.common_dir)
        self._scratch = scratch
        self._is_files = repo.config_reader().get_value("extensions", "refstorage", "files") == "files"
        self._work = repo.working_dir or repo.git_dir
        self._packed_version: tuple[int, ...] | None = None
        self._packed_heads: dict[str, str] = {}
        self.prefix = OTHER_PREFIX if self.head(PREFIX) else PREFIX

    def head(self, branch: str) -> str | None:
        """The commit of a branch."""
        if not self._is_files:
            return self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}") or None
        name = f"refs/heads/{branch}"
        with suppress(OSError):
            return (self._folder / name).read_text(encoding="ascii").strip()
        return self._packed().get(name)

    def move(self, branch: str, commit: str, known: str | None) -> bool:
        """Let a branch be at a commit; → False if it is not at `known` (None: not there) any more.

        Raises:
            OSError: it cannot be moved; TimeoutError: another process holds its lock.
        """
        if not self._is_files:
            return self._git("update-ref", f"refs/heads/{branch}", commit, known or "0" * len(commit)) is not None
        file = self._folder / "refs" / "heads" / branch
        lock = file.with_name(file.name + ".lock")
        file.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < deadline:
            with lock_file(self._scratch, lock, commit.encode() + b"\n") as held:
                if held:
                    if self.head(branch) != known:
                        return False
                    lock.replace(file)
                    return True
            time.sleep(0.002)
        raise TimeoutError(f"{lock} is there: if no git process is at work, delete it")

    def _packed(self) -> dict[str, str]:
        """The branches of ours that git has packed into one file."""
        file = self._folder / "packed-refs"
        try:
            state = file.stat()
            version = state.st_mtime_ns, state.st_size, state.st_ino
            if version != self._packed_version:
                found = re.findall(
                    rf"^([0-9a-f]+) (refs/heads/{PREFIX}\S*)$", file.read_text(encoding="utf-8"), re.MULTILINE
                )
                self._packed_version, self._packed_heads = version, {name: commit for commit, name in found}
        except FileNotFoundError:
            self._packed_version, self._packed_heads = None, {}
        return self._packed_heads

    def _git(self, *arguments: str) -> str | None:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *arguments], cwd=self._work, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else None


def branch_name(pipeline: str, stage: str, execution: str) -> str:
    """What the branch of an execution is called, behind the prefix.

    >>> branch_name("digits", "train", "execution:0123456789abcdef0123456789abcdef")
    'digits/train/0123456789ab'
    """
    return f"{_part(pipeline)}/{_part(stage)}/{execution.partition(':')[2][:12]}"


def _part(name: str) -> str:
    """A name as git allows it between two slashes of a branch's name."""
    part = re.sub(r"[^\w.-]|\.{2,}", "-", name)[:_PART_CHARACTERS].strip(".-")
    return part.removesuffix(".lock") or "unnamed"
