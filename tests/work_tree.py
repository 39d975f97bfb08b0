"""A git repository to record in, with DVC set up or not, and the real programs to judge what was done to it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

DVC = Path(sys.executable).with_name("dvc")

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


class WorkTree:
    """A folder under git."""

    def __init__(self, folder: Path, *, dvc: bool = True, commit: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        if dvc:
            self.dvc("init", "-q")
        (folder / "train.py").write_text("print('training')\n")
        if commit:
            self.git("add", "-A")
            self.git("commit", "-qm", "first")

    def git(self, *arguments: str, check: bool = True) -> str:
        return self._run("git", *arguments, check=check)

    def dvc(self, *arguments: str) -> str:
        return self._run(os.fspath(DVC), *arguments)

    def run_branches(self) -> dict[str, str]:
        """The branches of runs, and their commits."""
        lines = self.git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/cmf").splitlines()
        return dict(line.split(" ") for line in lines)

    def untouched(self) -> dict[str, object]:
        """All that recording must leave as it is."""
        folder = Path(self.git("rev-parse", "--absolute-git-dir"))
        files = {name: _sum(folder / name) for name in ("HEAD", "index", "config", "ORIG_HEAD", "logs/HEAD")}
        refs = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return {
            **files,
            "stash": self.git("stash", "list"),
            "refs": [ref for ref in refs if not ref.startswith("refs/heads/cmf/")],
            "locks": [str(lock) for lock in folder.rglob("*.lock")],
            "hooks": sorted((hook.name, _sum(hook)) for hook in (folder / "hooks").glob("*")),
        }

    def status(self) -> list[str]:
        return self.git("--no-optional-locks", "status", "--porcelain", "--untracked-files=all").splitlines()

    def _run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, cwd=self.folder, env=os.environ | QUIET, capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout.rstrip("\n")


def _sum(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
