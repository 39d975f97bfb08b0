"""The command line as people meet it: real processes, in a small clone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cmf
from cmf.recording import close_repositories

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs `cmf` with arguments in a folder; whatever happens, it shows no traceback."""

    def run(*arguments: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cmf.cli", *arguments]
        done = subprocess.run(
            command, cwd=at, env=environment | variables, capture_output=True, text=True, encoding="utf-8", timeout=120
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    return run


@pytest.fixture
def environment(_own_home: None) -> dict[str, str]:
    """That of the tests, without what would change the output or the way to a local server."""
    unwanted = ("COLUMNS", "FORCE_COLOR", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A clone in which three stages ran.

    train.csv → digits/prepare → train.npz → digits/train → model.pkl → digits/evaluate (failed)
                                                          ↘ metrics, series.parquet
    """
    root = tmp_path / "clone"
    (root / ".cmf").mkdir(parents=True)
    for name in ("train.csv", "train.npz", "model.pkl"):
        (root / name).write_text(name)
    with cmf.run("digits", "prepare", params={"seed": 7}, root=root) as prepare:
        prepare.input(root / "train.csv")
        prepare.output(root / "train.npz")
    with cmf.run("digits", "train", params={"C": float("inf"), "big": 2**60}, root=root) as train:
        train.input(root / "train.npz")
        train.output(root / "model.pkl", type="Model", framework="[bold]scikit[/bold] \x1b[31m")
        train.metrics(accuracy=0.97, loss=float("nan"))
        train.metric("loss", 0.5, step=1)
    with pytest.raises(ValueError, match="no test data"), cmf.run("digits", "evaluate", root=root) as evaluate:
        evaluate.input(root / "model.pkl")
        raise ValueError("no test data")
    close_repositories()
    yield root
    close_repositories()
