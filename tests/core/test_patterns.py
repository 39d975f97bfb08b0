"""Patterns of paths mean what they mean to git, which is the judge here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cmf.core.errors import InvalidValue
from cmf.core.patterns import Patterns

PATHS = [
    "a.log", "b/a.log", "b/c/a.log", "b/keep.log", "raw/x.csv", "b/raw/x.csv", "raw", "b/x.csv", "b/c/d/x.csv",
    "log/a", "data[1].csv", "data1.csv", "a?b", "aXb", "a/b", "é.csv", "b/#x", "#x", "!x", "sp ace", "new\nline.log",
]  # fmt: skip


@pytest.mark.parametrize(
    "patterns",
    [
        ["*.log"], ["/a.log"], ["b/*.log"], ["*.log", "!keep.log"], ["!keep.log", "*.log"], ["raw/"], ["/raw/"],
        ["raw"], ["**/x.csv"], ["b/**"], ["b/**/x.csv"], ["/b/*"], ["data[1].csv"], ["data[!2].csv"], ["a?b"],
        ["data[0-9].csv"], ["\\#x"], ["\\!x"], ["#x"], [""], ["sp ace"], ["**"], ["*"], ["/"], ["b/c"], ["?.log"],
        ["a\\?b"], ["data\\[1\\].csv"], ["**/raw"], ["b/**/"], ["*.csv", "!b/*.csv"],
    ],
)  # fmt: skip
def test_patterns_match_what_git_ignores(tmp_path: Path, patterns: list[str]) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(patterns))
    found = Patterns(patterns)
    assert [path for path in PATHS if found.matches(path)] == ignored(tmp_path)


def ignored(root: Path) -> list[str]:
    asked = "\0".join(PATHS).encode()
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"], cwd=root, input=asked, capture_output=True
    )
    return [path.decode() for path in done.stdout.split(b"\0") if path]


def test_a_pattern_that_means_nothing_is_refused() -> None:
    with pytest.raises(InvalidValue, match="is no pattern of paths"):
        Patterns(["[z-a]"])
