"""Kill -9 a process that records with git and DVC, again and again, and look what is left. A program of its own.

    python crashing.py FOLDER KILLS SEED

FOLDER is a repository with DVC set up. The child acknowledges each call that returned; the parent kills it at a
random moment, and then everything that the journal names must be there: bytes, commits, .dvc files.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import cmf
from cmf.recording import close_repositories
from cmf.repository import Repository


def main(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    (folder / "in.csv").write_text("1,2\n")
    (folder / "images").mkdir()
    for i in range(5):
        (folder / "images" / str(i)).write_text(str(i))
    seen: set[str] = set()
    for life in range(kills):
        acknowledged = live_and_die(folder, life, chance.uniform(0.0, 0.1), wait=life % 3 != 0)
        seen |= look(folder, acknowledged, seen)
    (folder / "model.bin").write_text("last")
    with cmf.run("digits", "last") as run:  # the next run works, and tidies up
        run.output("model.bin")
    close_repositories()
    locks = list((folder / ".git").rglob("*.lock"))
    left = list((folder / ".git" / "cmf-scratch").iterdir())
    left += list((folder / ".cmf" / "scratch").iterdir()) + list((folder / ".dvc/cache/cmf-scratch").iterdir())
    left = [folder for folder in left if list(folder.iterdir())]  # an empty one is removed a minute after it was made
    assert not locks and not left, (locks, left)
    fsck = subprocess.run(["git", "fsck", "--no-dangling"], cwd=folder, capture_output=True, text=True)
    assert fsck.returncode == 0 and not fsck.stderr, fsck.stderr
    print(json.dumps({"kills": kills, "uses": len(seen)}))


def live_and_die(folder: Path, life: int, seconds: float, wait: bool) -> set[str]:
    """Let a child record for a while, or for a while from its first call on; → the uses that it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        record(folder, life, writing)
    os.close(writing)
    if wait:
        select.select([reading], [], [], 60)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as lines:
        return {line.strip() for line in lines if line.endswith("\n")}


def record(folder: Path, life: int, acknowledge: int) -> NoReturn:
    os.chdir(folder)
    for number in range(1_000_000):
        with cmf.run("digits", "train") as run:
            os.write(acknowledge, f"{run.input('in.csv').key} {run.key}\n".encode())
            os.write(acknowledge, f"{run.input('images').key} {run.key}\n".encode())
            Path("model.bin").write_bytes(b"%d %d" % (life, number) * 1000)
            os.write(acknowledge, f"{run.output('model.bin', type='Model').key} {run.key}\n".encode())
            run.metrics(accuracy=number)
    os._exit(0)


def look(folder: Path, acknowledged: set[str], seen: set[str]) -> set[str]:
    """Whatever is named is there; → the uses that were looked at."""
    repository = Repository.find(folder)
    state = repository.view.state()
    uses = {key: use for key, use in state.uses.items() if key not in seen}
    named = {f"{use.artifact} {use.execution}" for use in state.uses.values()}
    assert acknowledged <= named, f"acknowledged, but not recorded: {acknowledged - named}"
    cache = repository.cache
    wanted: list[str] = []
    for key, use in uses.items():
        if not use.artifact.startswith("md5:"):
            continue
        md5 = use.artifact[4:]
        assert hashlib.md5(cache.path(md5).read_bytes()).hexdigest() == md5.removesuffix(".dir"), use
        if md5.endswith(".dir"):
            assert all(cache.has(entry["md5"]) for entry in json.loads(cache.path(md5).read_bytes())), use
        wanted.append(f"{state.commits[key].value}:{use.path}.dvc")
    asked = "".join(f"{name}\n" for name in wanted)
    command = ["git", "cat-file", "--batch-check"]
    answers = subprocess.run(command, cwd=folder, input=asked, capture_output=True, text=True, check=True).stdout
    assert all(" blob " in line for line in answers.splitlines()), answers
    repository.close()
    return set(uses)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
