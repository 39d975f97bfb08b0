"""A new folder, in which a recorded execution can be run again: its code, its inputs, and a clone of its own.

What the re-run records goes to that clone's journal, so that the user's own holds what was done, not what was tried;
`cmf push` in the folder shares it all the same. The user's checkout, index, HEAD and files are not touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from cmf.core.errors import NotReproducible
from cmf.core.model import ArtifactType
from cmf.core.recipe import Item, Recipe
from cmf.places import FOLDER, KEPT
from cmf.repository import Repository
from cmf.reproducing.commands import Command, runnable
from cmf.reproducing.commits import add_worktree, branches_of, remove_worktree, top_of, tree_of
from cmf.reproducing.holdings import Holdings
from cmf.reproducing.laying import Laid, lay, make_room
from cmf.settings import save
from cmf.versioning.git_refs import branch_name

REPRODUCED = "reproduced"
"""The folder in `.cmf` under which new folders are made."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A folder in which an execution can be run again. `base` is where the clone's root is in it, `at` where to run."""

    recipe: Recipe
    folder: Path
    base: Path
    at: Path
    commit: str
    lacks: str
    command: Command
    inputs: tuple[Laid, ...]

    @property
    def missing(self) -> list[Laid]:
        """The inputs that are not there."""
        return [laid for laid in self.inputs if laid.state == "missing"]


def default_folder(repository: Repository, recipe: Recipe) -> Path:
    """Where to prepare an execution unless the user says where."""
    name = branch_name(recipe.pipeline or "run", recipe.stage or "run", recipe.execution).split("/")
    return repository.folder / REPRODUCED / f"{name[1]}-{name[2][:8]}"


def prepare(repository: Repository, recipe: Recipe, folder: Path, earlier: Sequence[Path] = ()) -> Prepared:
    """Make a new folder for an execution; on any failure there is none. `earlier` are trees that may have its inputs.

    Raises:
        NotReproducible: there is no commit or command, or the folder is there already.
        FileProblem: an input cannot be copied.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 (git wants it so; links are followed below)
    if not recipe.command:
        raise NotReproducible(f"{recipe.execution}: no command was recorded of it")
    top = top_of(repository.root)
    if os.path.lexists(folder):
        raise NotReproducible(
            f"{folder} is there already; name another with -o, or remove it with "
            f"'git -C {top} worktree remove --force {folder}'"
        )
    tree = tree_of(top, recipe.code, branches_of(recipe))
    add_worktree(top, folder, tree.commit)
    try:
        base = _base(repository, top, folder.resolve())
        wanted = [item for item in recipe.inputs if not _is_own(item)]
        with closing(_make_clone(repository, recipe, base)) as clone:
            inputs = lay(wanted, clone, repository, Holdings(repository, earlier))
            make_room([item for item in recipe.outputs if not _is_own(item)], clone)
        command = runnable(recipe.command, repository.root, base)
        at = _working_folder(base, recipe.working_folder)
    except BaseException:
        remove_worktree(top, folder)
        raise
    return Prepared(
        recipe=recipe,
        folder=folder,
        base=base,
        at=at,
        commit=tree.commit,
        lacks=tree.lacks,
        command=command,
        inputs=inputs,
    )


def _is_own(item: Item) -> bool:
    """Whether it is of cmf's own making, which a command does not read: an environment, metrics by their record."""
    return item.path.startswith(f"{KEPT}/") and ArtifactType.DATASLICE not in item.types


def _base(repository: Repository, top: Path, folder: Path) -> Path:
    """Where the clone's root is in a new tree of the repository that it lies in."""
    base = folder / repository.root.resolve().relative_to(top.resolve())
    if not base.resolve().is_relative_to(folder) or not base.is_dir():
        raise NotReproducible(f"the folder {base.relative_to(folder)} was not in the repository at that commit")
    return base.resolve()


def _make_clone(repository: Repository, recipe: Recipe, base: Path) -> Repository:
    if os.path.lexists(base / FOLDER):
        raise NotReproducible(f"the commit has a {FOLDER} in it, which is no part of code; nothing was prepared")
    clone = Repository.create(base, catch_up=False)
    ours = repository.settings
    settings = {"project": recipe.project or ours.project, "namespace": ours.namespace, "server": ours.server}
    save(base / FOLDER / "config.toml", **{name: value for name, value in settings.items() if value})
    _share_cache(repository, base)
    return clone


def _share_cache(repository: Repository, base: Path) -> None:
    """Let DVC in the new tree use the clone's cache: equal content is kept once, and `dvc` commands find it there."""
    root = repository.dvc_root
    if root is None:
        return
    config = base / os.path.relpath(root, repository.root) / ".dvc" / "config"
    local = config.with_name("config.local")
    if config.is_file() and config.resolve().is_relative_to(base.resolve()) and not os.path.lexists(local):
        local.write_text(f"[cache]\n    dir = {repository.cache.settings.folder.resolve()}\n", encoding="utf-8")


def _working_folder(base: Path, folder: str) -> Path:
    at = (base / folder).resolve()
    if not at.is_relative_to(base) or not at.is_dir():
        raise NotReproducible(f"it ran in the folder {folder!r}, which is not in the tree")
    return at


def discard(prepared: Prepared) -> None:
    """Remove a folder again, with all that is in it."""
    remove_worktree(prepared.folder, prepared.folder)


def mark(prepared: Prepared, again: Sequence[Recipe]) -> None:
    """Record of re-runs what they reproduce, in their own clone."""
    from cmf.core.operations import SetProperty

    repository = Repository.find(prepared.base)
    try:
        repository.record(
            [SetProperty(key=run.execution, name="reproduces", value=prepared.recipe.execution) for run in again]
        )
    finally:
        repository.close()
