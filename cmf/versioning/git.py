"""Code versioned with git: its state when a run starts, and a branch of commits for each execution.

Nothing of the user's is touched: not the checkout, index, HEAD, stash or hooks. What is made are objects, and
branches `cmf/<pipeline>/<stage>/<execution>`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmf.core.model import Code
from cmf.scratch import Scratch
from cmf.versioning.git_objects import EXECUTABLE, FILE, Entry, Objects
from cmf.versioning.git_refs import Refs
from cmf.versioning.git_snapshot import Hashed, differences, is_pointer
from cmf.versioning.git_status import Change, Status, git, status
from cmf.versioning.none import NoBranch, NoCodeVersioning
from cmf.versioning.ports import Branch, CodeVersion, CodeVersioning
from cmf.versioning.states import TICK_NS

if TYPE_CHECKING:
    from git import Repo

LARGE_INDEX_BYTES = 1 << 20
LARGE_CHANGES = 5_000
"""From an index of this size (some ten thousand files), or this many changes, on, looking at a tree takes long.

A large tree is looked at again when the commit, or a file that this program has loaded or that differed before, has
changed; and otherwise when `LOOKS_SHARE` times of what the last look took have passed, so that looking takes up to 5 %
of a program's time.
"""
LOOKS_SHARE = 20

_TRIES = 100


class VersioningWarning(UserWarning):
    """Something was recorded without its commit."""


def git_versioning(folder: Path) -> CodeVersioning:
    """The versions of the code in a folder: those of the git repository that it lies in, if it does."""
    repo = open_git(folder)
    return NoCodeVersioning() if repo is None or repo.bare else GitVersioning(repo)


def open_git(folder: Path) -> Repo | None:
    """The git repository that a folder lies in; None where there is none, or no git."""
    try:
        from git import InvalidGitRepositoryError, NoSuchPathError, Repo
    except ImportError:  # GitPython's way to say that there is no git on this machine
        return None
    try:
        return Repo(folder, search_parent_directories=True)
    except (InvalidGitRepositoryError, NoSuchPathError):
        return None


class _Look(NamedTuple):
    """A look at the tree: when, what HEAD was, what git said, the states of what differed, and what came of it."""

    started_ns: int
    heads: tuple[str, str]
    text: bytes
    states: Mapping[bytes, tuple[int, ...] | None]
    status: Status
    version: CodeVersion
    due_at: float


class GitVersioning:
    """See `CodeVersioning`."""

    _look: _Look | None

    def __init__(self, repo: Repo) -> None:
        self._folder = str(repo.working_dir)
        self._open(repo)

    def now(self) -> CodeVersion:
        """See the port. For trees so large that looking takes long, see `LARGE_INDEX_BYTES`."""
        with self._alone():
            if self._look is None or self._may_differ(self._look):
                self._look = self._look_again(self._look)
            return self._look.version

    def branch(self, name: str, base: Code | None) -> Branch:
        """See the port."""
        if not self._can_commit:
            return NoBranch()
        branch = _GitBranch(self, name, (base.snapshot or base.commit) if base else None)
        branch.begin()
        return branch

    def tracks(self, path: Path) -> bool:
        """See the port."""
        with self._alone():
            look = self._look = self._look or self._look_again(None)
            relative = self._relative(path)
            if relative is None:
                return False
            added = any(c.is_added and (c.path + b"/").startswith(relative + b"/") for c in look.status.changes)
            commit = look.status.commit
            return added or (
                commit is not None and self._objects.entry(self._objects.tree_of(commit), relative) is not None
            )

    def ignores(self, path: Path) -> bool:
        """See the port."""
        if self._relative(path) is None:
            return True
        with suppress(OSError):
            if b"/" + os.fsencode(path.name) in path.with_name(".gitignore").read_bytes().splitlines():
                return True
        return git(self._folder, "check-ignore", "--quiet", "--no-index", "--", os.fspath(path)).returncode != 1

    def close(self) -> None:
        """See the port."""
        if self._process == os.getpid():
            self._repo.close()
            self._scratch.close()

    def commit(self, name: str, base: str | None, files: Mapping[Path, bytes | None], message: str) -> str | None:
        """Commit on a branch, see `Branch`."""
        with self._alone(), _telling(f"branch {name}"):
            refs = self._known_refs()
            branch = f"{refs.prefix}/{name}"
            for _ in range(_TRIES):
                known = refs.head(branch)
                parent = known or base
                tree = self._objects.tree_of(parent) if parent else None
                changed = self._objects.edit(tree, self._entries(files, tree))
                if changed == tree:
                    return parent
                commit = self._commit(changed, parent, message)
                if refs.move(branch, commit, known):
                    return commit
            raise TimeoutError("other processes kept moving it")
        return None

    def begin(self, name: str, base: str) -> None:
        """Let a new branch begin at a commit; one that is there stays."""
        with self._alone(), _telling(f"branch {name}"):
            refs = self._known_refs()
            refs.move(f"{refs.prefix}/{name}", base, None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._process != os.getpid():  # a forked child must not talk to its parent's git processes
            self._open(type(self._repo)(self._folder))
        with self._lock:
            yield

    def _open(self, repo: Repo) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._repo = repo
        self._scratch = Scratch(Path(repo.common_dir, "cmf-scratch"))
        self._objects = Objects(repo, self._scratch)
        self._refs: Refs | None = None
        self._look = None
        self._hashed: Hashed = {}
        self._can_commit = repo.config_reader().get_value("extensions", "objectformat", "sha1") == "sha1"

    def _known_refs(self) -> Refs:
        if self._refs is None:
            self._refs = Refs(self._repo, self._scratch)
        return self._refs

    def _may_differ(self, look: _Look) -> bool:
        """Whether the tree may be another than when it was looked at."""
        if not self._is_large(look) or time.monotonic() >= look.due_at or self._heads() != look.heads:
            return True
        code = [change for change in look.status.changes if not is_pointer(change.path)]
        if any(look.states.get(change.path) != self._state_of(change) for change in code):
            return True
        return any(state is None or state[1] >= look.started_ns - TICK_NS for state in map(_state, self._loaded()))

    def _is_large(self, look: _Look) -> bool:
        index = _state(os.fsencode(os.path.join(self._repo.git_dir, "index")))
        return len(look.status.changes) > LARGE_CHANGES or (index is not None and index[2] > LARGE_INDEX_BYTES)

    def _loaded(self) -> Iterator[bytes]:
        """The files of the tree that this program has loaded."""
        within = self._folder + os.sep
        for module in tuple(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(within) and "site-packages" not in file:
                yield os.fsencode(file)

    def _state_of(self, change: Change) -> tuple[int, ...] | None:
        return _state(os.path.join(os.fsencode(self._folder), change.path))

    def _look_again(self, before: _Look | None) -> _Look:
        started, started_ns = time.monotonic(), time.time_ns()
        heads = self._heads()
        found, text = status(self._folder)
        states = {change.path: self._state_of(change) for change in found.changes}
        if before and (text, states) == (before.text, before.states):
            version = before.version
        else:
            version = self._version(found, before)
        ended = time.monotonic()
        due_at = ended + LOOKS_SHARE * (ended - started)
        return _Look(started_ns, heads, text, states, found, version, due_at)

    def _version(self, found: Status, before: _Look | None) -> CodeVersion:
        remote = remote_of(self._repo)
        snapshot = None
        with _telling("the tree as it is"):
            snapshot = self._snapshot(found, before) if self._can_commit else None
        if found.commit is None and snapshot is None:
            return CodeVersion(None, found.branch, remote)
        dirty = any(not change.is_untracked and not is_pointer(change.path) for change in found.changes)
        return CodeVersion(
            Code(commit=found.commit, remote=remote, dirty=dirty, snapshot=snapshot), found.branch, remote
        )

    def _snapshot(self, found: Status, before: _Look | None) -> str | None:
        """A commit of what differs from the commit checked out; None where nothing does."""
        told = differences(self._folder, found.changes, self._objects, self._hashed)
        base = self._objects.tree_of(found.commit) if found.commit else None
        if not told.entries:
            return None
        tree = self._objects.edit(base, told.entries)
        if tree == base:
            return None
        known = before and before.version.code and before.version.code.snapshot
        if before and known and before.status.commit == found.commit and self._objects.tree_of(known) == tree:
            return known
        rest = (
            f"\n\n{told.left_out} untracked files were left out: large, many, or named like secrets"
            if told.left_out
            else ""
        )
        return self._commit(tree, found.commit, f"The tree as it was when a run started{rest}")

    def _commit(self, tree: str, parent: str | None, message: str) -> str:
        zone = time.strftime("%z")
        return self._objects.commit(
            tree, (parent,) if parent else (), _committer(self._repo), f"{int(time.time())} {zone}", message
        )

    def _entries(self, files: Mapping[Path, bytes | None], tree: str | None) -> dict[bytes, Entry | None]:
        """Files as entries of a tree; one that it has already keeps its mode."""
        found: dict[bytes, Entry | None] = {}
        for path, data in files.items():
            if relative := self._relative(path):
                known = self._objects.entry(tree, relative) if tree else None
                mode = known.mode if known and known.mode == EXECUTABLE else FILE
                found[relative] = None if data is None else Entry(mode, self._objects.blob(data))
        return found

    def _relative(self, path: Path) -> bytes | None:
        """A path in the work tree as git has it."""
        return os.fsencode(path.relative_to(self._folder)) if path.is_relative_to(self._folder) else None

    def _heads(self) -> tuple[str, str]:
        """What HEAD is, and what the branch is at that it names: these change when another commit is checked out."""
        head = branch = ""
        with suppress(OSError):
            head = Path(self._repo.git_dir, "HEAD").read_text(encoding="utf-8", errors="replace")
            branch = Path(self._repo.common_dir, head.removeprefix("ref: ").strip()).read_text(encoding="utf-8")
        return head, branch


class _GitBranch:
    """See `Branch`."""

    def __init__(self, versioning: GitVersioning, name: str, base: str | None) -> None:
        self._versioning = versioning
        self._name = name
        self._base = base

    def begin(self) -> None:
        if self._base:
            self._versioning.begin(self._name, self._base)

    def commit(self, files: Mapping[Path, bytes | None], message: str) -> str | None:
        return self._versioning.commit(self._name, self._base, files, message)


def project_name(remote: str | None, folder: Path) -> str:
    """What names a project: its git remote, the same for every way to reach it, else the folder's name.

    >>> project_name("git@example.org:team/digits.git", Path("/home/x/clone"))
    'example.org/team/digits'
    """
    if remote is None:
        return folder.name or "root"
    address = re.sub(r"^[a-z+]+://", "", remote)
    address = re.sub(r"^[^@/]*@", "", address)
    host, separator, path = address.partition("/") if "/" in address.split(":")[0] else _scp(address)
    return (host.split(":")[0].lower() + separator + path.strip("/")).removesuffix(".git") or folder.name


def _scp(address: str) -> tuple[str, str, str]:
    """The host and path of `host:path`, or of `host:port/path`."""
    host, _, path = address.partition(":")
    return host, "/" if path else "", re.sub(r"^\d+/", "", path)


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """A commit that cannot be made is told, and the run goes on without it."""
    from git import GitError
    from gitdb.exc import ODBError

    try:
        yield
    except (OSError, ValueError, GitError, ODBError) as exc:
        warnings.warn(f"{what}: git has no commit of this: {exc}", VersioningWarning, stacklevel=4)


def _state(path: bytes) -> tuple[int, ...] | None:
    try:
        state = os.lstat(path)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino, state.st_mode


def _committer(repo: Repo) -> str:
    from git import Actor

    try:
        actor = Actor.committer(repo.config_reader())
        name, address = actor.name or "cmf", actor.email or "cmf@localhost"
    except (KeyError, OSError):  # a user whom this machine does not know
        name, address = "cmf", "cmf@localhost"
    return f"{_plain(name)} <{_plain(address)}>"


def _plain(text: str) -> str:
    return re.sub(r"[<>\n]", "", text)


def remote_of(repo: Repo) -> str | None:
    """The address of `origin`, or of the first remote, without a password in it."""
    urls = {remote.name: next(iter(remote.urls), None) for remote in repo.remotes}
    url = urls.get("origin") or next(iter(urls.values()), None)
    return without_password(url) if url else None


def without_password(url: str) -> str:
    """An address without the user and password in it."""
    return re.sub(r"(?<=://)[^@/\s]*@", "", url)
