"""What the suites of tracking share: a clone to work in, and what it holds of executions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import Recorded

from cmf.recording import close_repositories
from cmf.repository import Repository


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "digits"
    root.mkdir()
    Repository.create(root).close()  # with its view, which two processes cannot make at the same moment
    monkeypatch.chdir(root)
    yield root
    close_repositories()


@pytest.fixture
def recorded(clone: Path) -> Recorded:
    return Recorded(clone)
