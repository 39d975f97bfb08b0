"""git's own push and pull of the code, where a command of cmflib asks for them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from cmf.core.errors import CmfError

REMOTE: Final = "cmf_origin"
"""What cmflib calls the remote that `cmf init` names; without it, `origin` is meant."""

_RUNS: Final = ("refs/heads/cmf/*:refs/heads/cmf/*", "refs/heads/cmf-runs/*:refs/heads/cmf-runs/*")
"""The branches of executions."""


def push_branches(folder: Path) -> str:
    """Push the branch that is checked out, and those of the executions.

    Raises:
        CmfError: git refuses.
    """
    remote, branch = _remote(folder), _branch(folder)
    _git(folder, "push", "--quiet", remote, f"refs/heads/{branch}:refs/heads/{branch}", *_RUNS)
    return f"{branch} and the branches of the executions pushed to {remote}"


def pull_branch(folder: Path) -> str:
    """Bring the branch that is checked out up to date, where that needs no merge.

    Raises:
        CmfError: git refuses, or the two have gone different ways.
    """
    remote, branch = _remote(folder), _branch(folder)
    _git(folder, "pull", "--quiet", "--ff-only", remote, branch)
    return f"{branch} pulled from {remote}"


def set_remote(folder: Path, url: str) -> None:
    """Make the folder a git repository if it lies in none, and name cmflib's remote.

    Raises:
        CmfError: git refuses.
    """
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        _git(folder, "init", "--quiet")
    known = _git(folder, "remote").split()
    _git(folder, "remote", "set-url" if REMOTE in known else "add", REMOTE, url)


def _remote(folder: Path) -> str:
    known = _git(folder, "remote").split()
    for name in (REMOTE, "origin"):
        if name in known:
            return name
    raise CmfError(f"{folder}: git has no remote {REMOTE} or origin; 'git remote add origin URL' names one")


def _branch(folder: Path) -> str:
    try:
        return _git(folder, "symbolic-ref", "--short", "HEAD").strip()
    except CmfError as exc:
        raise CmfError(f"{folder}: no branch is checked out, so there is none to push or pull") from exc


def _git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except (OSError, ValueError) as exc:  # an argument with a NUL is a ValueError
        raise CmfError(f"git cannot be started: {getattr(exc, 'strerror', None) or exc}") from exc
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise CmfError(f"git {arguments[0]} in {folder}: {said}")
    return done.stdout
