"""What the suites of tracking share: a clone to work in, and what it holds of executions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import Recorded

from cmf.recording import close_repositories


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "digits"
    (root / ".cmf").mkdir(parents=True)
    monkeypatch.chdir(root)
    yield root
    close_repositories()


@pytest.fixture
def recorded(clone: Path) -> Recorded:
    return Recorded(clone)
