"""A folder in which somebody types commands, and a pipeline to run in it, each command a real process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

Done = subprocess.CompletedProcess[str]

PREPARE = """
import cmf
with cmf.run("digits", "prepare") as run:
    run.input("raw.txt")
    text = open("raw.txt").read()
    open("train.txt", "w").write(text.upper())
    run.output("train.txt")
"""

TRAIN = """
import sys
import cmf
factor = int(sys.argv[1])
with cmf.run("digits", "train", params={"factor": factor}) as run:
    run.input("train.txt")
    model = open("train.txt").read() * factor
    open("model.txt", "w").write(model)
    run.metrics(length=len(model))
    run.output("model.txt", type="Model")
"""


@dataclass(frozen=True)
class Site:
    """A folder in which somebody types commands."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, at: str = ".", code: int | None = 0, **variables: str) -> Done:
        done = subprocess.run(
            arguments,
            cwd=self.folder / at,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "cmf/cli/" not in done.stderr, done.stderr  # a traceback of ours, not of the pipeline
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def cmf(self, *arguments: str, at: str = ".", code: int | None = 0, **variables: str) -> Done:
        return self.run(sys.executable, "-m", "cmf.cli", *arguments, at=at, code=code, **variables)

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return msgspec.json.decode(self.cmf(*arguments, "--json", code=code).stdout)

    def python(self, *arguments: str, at: str = ".", **variables: str) -> Done:
        return self.run(sys.executable, *arguments, at=at, **variables)

    def git(self, *arguments: str, code: int | None = 0) -> str:
        return self.run("git", *arguments, code=code).stdout

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def state(self) -> dict[str, object]:
        """What a command could touch of the user's: the tree, the index, HEAD, branches but those of runs."""
        tree = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not {".git", ".cmf"} & set(path.relative_to(self.folder).parts)
        }
        git = self.folder / ".git"
        heads = self.git("for-each-ref", "--format=%(refname) %(objectname)", "--exclude=refs/heads/cmf", code=None)
        return {"tree": tree, "index": (git / "index").read_bytes(), "HEAD": (git / "HEAD").read_text(), "refs": heads}
