"""Objects of a git repository: read with git, written as git writes them, one file each.

Made in this process, because a commit of ours is a few objects and a git process for each would be most of its cost.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cmf.scratch import Scratch

if TYPE_CHECKING:
    from git import Repo

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = b"100644", b"100755", b"120000", b"40000", b"160000"

_OBJECT_MODE = 0o444
_KEPT = 512


class Entry(NamedTuple):
    """An entry of a tree: its mode and the id of its object."""

    mode: bytes
    sha: str


Tree = dict[bytes, Entry]
T = TypeVar("T")


class Objects:
    """The objects of a repository; not safe to share between threads."""

    def __init__(self, repo: Repo, scratch: Scratch) -> None:
        self._repo = repo
        self._folder = Path(repo.common_dir, "objects")
        self._scratch = scratch
        self._trees: dict[str, Tree] = {}
        self._roots: dict[str, str] = {}

    def blob(self, data: bytes) -> str:
        """Write the content of a file; → its id."""
        return self._write(b"blob", data)

    def commit(self, tree: str, parents: tuple[str, ...], who: str, when: str, message: str) -> str:
        """Write a commit by `who` (`name <address>`) at `when` (seconds since 1970 and zone); → its id."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {who} {when}", f"committer {who} {when}", "", message]
        made = self._write(b"commit", ("\n".join(lines) + "\n").encode(errors="backslashreplace"))
        _keep(self._roots, made, tree)
        return made

    def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        known = self._roots.get(commit)
        if known is None:
            known = self._read(commit).partition(b"\n")[0].removeprefix(b"tree ").decode()
            _keep(self._roots, commit, known)
        return known

    def entry(self, tree: str, path: bytes) -> Entry | None:
        """What is at a path of a tree."""
        found: Entry | None = Entry(FOLDER, tree)
        for name in path.split(b"/"):
            if found is None or found.mode != FOLDER:
                return None
            found = self._tree(found.sha).get(name)
        return found

    def edit(self, tree: str | None, changes: Mapping[bytes, Entry | None]) -> str:
        """The tree in which these paths have these entries (None: have none); → its id."""
        entries = dict(self._tree(tree)) if tree else {}
        below: dict[bytes, dict[bytes, Entry | None]] = {}
        for path, change in changes.items():
            name, _, rest = path.partition(b"/")
            if rest:
                below.setdefault(name, {})[rest] = change
            elif change is None:
                entries.pop(name, None)
            else:
                entries[name] = change
        for name, some in below.items():
            before = entries.get(name)
            after = self.edit(before.sha if before and before.mode == FOLDER else None, some)
            if self._tree(after):
                entries[name] = Entry(FOLDER, after)
            elif before and before.mode == FOLDER:
                del entries[name]
        return self._write_tree(entries)

    def _tree(self, sha: str) -> Tree:
        known = self._trees.get(sha)
        if known is None:
            known = _parse_tree(self._read(sha))
            _keep(self._trees, sha, known)
        return known

    def _write_tree(self, entries: Tree) -> str:
        ordered = sorted(entries.items(), key=lambda item: item[0] + b"/" if item[1].mode == FOLDER else item[0])
        data = b"".join(b"%s %s\0%s" % (entry.mode, name, bytes.fromhex(entry.sha)) for name, entry in ordered)
        sha = self._write(b"tree", data)
        _keep(self._trees, sha, entries)
        return sha

    def _read(self, sha: str) -> bytes:
        data: bytes = self._repo.odb.stream(bytes.fromhex(sha)).read()
        return data

    def _write(self, kind: bytes, data: bytes) -> str:
        whole = b"%s %d\0%s" % (kind, len(data), data)
        sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        place = self._folder / sha[:2] / sha[2:]
        if not place.exists():
            draft = self._scratch.path()
            draft.write_bytes(zlib.compress(whole, 1))
            draft.chmod(_OBJECT_MODE)
            place.parent.mkdir(exist_ok=True)
            draft.replace(place)
        return sha


def _keep(known: dict[str, T], sha: str, value: T) -> None:
    if len(known) >= _KEPT:
        known.clear()
    known[sha] = value


def _parse_tree(data: bytes) -> Tree:
    found: Tree = {}
    at = 0
    while at < len(data):
        space, end = data.index(b" ", at), data.index(b"\0", at)
        found[data[space + 1 : end]] = Entry(data[at:space].lstrip(b"0"), data[end + 1 : end + 21].hex())
        at = end + 21
    return found
