"""A pipeline in a git repository of its own, run as its author would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typed import PREPARE, TRAIN, Site


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One in which nothing steers git, cmf or the output."""
    unwanted = ("COLUMNS", "FORCE_COLOR", "PYTHONWARNINGS", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    kept = {name: value for name, value in kept.items() if not name.startswith(("CMF_", "GIT_", "DVC_", "XDG_"))}
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@x"}
    settings = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return kept | who | settings | {"HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture
def make(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Site]:
    """Makes a site: an empty repository, or a clone of another."""

    def make(name: str, of: Site | None = None, *options: str) -> Site:
        here = Site(tmp_path, environment)
        if of is None:
            here.git("init", "--quiet", "--initial-branch=main", name)
        else:
            here.git("clone", "--quiet", *options, of.folder.as_uri(), name)
        return Site(tmp_path / name, environment)

    return make


@pytest.fixture
def site(tmp_path: Path, plain: Site) -> Site:
    """raw.txt → prepare → train.txt → train 3 → model.txt, of committed code; the data is in no commit.

    DVC is not set up, so that no bytes are kept but those in the tree.
    """
    return _copy(plain, tmp_path / "site")


@pytest.fixture
def with_dvc(tmp_path: Path, kept: Site) -> Site:
    """The same, with bytes kept in DVC's cache."""
    return _copy(kept, tmp_path / "site")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Site:
    """What `site` is a copy of."""
    return _ran(Site(tmp_path_factory.mktemp("plain"), environment), {".gitignore": "*.txt\n"})


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Site:
    """What `with_dvc` is a copy of."""
    files = {".dvc/config": "", ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n"}
    return _ran(Site(tmp_path_factory.mktemp("kept"), environment), files)


def _ran(site: Site, files: dict[str, str]) -> Site:
    for path, text in ({"prepare.py": PREPARE, "train.py": TRAIN} | files).items():
        site.write(path, text)
    site.git("init", "--quiet", "--initial-branch=main")
    site.git("add", ".")
    site.git("commit", "--quiet", "--message=The pipeline")
    site.write("raw.txt", "raw\n")
    site.python("prepare.py")
    site.python("train.py", "3")
    return site


def _copy(site: Site, folder: Path) -> Site:
    shutil.copytree(site.folder, folder, symlinks=True)
    return Site(folder, site.environment)
