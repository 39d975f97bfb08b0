"""A repository with git and DVC, and the clone in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from work_tree import WorkTree

from cmf.recording import close_repositories


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkTree]:
    monkeypatch.setenv("CMF_ENVIRONMENT", "off")
    made = WorkTree(tmp_path / "work")
    monkeypatch.chdir(made.folder)
    yield made
    close_repositories()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to record in, without git, and to be in."""
    root = tmp_path / "clone"
    root.mkdir()
    monkeypatch.chdir(root)
    yield root
    close_repositories()
