"""Sites that share bytes through a folder, and the real `dvc` as a judge of what they leave there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sites import Run, record, take

from cmf.recording import close_repositories


@pytest.fixture
def environment(_own_home: None, tmp_path: Path) -> dict[str, str]:
    """That of the tests, with a name for commits, and nothing in the way to a local server."""
    kept = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy") and n != "PYTHONWARNINGS"}
    who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | who | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "dvc-site-cache")}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs a program in a folder; `ok=False` where it is to fail, with a line for a message and no traceback."""

    def run(*command: str, at: Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
        programs = {"cmf": [sys.executable, "-m", "cmf.cli"], "dvc": [sys.executable, "-m", "dvc"]}
        whole = [*programs.get(command[0], [command[0]]), *command[1:]]
        done = subprocess.run(whole, cwd=at, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        assert command[0] != "cmf" or "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def site(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone in git with a remote, in which one run read a file and a folder, and wrote a model.

    data/a.csv, data/img/ → train → model.pkl
    """
    root = tmp_path / "site"
    root.mkdir()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    run("git", "init", "-q", at=root)
    run("cmf", "init", "--artifacts", str(tmp_path / "share"), at=root)
    record(root)
    run("git", "add", "-A", at=root)
    run("git", "commit", "-qm", "first", at=root)
    yield root
    close_repositories()


@pytest.fixture
def clone(tmp_path: Path, site: Path, run: Run) -> Callable[[str], Path]:
    """Makes another clone of the site's repository, which knows what was recorded there, and has none of the bytes."""

    def clone(name: str) -> Path:
        root = tmp_path / name
        run("git", "clone", "-q", str(site), str(root), at=tmp_path)
        run("cmf", "init", at=root)
        pulled = root / ".cmf/journal/pulled"
        for segment in (site / ".cmf/journal").glob("*.jsonl"):
            take(segment, pulled)
        return root

    return clone
