"""Whenever a process dies between hashing, cache, git and journal: what is named is there, and the next run works."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from work_tree import WorkTree


def crash(folder: Path, kills: int) -> dict[str, int]:
    seed = random.randrange(2**32)
    command = [sys.executable, str(Path(__file__).with_name("crashing.py")), str(folder), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, cwd=folder)
    assert done.returncode == 0, f"seed {seed}:\n{done.stdout}\n{done.stderr}"
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_kill_9_at_150_random_moments_leaves_nothing_named_that_is_not_there(tree: WorkTree) -> None:
    assert crash(tree.folder, 150)["uses"] > 150


@pytest.mark.soak
def test_kill_9_at_1500_random_moments_leaves_nothing_named_that_is_not_there(tree: WorkTree) -> None:
    assert crash(tree.folder, 1_500)["uses"] > 1_500
