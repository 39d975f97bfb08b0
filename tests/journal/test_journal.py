"""The journal: what was appended is there, in a form that shows every change, whatever interrupted it."""

from __future__ import annotations

import json
import multiprocessing
import os
import warnings
from pathlib import Path

import pytest

import cmf
from cmf import journal
from cmf.core.errors import CmfError, CorruptRecord, JournalUnwritable
from cmf.core.operations import PutArtifact, SetProperty
from cmf.repository import Repository
from cmf.segments import JournalWarning, check

KEY = "md5:" + "0" * 32


def repository(root: Path) -> Repository:
    return Repository.create(root)


def say(repo: Repository, number: int) -> None:
    repo.record([SetProperty(key=KEY, name=f"n{number}", value=number)])


def only_segment(root: Path) -> Path:
    (path,) = journal.segments(root / ".cmf" / "journal")
    return path


def test_what_was_recorded_is_there_after_reopening(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    say(repo, 2)
    repo.close()
    (node,) = Repository.find(tmp_path).view.nodes([KEY])
    assert node.properties == {"n1": 1, "n2": 2}


def test_each_line_proves_the_one_before_it(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    for number in range(3):
        say(repo, number)
    repo.close()
    path = only_segment(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = lines[2].replace(b'"n1"', b'"n7"')
    path.write_bytes(b"".join([*lines[:2], changed, lines[3]]))
    with pytest.raises(CorruptRecord) as caught:
        list(journal.read(path))
    assert (caught.value.path, caught.value.line) == (path, 3)


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_cut_off_with_one_notice(tmp_path: Path, cut: int) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    say(repo, 2)
    repo.close()
    path = only_segment(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    (tmp_path / ".cmf" / "view.db").unlink()
    with pytest.warns(JournalWarning, match="cut off") as notices:
        reopened = Repository.find(tmp_path)
    assert len(notices) == 1
    assert reopened.view.nodes([KEY])[0].properties == {"n1": 1}
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say(reopened, 3)
        reopened.close()
        assert Repository.find(tmp_path).view.nodes([KEY])[0].properties == {"n1": 1, "n3": 3}


def test_a_segment_of_which_not_even_the_header_was_finished_is_removed(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    repo.close()
    path = tmp_path / ".cmf" / "journal" / f"{journal.ulid()}.jsonl"
    path.write_bytes(b'{"cmf":1,"si')
    with pytest.warns(JournalWarning):
        Repository.find(tmp_path)
    assert not path.exists()


def test_the_tail_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    path = only_segment(tmp_path)
    with path.open("ab") as file:  # as another process sees it in the midst of a write
        file.write(b'{"seq":2,"at"')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Repository.find(tmp_path).view.nodes([KEY])[0].properties == {"n1": 1}
    assert path.read_bytes().endswith(b'{"seq":2,"at"')


@pytest.mark.parametrize("damage", [b"\0" * 40, b"not json", b'{"seq":2}', b"[" * 2000])
def test_any_other_damaged_line_is_named_with_path_and_line(tmp_path: Path, damage: bytes) -> None:
    repo = repository(tmp_path)
    for number in range(4):
        say(repo, number)
    repo.close()
    path = only_segment(tmp_path)
    lines = path.read_bytes().splitlines()
    lines[2] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / ".cmf" / "view.db").unlink()
    with pytest.raises(CorruptRecord, match=f"{path}, line 3") as caught:
        Repository.find(tmp_path)
    assert caught.value.line == 3


def test_damage_in_one_segment_hides_no_other_and_stops_no_recording(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    say(repo, 2)
    repo.close()
    damaged = only_segment(tmp_path)
    damaged.write_bytes(damaged.read_bytes().replace(b'"n2"', b'"n7"'))
    repo = Repository.create(tmp_path, catch_up=False)
    say(repo, 3)
    repo.close()
    (tmp_path / ".cmf" / "view.db").unlink()
    with pytest.warns(JournalWarning, match="What is recorded now is not affected"), cmf.run("p", "s", root=tmp_path):
        pass
    cmf_run_closed(tmp_path)
    repo = Repository.find(tmp_path, catch_up=False)
    assert repo.view.nodes([KEY])[0].properties == {"n1": 1, "n3": 3}
    (found,) = check(repo.segments)
    assert (found.path, found.line) == (damaged, 3)


def test_the_line_that_was_changed_is_named_though_it_is_behind_what_the_view_has(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    for number in range(20):
        say(repo, number)
    repo.close()
    path = only_segment(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"garbage\n", *lines[4:]]))
    with pytest.raises(CorruptRecord) as caught:
        Repository.find(tmp_path)
    assert caught.value.line == 5
    path.write_bytes(b"".join([lines[0].replace(b'"cmf":1', b'"cmf":9'), *lines[1:]]))
    (found,) = check(Repository.find(tmp_path, catch_up=False).segments)
    assert found.line == 1 and "journal format 9" in str(found)


def test_a_rebuild_of_a_damaged_journal_keeps_all_that_can_be_read(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    for number in range(5):
        say(repo, number)
    repo.close()
    path = only_segment(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"n3"', b'"n9"'))
    repo = Repository.find(tmp_path, catch_up=False)
    with pytest.raises(CorruptRecord, match="line 5"):
        repo.rebuild()
    assert repo.view.nodes([KEY])[0].properties == {"n0": 0, "n1": 1, "n2": 2}
    assert not list((tmp_path / ".cmf").glob("view.new*"))


def test_a_segment_deleted_while_it_is_written_is_an_error_and_the_next_call_begins_another(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    only_segment(tmp_path).unlink()
    with pytest.raises(JournalUnwritable, match="deleted while it was written"):
        say(repo, 2)
    say(repo, 3)
    repo.close()
    assert not list(check(Repository.find(tmp_path).segments))


@pytest.mark.parametrize("loss", ["gone", "empty"])
def test_a_clone_that_lost_its_id_takes_it_from_what_it_recorded(tmp_path: Path, loss: str) -> None:
    repo = repository(tmp_path)
    say(repo, 1)
    repo.close()
    file = tmp_path / ".cmf" / "site"
    file.unlink()
    if loss == "empty":
        file.touch()
    again = Repository.find(tmp_path)
    assert again.site == repo.site
    assert not list(check(again.segments))
    assert sorted(path.name for path in (tmp_path / ".cmf").iterdir() if "site" in path.name) == ["site"]


def test_a_record_that_is_whole_but_says_nothing_valid_is_damage(tmp_path: Path) -> None:
    from cmf.core.records import record_line

    repo = repository(tmp_path)
    say(repo, 1)
    repo.close()
    path = only_segment(tmp_path)
    *_, (_, head) = journal.read(path)
    line, _ = record_line(head.sum, 2, "2026-01-01T00:00:00.000000Z", SetProperty(key="md5:no", name="x", value=1))
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(CorruptRecord, match="line 3"):
        Repository.find(tmp_path)


def test_processes_that_record_at_once_in_one_clone_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record_many, args=(tmp_path, start)) for start in range(0, 400, 50)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    repo = Repository.find(tmp_path)
    assert repo.view.nodes([KEY])[0].properties == {f"n{number}": number for number in range(400)}
    assert not list(check(repo.segments))
    assert len(repo.segments) == 8


def _record_many(root: Path, start: int) -> None:
    repo = repository(root)
    for number in range(start, start + 50):
        say(repo, number)
    repo.close()


def test_a_forked_child_records_in_a_segment_of_its_own(tmp_path: Path) -> None:
    with cmf.run("p", "parent", root=tmp_path) as run:
        run.set(before=1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with cmf.run("p", "child", root=tmp_path) as inner:
                    inner.set(inside=1)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        run.set(after=1)
    cmf_run_closed(tmp_path)
    repo = Repository.find(tmp_path)
    assert len(repo.segments) == 2
    assert not list(check(repo.segments))
    from cmf.core.store import Filters

    listed = repo.view.list_nodes("execution", Filters(), 10, None).items
    assert {node.name: node.properties for node in listed} == {
        "parent": {"before": 1, "after": 1},
        "child": {"inside": 1},
    }


def cmf_run_closed(root: Path) -> None:
    from cmf.recording import close_repositories

    close_repositories()


def test_a_journal_that_cannot_be_written_is_an_error_and_leaves_no_half_line(tmp_path: Path) -> None:
    import resource

    repo = repository(tmp_path)
    say(repo, 1)
    path = only_segment(tmp_path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(JournalUnwritable, match="File too large"):
            repo.record([SetProperty(key=KEY, name="big", value="x" * 10_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    say(repo, 2)
    repo.close()
    assert Repository.find(tmp_path).view.nodes([KEY])[0].properties == {"n1": 1, "n2": 2}


def test_a_rebuilt_view_equals_the_one_kept_up_to_date(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    for number in range(20):
        say(repo, number)
    repo.record([PutArtifact(key=KEY, name="a", types=("Dataset",), size_bytes=1)])
    kept = repo.view.state()
    repo.rebuild()
    assert repo.view.state() == kept


def test_the_clock_of_a_clone_never_goes_back(tmp_path: Path) -> None:
    """What is stated after seeing a statement outranks it, though that came from a clock years ahead."""
    from cmf.core.records import Stamp, Stamped
    from cmf.pulled import write_pulled

    repo = repository(tmp_path)
    ahead = Stamped(Stamp("2099-01-01T00:00:00.000000Z X 000000000001"), SetProperty(key=KEY, name="n1", value="old"))
    write_pulled(tmp_path / ".cmf" / "journal" / "pulled", [ahead], None)
    repo.close()
    repo = Repository.find(tmp_path)
    say(repo, 1)
    assert repo.view.nodes([KEY])[0].properties == {"n1": 1}


def test_lines_are_as_the_protocol_page_says(tmp_path: Path) -> None:
    """An independent reading of the format: any language can do this."""
    import hashlib

    repo = repository(tmp_path)
    say(repo, 1)
    say(repo, 2)
    repo.close()
    header, *records = only_segment(tmp_path).read_bytes().splitlines()
    assert set(json.loads(header)) == {"cmf", "site", "segment", "tool", "at"}
    total = hashlib.sha256(header).hexdigest()[:32]
    for number, line in enumerate(records, 1):
        record = json.loads(line)
        assert (list(record), record["seq"]) == (["seq", "at", "op", "sum"], number)
        body = line[: line.rindex(b',"sum":')]
        total = hashlib.sha256(total.encode() + body).hexdigest()[:32]
        assert record["sum"] == total


def test_every_error_is_a_cmf_error() -> None:
    from cmf.core import errors

    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, CmfError), name
            assert name in (errors.__doc__ or "")
