"""Whenever a process dies between hashing, cache, git and journal: what is named is there, and the next run works."""

from __future__ import annotations

from pathlib import Path

import pytest
from crashes import crash
from work_tree import WorkTree

CRASHING = Path(__file__).with_name("crashing.py")


def test_kill_9_at_150_random_moments_leaves_nothing_named_that_is_not_there(tree: WorkTree) -> None:
    assert crash(CRASHING, tree.folder, 150)["uses"] > 150


@pytest.mark.soak
def test_kill_9_at_1500_random_moments_leaves_nothing_named_that_is_not_there(tree: WorkTree) -> None:
    assert crash(CRASHING, tree.folder, 1_500)["uses"] > 1_500
