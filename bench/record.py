"""Recording: what an execution costs whoever runs it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cmf
from bench.captured import Statement, capturing_writes, replay
from bench.figures import Figure, Section, median, p95
from bench.plan import Plan
from bench.turns import in_turns, timed
from bench.workshop import Workshop
from cmf import settings
from cmf.core.operations import Operation
from cmf.core.records import Stamp
from cmf.journal import Appended
from cmf.recording import close_repositories, open_repository
from cmf.repository import Repository
from cmf.series_file import series_file
from cmf.stores.sqlite import SqliteStore

_METRICS = {f"metric_{number}": number / 7 for number in range(10)}
_WARM_UP = 10


def measure(plan: Plan, workshop: Workshop) -> list[Section]:
    """Executions without and with git, and points."""
    section = Section(
        "Recording",
        "The limit of an execution is what it leaves behind, bare: the same bytes appended to a file with the same "
        "number of write and fdatasync calls, then the same rows put into SQLite in one transaction. "
        "The limit of a point is appending it to a list; a point is measured whole, with the journal and the view, to "
        "the end of its run. The file of a run's points is measured beside them.",
        [_executions(plan, workshop, "none"), _executions(plan, workshop, "git"), *_points(plan, workshop)],
    )
    close_repositories()
    return [section]


def _executions(plan: Plan, workshop: Workshop, versioning: str) -> Figure:
    timed_root, traced_root = (_clone(workshop, versioning) for _ in range(2))
    record = _recorder(timed_root)
    # What an execution writes is seen on a second clone, so that looking at it costs the first nothing.
    bare = _Bare(workshop.new_folder("bare"), open_repository(traced_root), _recorder(traced_root))
    for _ in range(_WARM_UP):
        record()
        bare.append(), bare.put_rows()
    actions = {"ours": timed(record), "append": bare.append, "rows": bare.put_rows}
    if versioning == "git":
        actions["git"] = timed(lambda: subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=timed_root, check=True))
    seconds = in_turns(plan.recordings, actions)
    bare.close()
    ours, append, rows = (1000 * median(seconds[name]) for name in ("ours", "append", "rows"))
    beside = (
        f"p95 {1000 * p95(seconds['ours']):.2f} ms; {bare.calls} × write and fdatasync {append:.2f} ms, "
        f"the rows in SQLite {rows:.2f} ms"
    )
    if "git" in seconds:
        beside += f"; one `git diff --quiet HEAD` {1000 * median(seconds['git']):.1f} ms"
    name = "an execution: 2 inputs, 1 output, 10 metrics" + (", with git" if versioning == "git" else "")
    return Figure(name, ours, "ms", append + rows, "" if versioning == "git" else "≤ 5 ms", beside)


def _clone(workshop: Workshop, versioning: str) -> Path:
    """A clone with three small files in it, a git repository too where that is asked for."""
    root = workshop.new_folder(f"clone-{versioning}")
    for name in ("a.csv", "b.csv", "model.bin"):
        (root / name).write_bytes(name.encode() * 500)
    if versioning == "git":
        for number in range(20):
            (root / f"module_{number}.py").write_text(f"VALUE = {number}\n")
        person = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
        for words in (["init", "-q"], ["add", "."], [*person, "commit", "-q", "-m", "all"]):
            subprocess.run(["git", *words], cwd=root, check=True)
    repository = Repository.create(root)
    settings.save(repository.folder / "config.toml", versioning=versioning)
    repository.close()
    return root


def _recorder(root: Path) -> Callable[[], None]:
    def record() -> None:
        with cmf.run("bench", "train", params={"C": 1.0, "seed": 7}, root=root) as run:
            run.input(root / "a.csv")
            run.input(root / "b.csv")
            run.metrics(**_METRICS)
            run.output(root / "model.bin", type="Model")

    return record


class _Bare:
    """Does what one execution more left behind, with nothing of ours: first the bytes, then the rows."""

    def __init__(self, folder: Path, traced: Repository, record: Callable[[], None]) -> None:
        self._traced, self._record = traced, record
        self._view = SqliteStore(folder / "view.db", durable=False)
        self._file = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._rows: list[Statement] = []
        self.calls = 0
        self._see()  # the first append has the header's line too, and the rows that all executions share
        self.put_rows()

    def append(self) -> float:
        """The bytes of an execution, call by call."""
        sizes = self._see()
        self.calls = len(sizes)
        began = time.perf_counter()
        for size in sizes:
            os.write(self._file, b"x" * size)
            os.fdatasync(self._file)
        return time.perf_counter() - began

    def put_rows(self) -> float:
        """The rows of the same execution, in one transaction."""
        return replay(self._view._writer, [("execute", "BEGIN IMMEDIATE", ()), *self._rows, ("execute", "COMMIT", ())])

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._file)
        self._view.close()

    def _see(self) -> list[int]:
        """Record an execution; → the bytes of each append. Its rows are kept at hand."""
        sizes: list[int] = []
        writer = self._traced._writer
        append = writer.append

        def watched(operations: list[Operation], stamps: list[Stamp] | None = None) -> Appended:
            appended = append(operations, stamps)
            sizes.append(appended.after.offset - appended.before.offset)
            return appended

        writer.append = watched  # type: ignore[method-assign,assignment]
        try:
            with capturing_writes(self._traced.view) as capturing:
                self._record()
        finally:
            writer.append = append  # type: ignore[method-assign]
        self._rows = [told for told in capturing.taken() if told[1] not in ("BEGIN IMMEDIATE", "COMMIT")]
        return sizes


def _points(plan: Plan, workshop: Workshop) -> list[Figure]:
    root = _clone(workshop, "none")
    repository = open_repository(root)
    since, key = repository.mark(), ""

    def record() -> float:
        nonlocal since, key
        since = repository.mark()
        with cmf.run("bench", "train", root=root) as run:
            key = run.key
            began = time.perf_counter()
            for step in range(plan.points):
                run.metric("loss", 1.0 / (step + 1), step=step)
        return time.perf_counter() - began

    def file() -> float:
        began = time.perf_counter()
        series_file(repository, key, since, root / "series.parquet")
        return time.perf_counter() - began

    def append() -> float:
        rows: list[tuple[int, float]] = []
        began = time.perf_counter()
        for step in range(plan.points):
            rows.append((step, 1.0 / (step + 1)))
        return time.perf_counter() - began

    seconds = in_turns(max(3, plan.turns), {"ours": record, "file": file, "list": append})
    each = {name: 1e6 * median(taken) / plan.points for name, taken in seconds.items()}
    beside = f"{plan.points:,} points of one series, written to the journal ten thousand at a time"
    size = (root / "series.parquet").stat().st_size / plan.points
    return [
        Figure("a point: `run.metric`", each["ours"], "µs", each["list"], "≤ 5 µs", beside),
        Figure("a point in the run's Parquet file", each["file"], "µs", beside=f"{size:.1f} bytes"),
    ]
