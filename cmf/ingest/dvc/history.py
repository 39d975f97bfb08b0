"""When the entries of a `dvc.lock` came to be what they are: the git commit that brought each. Only read here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmf.clock import written
from cmf.core.errors import FileProblem
from cmf.ingest.dvc.lock import Entry, entries
from cmf.ingest.statements import is_to_come
from cmf.versioning.git import open_git, remote_of

if TYPE_CHECKING:
    from git import Commit, Repo


class Brought(NamedTuple):
    """The commit that brought an entry, and its time."""

    commit: str
    at: str


class Checkout(NamedTuple):
    """What git says of where the files lie."""

    remote: str | None = None
    branch: str | None = None


def checked_out(folder: Path) -> Checkout:
    """The remote and the branch of the git repository that a folder lies in."""
    if (repo := open_git(folder)) is None:
        return Checkout()
    return Checkout(remote_of(repo), None if repo.head.is_detached else repo.active_branch.name)


def brought(lock: Path, now: Mapping[str, Entry]) -> dict[str, Brought]:
    """For each stage the commit, among those that lead to the one checked out, since which its entry is as it is `now`.

    An entry that is not committed as it is has none. Nor has one that a shallow clone's oldest commit has already.
    """
    repo = open_git(lock.parent)
    if repo is None or not repo.head.is_valid() or repo.working_tree_dir is None:
        return {}
    path = lock.resolve().relative_to(Path(repo.working_tree_dir).resolve()).as_posix()
    found: dict[str, Brought] = {}
    open_ = set(now)
    for commit in repo.iter_commits("HEAD", paths=path):
        then = _entries(commit, path, lock)
        open_ = {name for name in open_ if name in then and then[name].content == now[name].content}
        if not open_:
            break
        if _is_cut(repo, commit):
            return {name: of for name, of in found.items() if name not in open_}
        found |= dict.fromkeys(open_, Brought(commit.hexsha, _time(commit)))
    return found


def changed_at(file: Path) -> str:
    """When a file was last changed: by a commit, or if that is not how it is now, in the working tree.

    Empty where that tells a time which has not come.
    """
    at = _changed_at(file)
    return "" if is_to_come(at) else at


def _changed_at(file: Path) -> str:
    repo = open_git(file.parent)
    if repo is not None and repo.head.is_valid() and repo.working_tree_dir is not None:
        path = file.resolve().relative_to(Path(repo.working_tree_dir).resolve()).as_posix()
        commit = next(repo.iter_commits("HEAD", paths=path, max_count=1), None)
        if commit is not None and _content(commit, path) == file.read_bytes():
            return _time(commit)
    return written(file.stat().st_mtime_ns // 1000)


def _entries(commit: Commit, path: str, lock: Path) -> dict[str, Entry]:
    content = _content(commit, path)
    try:
        return entries(content, lock) if content is not None else {}
    except FileProblem:
        return {}  # it was malformed then


def _content(commit: Commit, path: str) -> bytes | None:
    try:
        content: bytes = (commit.tree / path).data_stream.read()
    except KeyError:
        return None
    return content


def _is_cut(repo: Repo, commit: Commit) -> bool:
    """Whether this is where a shallow clone ends: what came before is not known."""
    shallow = Path(repo.common_dir) / "shallow"
    return shallow.exists() and commit.hexsha in shallow.read_text().split()


def _time(commit: Commit) -> str:
    return written(int(commit.committed_datetime.astimezone(UTC).timestamp()) * 1_000_000)
