"""Programs as written for cmflib, run here as real processes with nothing but their import lines changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "compat" / "pipeline"
STAGES = ("prepare", "featurize", "train", "evaluate")
CHANGES = {"from cmflib import cmf\n": "import cmf\n", "from cmflib import cmfquery\n": "from cmf import cmfquery\n"}


def migrated(program: str) -> str:
    """A program whose import lines were changed."""
    text = (PROGRAMS / f"{program}.py").read_text()
    for before, after in CHANGES.items():
        text = text.replace(before, after)
    assert not re.search(r"^\s*(from|import) cmflib", text, re.MULTILINE)
    return text


def make_project(root: Path) -> None:
    """The files that the pipeline begins with."""
    (root / "data").mkdir(parents=True)
    (root / "data" / "raw.csv").write_text("".join(f"{n},{n * n}\n" for n in range(1, 9)))
    (root / "data" / "labels.csv").write_text("0\n1\n")
    for program in (*STAGES, "questions"):
        (root / f"{program}.py").write_text(migrated(program))


def run_program(program: str, at: Path) -> Any:
    """What the program says, as JSON; it neither fails nor warns."""
    done = subprocess.run(
        [sys.executable, "-W", "error", f"{program}.py"], cwd=at, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return json.loads(done.stdout)
