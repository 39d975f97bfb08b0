"""The project of a pipeline that was written for cmflib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from migrated import make_project


@pytest.fixture(params=["plain", "git", "git and dvc"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """By itself, in a git repository, and in one where DVC is set up. None of them has a remote."""
    root = tmp_path / "project"
    make_project(root)
    if request.param == "plain":
        return root
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ana")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ana@example.org")
    commands = [["git", "init", "--quiet", "--initial-branch", "main"]]
    if request.param == "git and dvc":
        commands.append([sys.executable, "-m", "dvc", "init", "--quiet"])
    commands += [["git", "add", "*.py"], ["git", "commit", "--quiet", "--message", "start"]]
    for command in commands:
        subprocess.run(command, cwd=root, check=True, timeout=120)
    return root
