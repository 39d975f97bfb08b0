"""The version of the code, from git. Only read here: nothing in the repository is touched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cmf.core.errors import SettingsProblem
from cmf.core.model import Code

if TYPE_CHECKING:
    from git import Repo


class CodeVersion(NamedTuple):
    """The code that runs: its version, and what names the project it belongs to."""

    code: Code | None
    branch: str | None
    remote: str | None


class CodeVersioning(Protocol):
    """Where the version of the code comes from."""

    def now(self) -> CodeVersion:
        """The version checked out now."""


class GitVersioning:
    """The git repository that a folder lies in, if it does."""

    def __init__(self, folder: Path) -> None:
        self._repo = _open(folder)

    def now(self) -> CodeVersion:
        """See the port. Without a repository, or before its first commit, there is no version."""
        if self._repo is None:
            return CodeVersion(None, None, None)
        remote = _remote(self._repo)
        branch = None if self._repo.head.is_detached else self._repo.active_branch.name
        if not self._repo.head.is_valid():
            return CodeVersion(None, branch, remote)
        commit = self._repo.head.commit.hexsha
        return CodeVersion(Code(commit=commit, remote=remote, dirty=_is_dirty(self._repo)), branch, remote)


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


def _open(folder: Path) -> Repo | None:
    try:
        from git import InvalidGitRepositoryError, NoSuchPathError, Repo
    except ImportError:  # GitPython's way to say that there is no git on this machine
        return None
    try:
        return Repo(folder, search_parent_directories=True)
    except (InvalidGitRepositoryError, NoSuchPathError):
        return None


def _is_dirty(repo: Repo) -> bool:
    from git import GitCommandError

    try:
        return repo.is_dirty()
    except GitCommandError as exc:
        raise SettingsProblem(
            f"{repo.working_dir}: git cannot tell whether the tree was changed: {exc.stderr.strip()}. "
            f"Mend that, or set CMF_VERSIONING=none to record without the code's version."
        ) from exc


def _remote(repo: Repo) -> str | None:
    """The address of `origin`, or of the first remote, without a password in it."""
    urls = {remote.name: next(iter(remote.urls), None) for remote in repo.remotes}
    url = urls.get("origin") or next(iter(urls.values()), None)
    return re.sub(r"(?<=://)[^@/]*@", "", url) if url else None
