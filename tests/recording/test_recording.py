"""Recording: what a run says of itself, and what it refuses; what was refused leaves no trace."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import cmf
from cmf.core.errors import CmfError, FileProblem, InvalidValue
from cmf.core.model import Artifact, Execution
from cmf.core.store import Filters
from cmf.core.values import from_json
from cmf.recording import open_repository
from cmf.repository import Repository
from cmf.segments import check
from cmf.versioning.git import project_name


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("1,2\n")
    return tmp_path


def executions(clone: Path) -> list[Execution]:
    view = open_repository(clone).view
    return [node for node in view.list_nodes("execution", Filters(), 100, None).items if isinstance(node, Execution)]


def everything(clone: Path) -> object:
    return open_repository(clone).view.state()


def test_a_run_is_recorded_whole(clone: Path) -> None:
    with cmf.run("digits", "train", params={"C": 1.0, "layers": [1, 2]}) as run:
        data = run.input("train.csv", rows=1)
        (clone / "model.pkl").write_bytes(b"weights")
        run.metric("loss", 0.5, step=0)
        run.metric("loss", float("nan"), step=1)
        metrics = run.metrics(accuracy=0.97, loss=float("inf"))
        model = run.output("model.pkl", type="Model", framework="scikit-learn")
        run.set(note="first")
    (execution,) = executions(clone)
    assert (execution.key, execution.status, execution.stage) == (run.key, "complete", "train")
    assert execution.parameters == {"C": 1.0, "layers": [1, 2]}
    assert execution.properties == {"note": "first"}
    assert (execution.series, execution.project) == (("loss",), clone.name)
    assert execution.started_at and execution.ended_at and execution.started_at < execution.ended_at
    assert execution.command[-1] == sys.orig_argv[-1]
    with cmf.run("digits", "evaluate") as later:
        assert later.input("model.pkl").types == ("Model",), "what is known as a model is not a dataset for being read"
    answer = cmf.query().lineage("model.pkl", "upstream")
    assert {node.key for node in answer.nodes} == {model.key, run.key, data.key}
    detail = cmf.query().show(metrics.key)
    assert isinstance(detail.node, Artifact) and detail.node.values
    assert {k: from_json(v) for k, v in detail.node.values.items()} == {"accuracy": 0.97, "loss": math.inf}
    assert cmf.query().show("train.csv").node.properties == {"rows": 1}


def test_a_failing_body_ends_the_execution_as_failed_and_the_error_goes_on(clone: Path) -> None:
    with pytest.raises(ValueError, match="no data"), cmf.run("digits", "train"):
        raise ValueError("no data\nat all")
    with pytest.raises(KeyboardInterrupt), cmf.run("digits", "train"):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit), cmf.run("digits", "train"):
        sys.exit(0)
    with pytest.raises(SystemExit), cmf.run("digits", "train"):
        sys.exit("no GPU")
    assert [(e.status, e.error) for e in reversed(executions(clone))] == [
        ("failed", "ValueError: no data"),
        ("aborted", "KeyboardInterrupt"),
        ("complete", "SystemExit: 0"),
        ("failed", "SystemExit: no GPU"),
    ]


@pytest.mark.parametrize("what", ["missing", "fifo", "socket", "device", "unreadable folder", "loop", "broken link"])
def test_what_cannot_be_read_is_an_error_that_names_it_and_leaves_no_trace(clone: Path, what: str) -> None:
    path = clone / "thing"
    match what:
        case "socket":
            made = socket.socket(socket.AF_UNIX)
            made.bind(os.fspath(path))
            made.close()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/null")
        case "unreadable folder":
            path.mkdir()
            (path / "pipe").symlink_to("/dev/zero")
        case "loop":
            path.mkdir()
            (path / "itself").symlink_to("itself")
        case "broken link":
            path.mkdir()
            (path / "link").symlink_to("nowhere")
    with cmf.run("digits", "train") as run:
        before = everything(clone)
        with pytest.raises(FileProblem) as caught:
            run.input(path)
        assert str(path) in str(caught.value)
        assert everything(clone) == before


def test_a_file_without_permission_is_named(clone: Path) -> None:
    """As another user: the tests may run as root, who may read anything."""
    (clone / "secret").write_text("x")
    (clone / "secret").chmod(0)
    for folder in (clone, *clone.parents[:3]):
        folder.chmod(0o777)
    code = f"""
import os
from cmf.versioning.contents import Contents
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
os.setuid(65534) if os.getuid() == 0 else None
Contents().at(Path({str(clone / "secret")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"FileProblem: {clone / 'secret'}: Permission denied" in done.stderr


def test_a_file_that_changes_while_it_is_hashed_is_refused(clone: Path) -> None:
    path = clone / "growing"
    path.write_bytes(b"0" * (64 << 20))
    stop = threading.Event()

    def write() -> None:
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(b"1")
                file.flush()
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    with cmf.run("digits", "train") as run:
        before = everything(clone)
        writer.start()
        try:
            with pytest.raises(FileProblem, match="changed while it was being read"):
                run.input(path)
        finally:
            stop.set()
            writer.join()
        assert everything(clone) == before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("", "train"), "the pipeline's name"),
        (("digits", "a\nb"), "the stage's name"),
        (("digits", 3), "must be text"),
    ],
)
def test_a_name_that_cannot_name_is_refused_before_anything_is_recorded(
    clone: Path, arguments: tuple[str, str], problem: str
) -> None:
    with pytest.raises(InvalidValue, match=problem):
        cmf.run(*arguments)
    assert executions(clone) == []


def test_values_that_cannot_be_recorded_are_refused_by_name(clone: Path) -> None:
    with pytest.raises(InvalidValue, match="parameter 'big' is 10.0 MiB"):
        cmf.run("digits", "train", params={"big": "x" * (10 << 20)})
    with pytest.raises(InvalidValue, match="parameter 'x' is a object"):
        cmf.run("digits", "train", params={"x": object()})
    with pytest.raises(InvalidValue, match="parameter values are names with values, as in a dict, and no list"):
        cmf.run("digits", "train", params=[1])  # type: ignore[arg-type]
    with cmf.run("digits", "train") as run:
        with pytest.raises(InvalidValue, match="metric 'loss': 'low' is no number"):
            run.metric("loss", "low")
        with pytest.raises(InvalidValue, match="property 'x'"):
            run.input("train.csv", x=object())
        with pytest.raises(InvalidValue, match="at least one value"):
            run.metrics()
        with pytest.raises(InvalidValue, match="is no key"):
            run.input("s3://bucket/x", version="no version")
    with pytest.raises(InvalidValue, match="not open"):
        run.input("train.csv")


def test_hostile_and_unusual_file_names_are_recorded_as_they_are(clone: Path) -> None:
    names = ['x"}) DETACH DELETE a', "new\nline", "-rf", "é" * 100, "quote'", "[bold]x"]
    with cmf.run("digits", "train") as run:
        for number, name in enumerate(names):
            Path(clone / name).write_text(str(number))
            run.input(name)
        Path(os.fsdecode(bytes(clone) + b"/\xff")).write_text("x")
        with pytest.raises(InvalidValue, match="not valid UTF-8"):
            run.input(os.fsdecode(b"\xff"))
    paths = {edge.path for edge in cmf.query().show(run.key).uses}
    assert paths == set(names)


def test_content_with_a_given_version_is_not_read(clone: Path) -> None:
    with cmf.run("digits", "train") as run:
        made = run.input("s3://bucket/data.parquet", version="etag:5d41402abc4b2a76-3")
    assert (made.key, made.name, made.size_bytes) == ("etag:5d41402abc4b2a76-3", "data.parquet", None)
    (edge,) = cmf.query().show(made.key).uses
    assert edge.url == "s3://bucket/data.parquet"


def test_points_reach_the_disk_within_a_second_or_so_and_with_every_other_call(clone: Path) -> None:
    with cmf.run("digits", "train") as run:
        run.metric("loss", 1.0)
        deadline = time.monotonic() + 10
        while not executions(clone)[0].series and time.monotonic() < deadline:
            time.sleep(0.05)
        assert executions(clone)[0].series == ("loss",)
        for step in range(2_500):
            run.metric("accuracy", step / 2_500, step=step)
        run.set(done=True)
        points = open_repository(clone).view.state().points
        rows = [row for (_, series, _), r in sorted(points.items()) if series == "accuracy" for row in r.value]
        assert [row[0] for row in rows] == list(range(2_500))  # type: ignore[index]


def test_points_that_could_not_be_written_stay_gathered() -> None:
    from cmf.core.errors import JournalUnwritable
    from cmf.core.operations import Operation, PutPoints
    from cmf.points import CHUNK_ROWS, PointBuffer

    written: list[Operation] = []
    full = True

    def record(operations: Sequence[Operation]) -> None:
        if full:
            raise JournalUnwritable(Path("journal"), "No space left on device")
        written.extend(operations)

    buffer = PointBuffer("execution:" + "0" * 32, record)
    for step in range(CHUNK_ROWS - 1):
        with suppress(JournalUnwritable):  # of the timer, when that takes more than a second
            buffer.add("loss", 0.5, step)
    for step in range(CHUNK_ROWS - 1, CHUNK_ROWS + 200):
        with pytest.raises(JournalUnwritable):
            buffer.add("loss", 0.5, step)
    full = False
    buffer.add("loss", 0.5, CHUNK_ROWS + 200)
    buffer.add("loss", 0.5, CHUNK_ROWS + 201)
    written.extend(buffer.close())
    puts = [put for put in written if isinstance(put, PutPoints)]
    assert [row[0] for put in puts for row in put.rows] == list(range(CHUNK_ROWS + 202))
    assert max(len(put.rows) for put in puts) <= CHUNK_ROWS
    assert len({put.chunk for put in puts}) == len(puts)


def test_points_that_trickle_share_chunks_and_each_telling_has_all_of_the_one_before(clone: Path) -> None:
    with cmf.run("digits", "train") as run:
        for step in range(50):
            run.metric("loss", step / 2, step=step)
            run.set(step=step)  # writes the points too
    chunks = {k[2]: r.value for k, r in open_repository(clone).view.state().points.items()}
    assert sorted(chunks) == [0, 1, 2, 3]
    assert [row[0] for chunk in sorted(chunks) for row in chunks[chunk]] == list(range(50))
    assert not list(check(open_repository(clone).segments))


def test_points_whose_telling_was_interrupted_behind_the_journal_are_not_there_twice() -> None:
    from cmf.core.delta import fold
    from cmf.core.operations import Operation
    from cmf.core.records import make_stamp
    from cmf.points import PointBuffer

    written: list[Operation] = []

    def record(operations: Sequence[Operation]) -> None:
        written.extend(operations)
        if len(written) == 1:
            raise KeyboardInterrupt

    buffer = PointBuffer("execution:" + "0" * 32, record)
    for step in range(100):
        buffer.add("loss", 0.5, step)
    with pytest.raises(KeyboardInterrupt):
        buffer.write()
    buffer.add("loss", 0.5, 100)
    buffer.write()
    stamped = [(make_stamp("2026-01-01T00:00:00.000000Z", "S", n), put) for n, put in enumerate(written, 1)]
    rows = [row for _, register in sorted(fold(stamped).points.items()) for row in register.value]
    assert [row[0] for row in rows] == list(range(101))


def test_an_execution_that_is_gone_on_with_by_its_name_keeps_the_points_that_it_has() -> None:
    from cmf.core.operations import PutPoints
    from cmf.points import PointBuffer

    puts: list[PutPoints] = []
    for step in range(2):
        buffer = PointBuffer("execution:" + "0" * 32, lambda operations: None, only_process=False)
        buffer.add("loss", 0.5, step)
        puts += buffer.close()
    assert len({put.chunk for put in puts}) == 2


@pytest.mark.parametrize("value", [True, "low", None, [1.0], {"a": 1}, 10**400, -(10**400)])
def test_a_point_that_is_no_number_of_a_chart_is_refused(clone: Path, value: object) -> None:
    with cmf.run("digits", "train") as run, pytest.raises(InvalidValue, match="metric 'loss'"):
        run.metric("loss", value)


def test_points_that_could_not_be_written_in_the_background_are_written_at_the_end() -> None:
    from cmf.core.errors import JournalUnwritable
    from cmf.core.operations import Operation
    from cmf.points import FLUSH_SECONDS, PointBuffer

    tried = threading.Event()

    def record(operations: Sequence[Operation]) -> None:
        tried.set()
        raise JournalUnwritable(Path("journal"), "No space left on device")

    buffer = PointBuffer("execution:" + "0" * 32, record)
    buffer.add("loss", 0.5, 0)
    assert tried.wait(20 * FLUSH_SECONDS)
    deadline = time.monotonic() + 20
    while not (points := buffer.close()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [row[0] for put in points for row in put.rows] == [0]


def test_the_commit_branch_and_project_of_the_code_are_recorded(clone: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=clone).stdout.strip()

    git("init", "-q", "-b", "work")
    with cmf.run("digits", "before any commit"):
        pass
    git("add", "train.csv")
    git("commit", "-qm", "first")
    git("remote", "add", "origin", "https://user:secret@example.org/team/digits.git")
    with cmf.run("digits", "clean"):
        pass
    (clone / "train.csv").write_text("changed")
    sub = clone / "below"
    sub.mkdir()
    with cmf.run("digits", "dirty", root=sub):
        pass
    dirty, clean, none = executions(clone)
    assert none.code and (none.code.commit, none.branch) == (None, "work")
    assert none.code.snapshot and git("show", f"{none.code.snapshot}:train.csv") == "1,2"
    assert clean.code and (clean.code.commit, clean.code.dirty) == (git("rev-parse", "HEAD"), False)
    assert clean.code.remote == "https://example.org/team/digits.git"
    assert (clean.project, clean.branch) == ("example.org/team/digits", "work")
    assert dirty.code and dirty.code.dirty
    assert git("status", "--porcelain") == "M train.csv"


def test_without_versioning_git_is_not_asked(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q"], check=True, cwd=clone)
    monkeypatch.setenv("CMF_VERSIONING", "none")
    with cmf.run("digits", "train"):
        pass
    assert executions(clone)[0].code is None


@pytest.mark.parametrize(
    ("remote", "project"),
    [
        ("git@Example.org:team/digits.git", "example.org/team/digits"),
        ("https://user@example.org/team/digits/", "example.org/team/digits"),
        ("ssh://git@example.org:2222/team/digits.git", "example.org/team/digits"),
        (None, "clone"),
    ],
)
def test_a_project_has_one_name_however_its_remote_is_reached(remote: str | None, project: str) -> None:
    assert project_name(remote, Path("/home/x/clone")) == project


def test_runs_of_threads_do_not_disturb_each_other(clone: Path) -> None:
    def work(number: int) -> None:
        with cmf.run("digits", "train", params={"number": number}, root=clone) as run:
            for step in range(20):
                run.metric("loss", step, step=step)
                run.set(**{f"p{step}": number})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = executions(clone)
    assert len(found) == 8
    for execution in found:
        number = execution.parameters["number"]
        assert execution.properties == {f"p{step}": number for step in range(20)}
    assert not list(check(Repository.find(clone).segments))


@pytest.mark.parametrize("step", [1.5, "x", True, 2**60])
def test_a_step_that_is_no_whole_number_is_refused(clone: Path, step: object) -> None:
    import numpy

    with cmf.run("digits", "train") as run:
        with pytest.raises(InvalidValue, match="is no whole number"):
            run.metric("loss", 1.0, step=step)  # type: ignore[arg-type]
        run.metric("loss", 1.0, step=numpy.int64(3))  # type: ignore[arg-type]
    assert not list(check(open_repository(clone).segments))
    assert executions(clone)[0].series == ("loss",)


@pytest.mark.parametrize(
    ("path", "version"),
    [("", "etag:abcd"), ("a\0b", "etag:abcd"), ("a" * 5000, "etag:abcd"), ("a", "execution:" + "0" * 32)],
)
def test_what_the_reader_would_refuse_is_never_written(clone: Path, path: str, version: str) -> None:
    with cmf.run("digits", "train") as run:
        with pytest.raises(InvalidValue):
            run.input(path, version=version)
        with pytest.raises((InvalidValue, FileProblem)):
            run.input(path)
    assert not list(check(open_repository(clone).segments))


def test_settings_that_cannot_be_recorded_are_refused(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_PROJECT", "a\nb")
    with pytest.raises(CmfError, match="the setting project"):
        cmf.run("digits", "train")


def test_a_fork_in_the_midst_of_points_and_threads_loses_nothing_and_waits_for_nobody(clone: Path) -> None:
    done = threading.Event()
    with cmf.run("digits", "train") as run:
        run.metric("loss", 0, step=0)

        def busy() -> None:
            while not done.is_set():
                run.set(busy=1)

        threads = [threading.Thread(target=busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(1, 6):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    run.metric("loss", number, step=number)
                    run.set(**{f"child{number}": number})
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5
        done.set()
        for thread in threads:
            thread.join()
    repository = Repository.find(clone)
    rows = [row for _, register in sorted(repository.view.state().points.items()) for row in register.value]
    assert sorted(row[0] for row in rows) == list(range(6))  # type: ignore[index]
    assert not list(check(repository.segments))


@pytest.mark.parametrize("state", ["garbage", "locked"])
def test_recording_does_not_depend_on_the_view(clone: Path, state: str) -> None:
    import sqlite3

    from cmf.recording import close_repositories
    from cmf.segments import JournalWarning

    with cmf.run("digits", "first"):
        pass
    close_repositories()
    view = clone / ".cmf" / "view.db"
    if state == "garbage":
        for suffix in ("-wal", "-shm"):
            Path(f"{view}{suffix}").unlink(missing_ok=True)
        view.write_bytes(b"garbage" * 1000)
    code = (
        "import warnings, cmf\n"
        "from cmf.stores.sqlite import SqliteStore\n"
        "SqliteStore.__init__.__kwdefaults__['patience_seconds'] = 0.1\n"
        "with cmf.run('digits', 'second') as run:\n"
        "    run.input('train.csv')\n"
    )
    holder = sqlite3.connect(view, isolation_level=None)
    try:
        if state == "locked":
            holder.execute("BEGIN EXCLUSIVE")
        done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True)
    finally:
        holder.close()
    assert done.returncode == 0, done.stderr
    assert "What is recorded now is not affected" in done.stderr or "not yet shown" in done.stderr
    repository = Repository.find(clone, catch_up=False)
    repository.rebuild()
    assert {node.name for node in repository.view.list_nodes("execution", Filters(), 9, None).items} == {
        "first",
        "second",
    }
    assert issubclass(JournalWarning, UserWarning)


def test_a_git_repository_below_a_clone_is_a_clone_of_its_own(clone: Path) -> None:
    with cmf.run("digits", "outer"):
        pass
    inner = clone / "work" / "repo"
    inner.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(inner)], check=True)
    with pytest.raises(CmfError, match="run 'cmf init' first"):
        Repository.find(inner)
    with cmf.run("digits", "inner", root=inner):
        pass
    assert Repository.find(inner).root == inner


def test_every_error_names_what_where_and_what_next(clone: Path) -> None:
    with pytest.raises(CmfError, match="run 'cmf init' first"):
        cmf.query()
    with cmf.run("digits", "train"):
        pass
    with pytest.raises(CmfError, match=r"nothing recorded under 'nothing.csv'"):
        cmf.query().lineage("nothing.csv")
