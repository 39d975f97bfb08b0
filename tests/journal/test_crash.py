"""Whenever a recording process dies: every call that had returned is there, and the rest is whole."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest


def crash(folder: Path, kills: int) -> dict[str, int]:
    seed = random.randrange(2**32)
    command = [sys.executable, str(Path(__file__).with_name("crashing.py")), str(folder), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=folder)
    assert done.returncode == 0, f"seed {seed}:\n{done.stdout}\n{done.stderr}"
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_kill_9_at_200_random_moments_loses_nothing(tmp_path: Path) -> None:
    assert crash(tmp_path, 200)["kills"] == 200


@pytest.mark.soak
def test_kill_9_at_2000_random_moments_loses_nothing(tmp_path: Path) -> None:
    assert crash(tmp_path, 2_000)["kills"] == 2_000


def test_interrupts_at_150_random_moments_damage_nothing(tmp_path: Path) -> None:
    (tmp_path / ".cmf").mkdir()
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::ResourceWarning",
        str(Path(__file__).with_name("interrupted.py")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10, "hardly any call was interrupted, so this says nothing"
    told = subprocess.run([sys.executable, "-m", "cmf.cli", "fsck"], capture_output=True, text=True, cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    assert "the view shows what they say" in told.stdout
