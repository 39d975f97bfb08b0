"""The working tree as it is, as objects of git: what differs from the commit that is checked out."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable
from typing import NamedTuple

from cmf.versioning.content import version_of
from cmf.versioning.git_objects import EXECUTABLE, FILE, LINK, SUBMODULE, Entry, Objects
from cmf.versioning.git_status import Change, git
from cmf.versioning.states import settled

MAX_UNTRACKED_BYTES = 1 << 20
MAX_UNTRACKED_FILES = 2_000
"""What is larger, or more, is data that nobody has recorded or ignored yet, and does not belong into git."""


class Differences(NamedTuple):
    """What differs from the commit: entries by path (None: not there any more), and how many files were left out."""

    entries: dict[bytes, Entry | None]
    left_out: int


_SECRET = re.compile(
    rb"\.env(\..*)?|\.netrc|\.pypirc|\.npmrc|\.htpasswd|id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|key|p12|pfx)"
)
"""Names of files that hold passwords or keys as a rule: as long as nobody put them into git, they stay out of it."""

Hashed = dict[bytes, tuple[tuple[int, ...], str]]
"""The ids of contents of files that were hashed before, by path, each with the version that the file had."""


def differences(folder: str, changes: Iterable[Change], objects: Objects, hashed: Hashed) -> Differences:
    """Write what changed in a work tree as objects; `hashed` remembers what was hashed."""
    found: dict[bytes, Entry | None] = {}
    files: dict[bytes, bytes] = {}
    versions: dict[bytes, tuple[int, ...]] = {}
    untracked = left_out = 0
    read_at = time.time_ns()
    for change in changes:
        whole = os.path.join(os.fsencode(folder), change.path)
        if not change.is_in_tree:
            found[change.path] = None
        elif change.staged is not None:
            found[change.path] = Entry(change.mode.lstrip(b"0"), change.staged)
        elif change.mode == SUBMODULE:
            if sha := _submodule_commit(whole):
                found[change.path] = Entry(SUBMODULE, sha)
        elif (state := _state(whole)) is None:
            if not change.is_untracked:
                found[change.path] = None
        elif stat.S_ISLNK(state.st_mode):
            found[change.path] = Entry(LINK, objects.blob(os.readlink(whole)))
        elif stat.S_ISREG(state.st_mode):
            untracked += change.is_untracked
            too_much = state.st_size > MAX_UNTRACKED_BYTES or untracked > MAX_UNTRACKED_FILES
            if change.is_untracked and (too_much or _SECRET.fullmatch(os.path.basename(change.path))):
                left_out += 1
            elif is_pointer(change.path) and (text := _read(whole)) is not None:
                found[change.path] = Entry(FILE, objects.blob(text))  # there are many, and no filter changes them
            else:
                files[change.path] = EXECUTABLE if state.st_mode & stat.S_IXUSR else FILE
                versions[change.path] = version_of(state)
    known = {path: hashed[path][1] for path in files if path in hashed and hashed[path][0] == versions[path]}
    news = _hash(folder, [path for path in files if path not in known])
    hashed.clear()  # what differs no more need not be remembered
    for path, sha in (known | news).items():
        found[path] = Entry(files[path], sha)
        if path in known or settled(versions[path], read_at):
            hashed[path] = versions[path], sha
    return Differences(found, left_out)


def is_pointer(path: bytes) -> bool:
    """Whether a file stands for data, or serves that: it is no code."""
    name = os.path.basename(path)
    return path.endswith(b".dvc") or path.startswith(b".dvc/") or name in (b".gitignore", b".dvcignore")


def _hash(folder: str, paths: list[bytes]) -> dict[bytes, str]:
    """Write files as objects; → their ids. By git, which knows the filters that `.gitattributes` names."""
    listed = [path for path in paths if b"\n" not in path]
    done = git(folder, "hash-object", "-w", "--stdin-paths", given=b"\n".join(listed) + b"\n") if listed else None
    found = dict(zip(listed, done.stdout.decode().split(), strict=False)) if done and done.returncode == 0 else {}
    for path in paths:
        if path not in found:  # one vanished, or cannot be read, or has a line break in its name
            alone = git(folder, "hash-object", "-w", "--", path)
            if alone.returncode == 0:
                found[path] = alone.stdout.decode().strip()
    return found


def _submodule_commit(folder: bytes) -> str | None:
    done = git(os.fsdecode(folder), "rev-parse", "HEAD") if os.path.isdir(folder) else None
    return done.stdout.decode().strip() if done and done.returncode == 0 else None


def _read(path: bytes) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _state(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
