"""When the entries of a `dvc.lock` came to be what they are: the git commit that brought each. Only read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmf.clock import written
from cmf.core.errors import FileProblem, SettingsProblem
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
    with _told():
        if (repo := open_git(folder)) is None:
            return Checkout()
        return Checkout(remote_of(repo), None if repo.head.is_detached else repo.active_branch.name)


def brought(lock: Path, now: Mapping[str, Entry]) -> dict[str, Brought]:
    """For each stage the commit, among those that lead to the one checked out, since which its entry is as it is `now`.

    An entry that is not committed as it is has none. Nor has one that a shallow clone's oldest commit has already.
    """
    with _told():
        return _brought(lock, now)


def _brought(lock: Path, now: Mapping[str, Entry]) -> dict[str, Brought]:
    repo = open_git(lock.parent)
    if repo is None or not repo.head.is_valid() or repo.working_tree_dir is None:
        return {}
    path = _path_in(repo, lock)
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


def changed_at(file: Path, *, by_git: bool) -> str:
    """When a file was last changed: by a commit, or if that is not how it is now, in the working tree.

    Empty where that tells a time which has not come.
    """
    with _told():
        at = _committed_at(file) if by_git else None
    at = at or written(file.stat().st_mtime_ns // 1000)
    return "" if is_to_come(at) else at


def _committed_at(file: Path) -> str | None:
    repo = open_git(file.parent)
    if repo is not None and repo.head.is_valid() and repo.working_tree_dir is not None:
        path = _path_in(repo, file)
        commit = next(repo.iter_commits("HEAD", paths=path, max_count=1), None)
        if commit is not None and _content(commit, path) == file.read_bytes():
            return _time(commit)
    return None


@contextmanager
def _told() -> Iterator[None]:
    """What git cannot do is told, with what to do about it."""
    try:
        from git import GitError
        from gitdb.exc import ODBError
    except ImportError:  # there is no git on this machine, so nothing is asked
        yield
        return
    try:
        yield
    except (GitError, ODBError) as exc:
        said = " ".join(str(getattr(exc, "stderr", "") or exc).replace("stderr:", "").split())
        raise SettingsProblem(
            f"git cannot be asked: {said}. Mend that, or set CMF_VERSIONING=none to record without the code's version."
        ) from exc


def _path_in(repo: Repo, file: Path) -> str:
    """A file's path in the repository; a link is not followed, for git keeps the link itself."""
    return (file.parent.resolve() / file.name).relative_to(Path(str(repo.working_tree_dir)).resolve()).as_posix()


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
