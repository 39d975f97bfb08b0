"""A recorded commit as a tree in a folder of its own: a worktree of git, beside the user's, which is not touched."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import NotReproducible
from cmf.core.model import Code
from cmf.core.recipe import Recipe
from cmf.versioning.git import project_name
from cmf.versioning.git_refs import OTHER_PREFIX, PREFIX, branch_name
from cmf.versioning.git_status import git


class Tree(NamedTuple):
    """A commit that is here, and what of the recorded tree it lacks (empty: nothing)."""

    commit: str
    lacks: str = ""


class Branch(NamedTuple):
    """The name of a branch: as a repository has it, or else (`is_here` is false) as it is usual."""

    name: str
    is_here: bool


def top_of(root: Path) -> Path:
    """The folder of the git repository that a clone lies in.

    Raises:
        NotReproducible: it lies in none.
    """
    done = git(str(root), "rev-parse", "--show-toplevel")
    if done.returncode:
        raise NotReproducible(
            f"{root} is not in a git repository, so there is no code to take from it: clone the repository that the "
            f"execution was recorded in, 'cmf init' and 'cmf pull' there, and ask in it"
        )
    return Path(os.fsdecode(done.stdout.rstrip(b"\n")))


def run_branch(recipe: Recipe, folder: Path) -> Branch:
    """The branch of commits that an execution has, asked of the repository that a folder lies in, if it does."""
    names = branches_of(recipe)
    patterns = [f"{place}/{name}" for place in ("refs/heads", "refs/remotes/*") for name in names]
    found = ""
    if names:
        with suppress(OSError):  # there is no git on this machine
            found = git(str(folder), "for-each-ref", "--format=%(refname)", *patterns).stdout.decode(errors="replace")
    refs = found.splitlines()
    known = next((name for name in names if any(ref.endswith(f"/{name}") for ref in refs)), None)
    return Branch(known or next(iter(names), ""), known is not None)


def branches_of(recipe: Recipe) -> tuple[str, ...]:
    """What the branch of an execution may be called, the usual name first; none where it can have no branch."""
    if recipe.pipeline is None or recipe.stage is None:
        return ()
    name = branch_name(recipe.pipeline, recipe.stage, recipe.execution)
    return tuple(f"{prefix}/{name}" for prefix in (PREFIX, OTHER_PREFIX))


def tree_of(top: Path, code: Code | None, branches: Sequence[str]) -> Tree:
    """The tree that an execution started with, fetched if it is not here.

    It is fetched only from an address that this repository has as a remote already, since a record may name any.

    Raises:
        NotReproducible: no commit was recorded, or it is not to be had.
    """
    if code is None or (code.snapshot or code.commit) is None:
        raise NotReproducible(
            "no commit of its code was recorded: it ran outside of a git repository, or with CMF_VERSIONING=none"
        )
    for commit in filter(None, (code.commit, code.snapshot)):
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
            raise NotReproducible(f"its commit is recorded as {commit[:80]!r}, which is no commit's id")
    wanted = code.snapshot or code.commit
    assert wanted
    if _is_here(top, wanted) or _fetch(top, code.remote, wanted, branches):
        return Tree(wanted)
    if (
        code.snapshot
        and code.commit
        and not code.dirty
        and (_is_here(top, code.commit) or _fetch(top, code.remote, code.commit, ()))
    ):
        return Tree(code.commit, "files that git does not track: the snapshot that has them is not here")
    raise NotReproducible(_how_to_get(top, code, wanted, branches))


def add_worktree(top: Path, folder: Path, commit: str) -> None:
    """Check a commit out into a new folder, on no branch.

    Raises:
        NotReproducible: git could not, and said why.
    """
    # --force: a folder that somebody deleted is still on git's list.
    done = git(str(top), "worktree", "add", "--force", "--detach", "--", os.fspath(folder), commit)
    if done.returncode:
        raise NotReproducible(f"{folder}: git could not check {commit[:10]} out there: {_last_line(done.stderr)}")


def remove_worktree(top: Path, folder: Path) -> None:
    """Remove a folder that `add_worktree` made, with what was put into it."""
    git(str(top), "worktree", "remove", "--force", "--", os.fspath(folder))


def _is_here(top: Path, commit: str) -> bool:
    return git(str(top), "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def _fetch(top: Path, remote: str | None, commit: str, branches: Sequence[str]) -> bool:
    """Get a commit from the recorded remote, if this repository knows it; no branch, tag or FETCH_HEAD changes."""
    name = _known_remote(top, remote)
    if name is None:
        return False
    depth = ["--depth=1"] if _is_shallow(top) else []
    quiet = ["--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"]
    for wanted in (commit, *(f"refs/heads/{branch}" for branch in branches)):
        git(str(top), "fetch", "--quiet", *quiet, *depth, "--refmap=", "--", name, wanted)
        if _is_here(top, commit):
            return True
    return False


def _known_remote(top: Path, remote: str | None) -> str | None:
    """The name of a remote of this repository that is at the recorded address, however either is written."""
    if remote is None:
        return None
    listed = git(str(top), "config", "-z", "--get-regexp", r"^remote\..*\.url$").stdout
    for entry in listed.decode(errors="surrogateescape").split("\0"):
        key, _, url = entry.partition("\n")
        if url and project_name(url, Path("-")) == project_name(remote, Path("-")):
            name = key.removeprefix("remote.").removesuffix(".url")
            return None if name.startswith("-") else name
    return None


def _is_shallow(top: Path) -> bool:
    return git(str(top), "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"


def _how_to_get(top: Path, code: Code, wanted: str, branches: Sequence[str]) -> str:
    what = f"its commit {wanted} is not in {top}"
    if code.snapshot and code.commit and _is_here(top, code.commit):
        what = f"its tree differed from the commit {code.commit[:10]}, and {wanted}, which has it, is not in {top}"
    if code.remote is None:
        return f"{what}, and no remote to fetch it from was recorded; fetch it from the repository it was recorded in"
    if _known_remote(top, code.remote) is None:
        return f"{what}; if you trust {code.remote}, say 'git remote add NAME {code.remote}' and repeat this"
    there = ""
    if code.snapshot and branches:
        usual, other = branches
        there = (
            f"'git push {code.remote} {usual}' where it was recorded brings it there (or {other}, if it is called so)"
        )
    shallow = "; this clone is shallow: 'git fetch --unshallow'" if _is_shallow(top) else ""
    return f"{what}, and {code.remote} did not give it{'; ' if there else ''}{there}{shallow}"


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it did not say why"
