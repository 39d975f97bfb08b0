"""A site: lives that record, push and are killed, one after the other or two at once. A program of its own.

    python site.py FOLDER

Each line on standard input is a mission as JSON, each on standard output what became of it. It forks, so that a life
costs milliseconds and whatever was open in it dies with it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx  # so that no life pays for it
import msgspec

import cmf
from cmf import sync
from cmf.core.errors import ServerProblem, ServerUnreachable
from cmf.recording import close_repositories
from cmf.remote import Remote
from cmf.repository import Repository

sys.path.insert(0, str(Path(__file__).parents[1]))
from faults.said import EVERYTHING, said

assert httpx


class Mission(msgspec.Struct, frozen=True):
    """One life, or several that push at once; with `kill_seconds`, killed so long after it began."""

    url: str
    seed: int
    size: int
    """How much to record: 0 nothing, 1 a little, 2 so much that it takes several chunks."""
    clock_seconds: int
    """How far the site's clock is ahead."""
    pushing: int = 1
    """How many processes push at once."""
    pulling: bool = False
    """Whether to pull all that anyone records, then."""
    kill_seconds: float | None = None


class Done(msgspec.Struct, frozen=True):
    """What became of a mission: how each life ended, and the executions that were acknowledged."""

    ends: list[str]
    acknowledged: list[str]


def main(folder: Path) -> None:
    real = time.time_ns
    sync.CHUNK_BYTES = 1 << 18  # so that few records are several chunks
    for line in sys.stdin.buffer:
        mission = msgspec.json.decode(line, type=Mission)
        time.time_ns = lambda ahead=mission.clock_seconds: real() + ahead * 10**9  # type: ignore[misc]
        children = [Life(folder, mission, number) for number in range(max(1, mission.pushing))]
        if mission.kill_seconds is not None:
            time.sleep(mission.kill_seconds)
            for child in children:
                child.kill()
        found = [child.end() for child in children]
        acknowledged = [key for _, keys in found for key in keys]
        sys.stdout.buffer.write(msgspec.json.encode(Done([end for end, _ in found], acknowledged)) + b"\n")
        sys.stdout.buffer.flush()


class Life:
    """A forked child. Only the first of several records; the others push what there is."""

    def __init__(self, folder: Path, mission: Mission, number: int) -> None:
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._reading)
            _live(folder, mission, number, writing)
        os.close(writing)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def end(self) -> tuple[str, list[str]]:
        """How it ended, and what it acknowledged."""
        with os.fdopen(self._reading) as told:
            lines: list[dict[str, Any]] = [json.loads(line) for line in told if line.endswith("\n")]
        os.waitpid(self._pid, 0)
        ends = [line["end"] for line in lines if "end" in line]
        return (ends[0] if ends else "killed"), [line["key"] for line in lines if "key" in line]


def _live(folder: Path, mission: Mission, number: int, writing: int) -> NoReturn:
    def tell(**fact: str) -> None:
        os.write(writing, json.dumps(fact).encode() + b"\n")

    warnings.simplefilter("ignore")  # a torn last line, a clock that is years off
    try:
        chance = random.Random(mission.seed)
        if number == 0 and mission.size:
            for key in _record(folder, chance, mission.size):
                tell(key=key)
        repository = Repository.create(folder)
        end = "idle"
        if mission.pushing:
            sync.push(repository, Remote(mission.url))
            end = "pushed"
        if mission.pulling:
            sync.pull(repository, Remote(mission.url), EVERYTHING)
            end = "pulled"
        repository.close()
        tell(end=end)
    except ServerUnreachable as exc:
        tell(end=f"unreachable: {exc}")
    except ServerProblem as exc:
        tell(end=f"problem: {type(exc).__name__}: {exc}")
    except BaseException:
        tell(end=f"failed: {traceback.format_exc()}")
    os._exit(0)


def _record(folder: Path, chance: random.Random, size: int) -> Iterator[str]:
    """Record as a pipeline does, and operations of every kind; → each execution when its calls have returned."""
    Repository.create(folder).close()
    data = folder / f"data-{chance.randrange(4)}.csv"
    data.write_text(f"{chance.randrange(4)}\n")
    with cmf.run("digits", chance.choice(["prepare", "train"]), params={"C": chance.random()}, root=folder) as run:
        run.input(data)
        run.metric("loss", chance.random(), step=chance.randrange(9))
        run.set(note="x" * chance.randrange(9))
        run.metrics(accuracy=chance.random())
    close_repositories()
    yield run.key
    repository = Repository.create(folder)
    for _ in range(chance.randrange(1, 4)):
        key, operations = said(chance, bulky=size > 1)
        repository.record(operations)
        yield key
    repository.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
