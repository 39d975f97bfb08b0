"""What other tools really wrote: files of cmflib and ml-metadata, and pipelines that DVC runs."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmf.recording import close_repositories

HERE = Path(__file__).parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[str], Path]:
    """Makes the file that another tool wrote; see the scripts beside this file."""

    def unpack(name: str) -> Path:
        to = tmp_path / f"{name}.mlmd"
        to.write_bytes(gzip.decompress((HERE / f"{name}.mlmd.gz").read_bytes()))
        return to

    return unpack


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_repositories()


@pytest.fixture
def run(_own_home: None) -> Run:
    """Runs a program of this environment in a folder, or git; it must not fail unless it is told that it will."""
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    names = {"GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "ana@example.org"}
    names |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in names.items()}
    path = {"PATH": f"{programs}{os.pathsep}{kept['PATH']}", "DVC_NO_ANALYTICS": "1"}

    def run(*command: str, at: Path, fails: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        first = [sys.executable, "-m", "cmf.cli"] if command[0] == "cmf" else [command[0]]
        done = subprocess.run(
            [*first, *command[1:]],
            cwd=at,
            env=kept | names | path | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
