"""Capture: what versions of code and data cost, on top of the record of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cmf
from bench.figures import Figure, Section, median, p95
from bench.plan import Plan
from bench.turns import in_turns, timed
from bench.workshop import Workshop
from cmf.recording import close_repositories
from cmf.repository import Repository
from cmf.versioning.cache import Cache, CacheSettings
from cmf.versioning.content import read_file
from cmf.versioning.contents import Contents
from cmf.versioning.dvc_setup import set_up
from cmf.versioning.states import States

_METRICS = {f"metric_{number}": number / 7 for number in range(10)}
_MIB = 1 << 20


def measure(plan: Plan, workshop: Workshop) -> list[Section]:
    """Executions with git and DVC, in a small and a large tree; large files; folders of many files."""
    executions = Section(
        "Recording with git and DVC",
        "The limit is one process of `git status` in the same tree, and six appends with an fdatasync each.",
        [_executions(plan, workshop, 20), _executions(plan, workshop, plan.tree_files)],
    )
    files = Section(
        "Hashing and keeping files",
        "The limit of a file is reading it once for its md5 alone, in one thread; of a folder that did not change, "
        "listing it and asking for the state of each file.",
        [_large_file(plan, workshop, keep=False), _large_file(plan, workshop, keep=True), _folder(plan, workshop)],
    )
    return [executions, files]


def _executions(plan: Plan, workshop: Workshop, files: int) -> Figure:
    root = _repository(workshop.new_folder("tree"), files)
    taken: list[float] = []
    for number in range(plan.captured):
        (root / "model.bin").write_bytes(b"%d" % number * 500)
        began = time.perf_counter()
        _record(root)
        taken.append(time.perf_counter() - began)
    close_repositories()
    log = os.open(root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    status = ["git", "--no-optional-locks", "status", "--porcelain=v2", "-z", "--untracked-files=all"]
    bare = in_turns(
        max(3, plan.captured // 20),
        {
            "status": timed(lambda: subprocess.run(status, cwd=root, check=True, capture_output=True)),
            "appends": timed(lambda: [(os.write(log, b"x" * 500), os.fdatasync(log)) for _ in range(6)]),
        },
    )
    os.close(log)
    status_ms, appends_ms = (1000 * median(bare[name]) for name in ("status", "appends"))
    some = max(1, len(taken) // 10)
    first, last = (1000 * median(part) for part in (taken[1 : some + 1] or taken, taken[-some:]))
    return Figure(
        f"an execution in a tree of {files:,} files",
        1000 * median(taken),
        "ms",
        status_ms + appends_ms,
        "≤ 40 ms, flat",
        f"{plan.captured:,} of one process: the first {1000 * taken[0]:.0f} ms, then {first:.1f} ms, the last "
        f"{some} {last:.1f} ms; p95 {1000 * p95(taken):.1f} ms; `git status` {status_ms:.1f} ms",
    )


def _record(root: Path) -> None:
    with cmf.run("bench", "train", params={"C": 1.0, "seed": 7}, root=root) as run:
        run.input(root / "a.csv")
        run.input(root / "b.csv")
        run.metrics(**_METRICS)
        run.output(root / "model.bin", type="Model")


def _repository(root: Path, files: int) -> Path:
    """A git repository with DVC set up, a hundred files to a folder."""
    for start in range(0, files, 100):
        folder = root / "package" / f"part_{start // 2500}" / f"module_{start // 100}"
        folder.mkdir(parents=True)
        for number in range(start, min(files, start + 100)):
            (folder / f"file_{number}.py").write_text(f"VALUE = {number}\n")
    set_up(root, in_git=True)
    person = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "-q"], ["add", "."], [*person, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    for name in ("a.csv", "b.csv"):
        (root / name).write_bytes(name.encode() * 500)
    Repository.create(root).close()
    return root


def _large_file(plan: Plan, workshop: Workshop, *, keep: bool) -> Figure:
    folder = workshop.new_folder("large")
    file = folder / "large.bin"
    block = os.urandom(_MIB)
    with file.open("wb") as out:
        for number in range(plan.large_mib):
            out.write(number.to_bytes(8) + block[8:])
    cache = Cache(CacheSettings(folder / "cache"))

    def ours() -> float:
        began = time.perf_counter()
        if keep:
            digests, _ = cache.add_file(file, sha256=True)
        else:
            digests, _ = read_file(file, sha256=True)
        taken = time.perf_counter() - began
        if keep:
            cache.path(digests.md5).unlink()
        return taken

    seconds = in_turns(plan.turns, {"bare": timed(lambda: _bare_md5(file)), "ours": ours})
    cache.close()
    workshop.drop(folder)
    bare, mine = (plan.large_mib / median(seconds[name]) for name in ("bare", "ours"))
    name = f"a file of {plan.large_mib:,} MiB: md5 and sha256"
    target = "" if keep else "≥ 90 % of bare md5"
    return Figure(name + (", kept in the cache" if keep else ""), mine, "MiB/s", bare, target)


def _bare_md5(file: Path) -> None:
    md5 = hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(_MIB))
    with file.open("rb", buffering=0) as source:
        while count := source.readinto(buffer):
            md5.update(buffer[:count])


def _folder(plan: Plan, workshop: Workshop) -> Figure:
    folder = workshop.new_folder("folder")
    data = folder / "data"
    for number in range(plan.folder_files):
        part = data / f"{number % 100:02}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{number}.txt").write_bytes(b"%d" % number * 400)
    time.sleep(0.1)
    cache = Cache(CacheSettings(folder / "cache"))
    states = States(folder / "states.db")
    contents = Contents(states, cache, root=folder, sha256=True)
    began = time.perf_counter()
    contents.at(data)
    first = time.perf_counter() - began
    seconds = in_turns(max(3, plan.turns), {"ours": timed(lambda: contents.at(data)), "bare": _listing(data)})
    states.close()
    cache.close()
    workshop.drop(folder)
    again, bare = (1000 * median(seconds[name]) for name in ("ours", "bare"))
    return Figure(
        f"a folder of {plan.folder_files:,} files, unchanged",
        again,
        "ms",
        bare,
        "≤ 5 % of the first time",
        f"the first time {first:.2f} s, hashed and kept; the second time {again / first / 10:.1f} % of that",
    )


def _listing(folder: Path) -> Callable[[], float]:
    def listed() -> None:
        waiting = [os.fspath(folder)]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        entry.stat()

    return timed(listed)
