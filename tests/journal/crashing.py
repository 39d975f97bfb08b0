"""Kill -9 a recording process again and again, and look what is left. Run as a program of its own.

    python crashing.py FOLDER KILLS SEED

It forks, so that a life costs milliseconds: the child records and acknowledges each call that returned, the
parent kills it at a random moment and then opens the clone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import NoReturn

import cmf
from cmf.core.store import Filters
from cmf.recording import close_repositories
from cmf.repository import Repository
from cmf.segments import JournalWarning, check


def main(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    (folder / "data.csv").write_text("1,2,3\n")
    acknowledged: list[list[str]] = []
    torn = 0
    for life in range(kills):
        acknowledged += live_and_die(folder, life, chance.uniform(0.0, 0.06))
        if not (folder / ".cmf").exists():  # it had not even begun
            assert not acknowledged
            continue
        with warnings.catch_warnings(record=True) as notices:
            warnings.simplefilter("always")
            repository = Repository.find(folder)
        torn += sum(issubclass(notice.category, JournalWarning) for notice in notices)
        look(repository, acknowledged)
        if life % 25 == 24 or life == kills - 1:
            kept = repository.view.state()
            repository.rebuild()
            assert repository.view.state() == kept, "the view differs from a rebuild"
        repository.close()
        acknowledged = acknowledged[-40:]  # what older lives left was looked at when they ended
    print(json.dumps({"kills": kills, "seed": seed, "torn": torn}))


def live_and_die(folder: Path, life: int, seconds: float) -> list[list[str]]:
    """Let a child record for a while; → what it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        record(folder, life, writing)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as acknowledgements:
        return [json.loads(line) for line in acknowledgements if line.endswith("\n")]


def record(folder: Path, life: int, writing: int) -> NoReturn:
    def acknowledge(*facts: str) -> None:
        os.write(writing, json.dumps(facts).encode() + b"\n")

    close_repositories()
    number = 0
    while True:
        number += 1
        with cmf.run("crash", "stage", params={"life": life, "number": number}, root=folder) as run:
            acknowledge("start", run.key)
            used = run.input(folder / "data.csv")
            acknowledge("use", run.key, used.key)
            run.set(text="x" * 3_000)
            acknowledge("property", run.key)
            metrics = run.metrics(loss=float("nan"), number=number)
            acknowledge("use", run.key, metrics.key)
        acknowledge("end", run.key)


def look(repository: Repository, acknowledged: list[list[str]]) -> None:
    """That everything acknowledged is there, and the journal is whole."""
    damage = list(check(repository.segments))
    assert not damage, damage
    for what, key, *rest in acknowledged:
        detail = repository.view.detail(key, 10)
        assert detail is not None, f"{what} of {key} was acknowledged and is gone"
        ends = {edge.source for edge in detail.uses} | {edge.target for edge in detail.uses}
        assert set(rest) <= ends, f"a use of {key} was acknowledged and is gone"
        if what == "property":
            assert len(str(detail.node.properties["text"])) == 3_000
        if what == "end":
            assert getattr(detail.node, "status", None) == "complete"
    assert repository.view.list_nodes("execution", Filters(), 1, None).total >= len(
        {key for what, key, *_ in acknowledged if what == "start"}
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
