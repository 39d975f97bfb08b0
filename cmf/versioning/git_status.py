"""How the working tree differs from the commit that is checked out: git's own answer, as values."""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

from cmf.core.errors import SettingsProblem

_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
"""What a hook of git has in its environment, and what would lead us elsewhere."""


class Change(NamedTuple):
    """A path that differs: staged with a mode and object, changed in the tree (`mode` 0: deleted), or untracked."""

    path: bytes
    mode: bytes
    staged: str | None
    is_in_tree: bool
    is_untracked: bool
    is_added: bool


class Status(NamedTuple):
    """The commit checked out (None before the first), the branch (None when detached), and what differs."""

    commit: str | None
    branch: str | None
    changes: tuple[Change, ...]


def git(folder: str, *arguments: str | bytes, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder; it takes no lock that it can do without, and starts no hook."""
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
    command = ["git", "--no-optional-locks", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, check=False)


def status(folder: str) -> tuple[Status, bytes]:
    """The status of a work tree, and git's own text of it, by which two can be told apart.

    Raises:
        SettingsProblem: git cannot tell.
    """
    asked = (
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=all",
        "--ignore-submodules=dirty",
        "--no-renames",
    )
    done = git(folder, *asked)
    if done.returncode:
        raise SettingsProblem(
            f"{folder}: git cannot tell whether the tree was changed: {done.stderr.decode(errors='replace').strip()}. "
            f"Mend that, or set CMF_VERSIONING=none to record without the code's version."
        )
    commit = branch = None
    changes: list[Change] = []
    for line in done.stdout.split(b"\0"):
        if line.startswith(b"# branch.oid ") and not line.endswith(b"(initial)"):
            commit = line.split(b" ")[2].decode()
        elif line.startswith(b"# branch.head ") and not line.endswith(b"(detached)"):
            branch = line.removeprefix(b"# branch.head ").decode(errors="replace")
        elif line[:2] in (b"1 ", b"u ", b"? "):
            changes.append(_change(line))
    return Status(commit, branch, tuple(changes)), done.stdout


def _change(line: bytes) -> Change:
    if line.startswith(b"? "):
        return Change(line[2:], b"", None, is_in_tree=True, is_untracked=True, is_added=False)
    if line.startswith(b"u "):  # a conflict: what stands in the tree
        _, _, _, _, _, _, mode, _, _, _, path = line.split(b" ", 10)
        return Change(path, mode, None, is_in_tree=mode != b"000000", is_untracked=False, is_added=False)
    _, both, _, _, staged_mode, mode, _, staged, path = line.split(b" ", 8)
    only_staged = both.endswith(b".")
    return Change(
        path,
        staged_mode if only_staged else mode,
        staged.decode() if only_staged and both != b"D." else None,
        is_in_tree=both != b"D." and mode != b"000000",
        is_untracked=False,
        is_added=both.startswith(b"A"),
    )
