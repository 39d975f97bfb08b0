"""The points of a run as one Parquet file: all of them, the same bytes each time, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pytest
from pyarrow import parquet

import cmf
from cmf import series_file as module
from cmf.core.errors import FileProblem
from cmf.core.model import Point
from cmf.core.values import from_json
from cmf.recording import Run, close_repositories, open_repository
from cmf.series_file import INEXACT, SeriesWarning, read_series, series_file


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".cmf").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def filed(clone: Path, record: Callable[[Run], None], name: str = "series.parquet") -> Path | None:
    repository = open_repository(clone)
    since = repository.mark()
    with cmf.run("digits", "train", root=clone) as run:
        record(run)
    return series_file(repository, run.key, since, clone / name)


def read(path: Path | None, series: str | None = None) -> list[tuple[str, Point]]:
    assert path is not None
    return list(read_series(path, series))


def test_every_point_is_in_the_file_by_series_in_the_order_of_its_recording(clone: Path) -> None:
    def record(run: Run) -> None:
        for step in range(25_000):
            run.metric('loss/é"\n'[:7], step / 7, step=step)
            if step % 1_000 == 0:
                run.metric("accuracy", step, step=25_000 - step)
                run.set(step=step)
        run.metric("odd", float("nan"))
        run.metric("odd", float("-inf"), step=3)

    filed(clone, lambda run: run.metric("loss", 99.0))  # of another run, before it in the same segment
    path = filed(clone, record)
    found = read(path)
    assert [name for name, _ in found[:25]] == ["accuracy"] * 25
    assert [point.step for _, point in found[:25]] == [25_000 - step for step in range(0, 25_000, 1_000)]
    assert [point[::2] for _, point in found[25:-2]] == [(step, step / 7) for step in range(25_000)]
    assert [(p.step, str(from_json(p.value))) for _, p in found[-2:]] == [(None, "nan"), (3, "-inf")]  # type: ignore[arg-type]
    graph = [row for chunk in open_repository(clone).view.points(run_of(clone), "accuracy") for row in chunk]
    assert [row[0] for row in graph] == [point.step for _, point in read(path, "accuracy")]
    assert [round(row[1] * 1e6) for row in graph] == [round(point.time * 1e6) for _, point in read(path, "accuracy")]
    assert path and pyarrow.types.is_timestamp(parquet.read_schema(path).field("time").type)


def run_of(clone: Path) -> str:
    from cmf.core.store import Filters

    return open_repository(clone).view.list_nodes("execution", Filters(), 1, None).items[0].key


def test_equal_points_give_equal_bytes_whatever_chunks_they_came_in(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for number, every in enumerate((1, 7, 10_000)):
        times = iter(range(300))
        monkeypatch.setattr("cmf.points.time", SimpleNamespace(time=lambda times=times: 1.7e9 + next(times)))

        def record(run: Run, every: int = every) -> None:
            for step in range(300):
                run.metric("b" if step % 3 else "a", step / 3, step=step)
                if step % every == 0:
                    run.set(step=step)  # writes the points gathered so far, too

        paths.append(filed(clone, record, f"{number}.parquet"))
        monkeypatch.undo()
    assert len({path.read_bytes() for path in paths if path}) == 1
    assert len(read(paths[0])) == 300


def test_points_of_forked_children_are_in_the_file(clone: Path) -> None:
    def record(run: Run) -> None:
        run.metric("loss", -1.0, step=0)
        for number in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for step in range(40):
                        run.metric("loss", number, step=step)
                    run.set(**{f"child{number}": True})
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
        run.metric("loss", -2.0, step=1)

    values = [point.value for _, point in read(filed(clone, record))]
    assert values[:2] == [-1.0, -2.0]
    assert sorted(values) == sorted([-1.0, -2.0, *[0.0] * 40, *[1.0] * 40, *[2.0] * 40])  # type: ignore[type-var]


def test_integers_that_a_float_cannot_hold_are_rounded_and_counted(clone: Path) -> None:
    def record(run: Run) -> None:
        for value in (2**53, 2**53 + 1, -(2**70) - 1, 7):
            run.metric("count", value)

    path = filed(clone, record)
    assert [from_json(p.value) for _, p in read(path)] == [2.0**53, 2.0**53, -(2.0**70), 7.0]  # type: ignore[arg-type]
    assert path and parquet.read_metadata(path).metadata[INEXACT.encode()] == b"2"


def test_a_run_without_points_makes_no_file(clone: Path) -> None:
    def record(run: Run) -> None:
        run.set(text='{"is":"PutPoints"}' + run.key)

    assert filed(clone, record) is None
    assert not (clone / "series.parquet").exists()


def test_without_pyarrow_there_is_one_warning_and_the_points_are_in_the_graph(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(module, "_warned", False)
    with pytest.warns(SeriesWarning, match=r"pip install 'cmf-lineage\[pandas\]'"):
        assert filed(clone, lambda run: run.metric("loss", 0.5)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert filed(clone, lambda run: run.metric("loss", 0.5)) is None
    assert cmf.query().series(run_of(clone))[0].total == 1


def test_what_cannot_be_written_or_read_is_named_and_leaves_nothing(clone: Path) -> None:
    with pytest.raises(FileProblem, match="missing/series.parquet"):
        filed(clone, lambda run: run.metric("loss", 0.5), "missing/series.parquet")
    (clone / "text").write_text("no Parquet")
    other = clone / "other.parquet"
    parquet.write_table(pyarrow.table({"a": [1]}), other)
    for path, problem in ((clone / "text", "cannot be read as Parquet"), (other, "its columns are others")):
        with pytest.raises(FileProblem, match=problem):
            read(path)
    with pytest.raises(FileProblem, match="No such file"):
        read(clone / "nothing")


def test_a_million_points_take_little_memory(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
import cmf, pyarrow.parquet
from cmf.recording import open_repository
from cmf.series_file import series_file
root = Path(sys.argv[1]); (root / ".cmf").mkdir()
repository = open_repository(root); since = repository.mark()
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with cmf.run("a", "b", root=root) as run:
    before = peak()
    for step in range(int(sys.argv[2])):
        run.metric("loss", 1.0 / (step + 1), step=step)
recorded = peak()
path = series_file(repository, run.key, since, root / "series.parquet")
print(pyarrow.parquet.read_metadata(path).num_rows, recorded - before, peak() - recorded)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "1000000"], capture_output=True, text=True, check=True
    )
    rows, recording, filing = map(float, done.stdout.split())
    assert rows == 1_000_000
    assert recording < 150, "SQLite's cache is 64 MiB of it"
    assert filing < 100
    close_repositories()
