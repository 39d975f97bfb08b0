"""Bundles: a clone's journal, or a slice of its graph, in one file; brought in whole, once, or refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import generated
import jsonschema
import pytest
from histories import artifact, as_recorded, chain, execution, record, typical
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import ServerProcess

import cmf
from cmf.core.delta import Delta
from cmf.core.errors import BadQuestion, BundleRefused, CorruptRecord, FileProblem
from cmf.core.lineage import Question, lineage
from cmf.core.operations import Operation, Retract, SetProperty
from cmf.core.records import Header, header_line, record_line
from cmf.core.wire import ProjectBranch, PullQuestion
from cmf.exporting import export
from cmf.importing import import_
from cmf.repository import Repository
from cmf.segments import check

Lines = list[bytes]


def said() -> list[Operation]:
    """A chain of which something was retracted, and something said that JSON has no word for."""
    return [
        *chain(6),
        Retract(key=artifact("chain-2"), reason="mislabelled"),
        SetProperty(key=artifact("chain-4"), name="accuracy", value={"$number": "NaN"}),
    ]


def journals(repository: Repository) -> dict[str, bytes]:
    folder = repository.folder / "journal"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rebuilt(repository: Repository) -> Delta:
    repository.rebuild()
    return repository.view.state()


def unpacked(file: Path) -> Lines:
    return gzip.decompress(file.read_bytes()).splitlines()


def pack(file: Path, lines: Lines, *, sealed: bool = True) -> Path:
    """A bundle of these lines, behind its header and before an end that proves them."""
    body = b"".join(line + b"\n" for line in lines)
    end = b'{"end":%d,"sha256":"%s"}\n' % (len(lines), hashlib.sha256(body).hexdigest().encode())
    file.write_bytes(gzip.compress(body + (end if sealed else b""), mtime=0))
    return file


# ---- round trips


def test_everything_travels_and_the_graphs_are_equal(tmp_path: Path) -> None:
    a = record(tmp_path / "a", said())
    told = export(a, tmp_path / "a.cmf")
    b = Repository.create(tmp_path / "b")
    done = import_(b, tmp_path / "a.cmf")
    assert (done.site, done.segments, done.records, done.news) == (a.site, 1, len(said()), len(said()))
    assert (told.records, told.sha256) == (done.records, done.sha256)
    assert b.view.state() == a.view.state() == rebuilt(b) == as_recorded(a)
    assert not b.segments, "what was brought in is not what was recorded here"
    assert not list(check(b.all_segments))


def test_importing_twice_adds_nothing_and_exporting_twice_is_the_same_file(tmp_path: Path) -> None:
    a = record(tmp_path / "a", said())
    export(a, tmp_path / "a.cmf")
    first = (tmp_path / "a.cmf").read_bytes()
    export(a, tmp_path / "a.cmf")
    assert (tmp_path / "a.cmf").read_bytes() == first
    b = Repository.create(tmp_path / "b")
    import_(b, tmp_path / "a.cmf")
    before, state = journals(b), b.view.state()
    assert import_(b, tmp_path / "a.cmf").news == 0
    assert import_(a, tmp_path / "a.cmf").news == 0, "nor where it comes from"
    assert (journals(b), b.view.state()) == (before, state)
    assert a.view.state() == state


def test_a_journal_that_grew_adds_its_news_and_an_older_bundle_takes_nothing_back(tmp_path: Path) -> None:
    a = record(tmp_path / "a", execution(1, ["raw"], ["clean"]))
    export(a, tmp_path / "old.cmf")
    a.record(execution(2, ["clean"], ["model"]))
    other = record(tmp_path / "a", execution(3, ["model"], ["report"]))  # another process of the same clone
    export(a, tmp_path / "new.cmf")
    b = Repository.create(tmp_path / "b")
    assert import_(b, tmp_path / "old.cmf").news == 6
    assert import_(b, tmp_path / "new.cmf").news == 12
    assert import_(b, tmp_path / "old.cmf").news == 0
    other.close()
    a.catch_up()
    assert b.view.state() == a.view.state() == rebuilt(b)


def test_what_a_clone_was_brought_travels_on_with_what_it_pulled(tmp_path: Path) -> None:
    a = record(tmp_path / "a", execution(1, ["raw"], ["clean"]))
    export(a, tmp_path / "a.cmf")
    export(record(tmp_path / "x", chain(3)), tmp_path / "slice.cmf", PullQuestion(pipelines=("chain",)))
    b = record(tmp_path / "b", execution(2, ["clean"], ["model"]))
    import_(b, tmp_path / "a.cmf")
    import_(b, tmp_path / "slice.cmf")
    export(b, tmp_path / "b.cmf")
    c = Repository.create(tmp_path / "c")
    done = import_(c, tmp_path / "b.cmf")
    assert c.view.state() == b.view.state()
    assert {segment.site for segment in c.carried_segments} == {a.site, b.site}
    assert len(c.pulled_segments) == 1
    assert (done.news, done.to_push) == (done.records, 12)
    assert import_(c, tmp_path / "b.cmf").news == 0


def test_a_slice_answers_as_the_clone_it_is_from_and_is_never_pushed(tmp_path: Path) -> None:
    a = record(tmp_path / "a", [*said(), *typical(5)])
    export(a, tmp_path / "slice.cmf", PullQuestion(artifacts=(artifact("chain-3"),)))
    b = Repository.create(tmp_path / "b")
    done = import_(b, tmp_path / "slice.cmf")
    assert done.news == done.records > 0 and done.to_push == 0
    for hidden in (False, True):
        question = Question(keys=(artifact("chain-3"),), direction="both", include_retracted=hidden)
        ours, theirs = lineage(b.view, question), lineage(a.view, question)
        assert [(n.key, n.name, n.distance) for n in ours.nodes] == [(n.key, n.name, n.distance) for n in theirs.nodes]
        assert ours.edges == theirs.edges
    assert b.view.stats().kinds["execution"] == 6, "the slice, not the whole graph"
    assert not b.segments and not b.carried_segments and len(b.pulled_segments) == 1
    assert import_(b, tmp_path / "slice.cmf").news == 0


def test_projects_and_pipelines_are_slices_too_and_nothing_is_no_bundle(tmp_path: Path) -> None:
    a = record(tmp_path / "a", [*chain(3), *typical(2)])
    for question, executions in (
        (PullQuestion(pipelines=("chain",)), 3),
        (PullQuestion(projects=(ProjectBranch(project="digits"),)), 5),
        (PullQuestion(pipelines=("digits",), artifacts=(artifact("chain-1"),), direction="upstream"), 3),
    ):
        export(a, tmp_path / "slice.cmf", question)
        b = Repository.create(tmp_path / f"b{executions}{question.pipelines}")
        import_(b, tmp_path / "slice.cmf")
        assert b.view.stats().kinds["execution"] == executions
    kept = (tmp_path / "slice.cmf").read_bytes()
    with pytest.raises(BadQuestion, match="nothing to export"):
        export(a, tmp_path / "slice.cmf", PullQuestion(pipelines=("nightly",)))
    with pytest.raises(BadQuestion, match="nothing to export"):
        export(Repository.create(tmp_path / "empty"), tmp_path / "empty.cmf")
    assert (tmp_path / "slice.cmf").read_bytes() == kept
    assert not (tmp_path / "empty.cmf").exists() and not list(tmp_path.glob(".*.part"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(generated.operations, min_size=1, max_size=30))
def test_whatever_was_recorded_comes_out_as_it_went_in(tmp_path: Path, operations: list[Operation]) -> None:
    with TemporaryDirectory(dir=tmp_path) as name:
        folder = Path(name)
        a = record(folder / "a", operations)
        export(a, folder / "a.cmf")
        b = Repository.create(folder / "b")
        import_(b, folder / "a.cmf")
        assert b.view.state() == a.view.state() == as_recorded(a)
        a.close()
        b.close()


def test_the_lines_are_those_of_the_published_schemas(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs" / "schema"
    form, journal = (
        jsonschema.Draft202012Validator(json.loads((docs / f"{name}.schema.json").read_text()))
        for name in ("bundle", "journal")
    )
    export(record(tmp_path / "a", said()), tmp_path / "a.cmf")
    first, *between, last = map(json.loads, unpacked(tmp_path / "a.cmf"))
    for line in (first, last):
        form.validate(line)
    for line in between:
        journal.validate(line)


def test_everything_can_be_exported_whatever_state_the_view_is_in(tmp_path: Path) -> None:
    record(tmp_path / "a", said()).close()
    (tmp_path / "a" / ".cmf" / "view.db").write_bytes(b"no database " * 1000)
    assert cmf_in(tmp_path / "a", "export", "../a.cmf").returncode == 0
    assert import_(Repository.create(tmp_path / "b"), tmp_path / "a.cmf").news == len(said())


# ---- what is refused


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    export(record(tmp_path / "a", said()), tmp_path / "a.cmf")
    return tmp_path / "a.cmf"


def expect_refused(tmp_path: Path, file: Path, why: str) -> None:
    """That nothing is taken of it, by a clone that has something of its own."""
    clone = record(tmp_path / f"c{time.time_ns()}", execution(1, ["x"], ["y"]))
    before, state = journals(clone), clone.view.state()
    with pytest.raises(BundleRefused, match=why) as refused:
        import_(clone, file)
    assert str(refused.value).endswith("nothing of it was taken")
    assert (journals(clone), clone.view.state()) == (before, state)
    assert [p.name for p in (clone.folder / "scratch").rglob("*") if p.is_file()] == ["alive"]
    clone.close()


def test_cut_short_anywhere_it_is_refused(tmp_path: Path, bundle: Path) -> None:
    whole = bundle.read_bytes()
    for length in (1, 2, 9, 10, 11, 40, len(whole) // 2, len(whole) - 9, len(whole) - 8, len(whole) - 1):
        bundle.write_bytes(whole[:length])
        expect_refused(tmp_path, bundle, "cut short|no bundle|damaged")
    lines = unpacked_of(whole)
    pack(bundle, lines[:-1], sealed=False)
    expect_refused(tmp_path, bundle, "cut short")
    pack(bundle, lines[:5], sealed=False)
    expect_refused(tmp_path, bundle, "cut short")
    bundle.write_bytes(b"")
    expect_refused(tmp_path, bundle, "no bundle")


def unpacked_of(whole: bytes) -> Lines:
    return gzip.decompress(whole).splitlines()


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, bundle: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    whole = bundle.read_bytes()
    for _ in range(40):
        place, bit = chance.randrange(10, len(whole)), chance.randrange(8)
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        bundle.write_bytes(changed)
        expect_refused(tmp_path, bundle, "damaged|cut short|line")


def test_what_was_changed_after_it_was_written_is_refused(tmp_path: Path, bundle: Path) -> None:
    lines = unpacked(bundle)[:-1]
    end = unpacked(bundle)[-1]
    changed = [line.replace(b"chain-3", b"chain-9") for line in lines]
    expect_refused(tmp_path, pack(bundle, changed), "does not continue the chain")
    expect_refused(tmp_path, pack(bundle, [*lines[:4], *lines[5:]]), "sequence 4 where 3 follows")
    expect_refused(tmp_path, pack(bundle, [*lines[:5], *lines[4:]]), "sequence 3 where 4 follows")
    expect_refused(tmp_path, pack(bundle, [lines[0], *lines[2:]]), "no header of a segment")
    expect_refused(tmp_path, pack(bundle, [first_line(), *lines[1:], *lines[1:]]), "twice")
    expect_refused(tmp_path, pack(bundle, [*lines, end, lines[1]], sealed=False), "something follows its end")
    other = lines[0].replace(b"cmf ", b"cmg ", 1)
    expect_refused(tmp_path, pack(bundle, [other, *lines[1:], end], sealed=False), "the digest over all of it")
    expect_refused(tmp_path, pack(bundle, [*lines[:-1], end], sealed=False), "the digest over all of it")
    body = b"".join(line + b"\n" for line in [*lines, end])
    bundle.write_bytes(gzip.compress(body) + b"garbage")
    expect_refused(tmp_path, bundle, "damaged")


def test_what_is_no_bundle_or_of_another_time_says_so(tmp_path: Path, bundle: Path) -> None:
    lines = unpacked(bundle)[:-1]
    odd = tmp_path / "odd"
    odd.write_bytes(b"SQLite format 3\0" + bytes(100))
    expect_refused(tmp_path, odd, "'cmf import mlmd FILE'")
    odd.write_bytes(b'{"bundle":1}\n')
    expect_refused(tmp_path, odd, "no bundle of cmf's")
    odd.write_bytes(gzip.compress(b"something else\n"))
    expect_refused(tmp_path, odd, "line 1 unpacked: it is no bundle of cmf's")
    odd.write_bytes(gzip.compress(b""))
    expect_refused(tmp_path, odd, "cut short")
    later = lines[0].replace(b'{"bundle":1', b'{"bundle":2')
    expect_refused(tmp_path, pack(odd, [later, *lines[1:]]), "bundle format 2; this version reads format 1")
    expect_refused(tmp_path, pack(odd, [lines[0], lines[1].replace(b'{"cmf":1', b'{"cmf":7')]), "journal format 7")
    expect_refused(tmp_path, pack(odd, [lines[0], b"[" * 100_000]), "line 2")
    expect_refused(tmp_path, pack(odd, [lines[0], lines[1]]), "no record")
    clone = Repository.create(tmp_path / "c")
    with pytest.raises(FileProblem, match="No such file"):
        import_(clone, tmp_path / "missing.cmf")
    for no_file in (tmp_path, Path("/dev/zero")):
        with pytest.raises(FileProblem, match="is no file"):
            import_(clone, no_file)


def segment(site: str, name: str, operations: list[Operation]) -> Lines:
    at = "2026-05-04T09:12:31.250000Z"
    line, total = header_line(Header(1, site, name, "tool", at))
    lines = [line]
    for sequence, operation in enumerate(operations, 1):
        line, total = record_line(total, sequence, at, operation)
        lines.append(line)
    return lines


def first_line(max_bytes: int = 10**6) -> bytes:
    return b'{"bundle":1,"site":"evil","tool":"x","max_bytes":%d}' % max_bytes


@pytest.mark.parametrize("site", [".", "..", "../up", "/etc", "", "a/b", "x" * 65])
def test_no_name_in_a_bundle_leads_out_of_the_clone(tmp_path: Path, site: str) -> None:
    lines = segment(site, "s", execution(1, ["a"], ["b"]))
    expect_refused(tmp_path, pack(tmp_path / "evil.cmf", [first_line(), *lines]), "line 2")
    named = segment("site", "../../s", execution(1, ["a"], ["b"]))
    expect_refused(tmp_path, pack(tmp_path / "evil.cmf", [first_line(), *named]), "line 2")


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    lines = segment("site", "s", execution(1, ["a"], ["b"]))
    bomb = tmp_path / "bomb.cmf"
    with gzip.open(bomb, "wb") as file:
        file.write(first_line() + b"\n" + lines[0] + b"\n")
        for _ in range(300):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    started = time.monotonic()
    expect_refused(tmp_path, bomb, "line 3 unpacked: the line is longer")
    assert time.monotonic() - started < 20
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    expect_refused(tmp_path, pack(bomb, [first_line(100), *lines]), "more follows than the 100 bytes")
    expect_refused(tmp_path, pack(bomb, [first_line(10**16), *lines]), "has room for")


def test_another_journal_under_the_name_of_one_that_is_here_is_refused(tmp_path: Path) -> None:
    one = segment("site", "s", execution(1, ["a"], ["b"]))
    other = segment("site", "s", execution(1, ["a"], ["changed"]))
    beside = segment("site", "t", execution(2, ["c"], ["d"]))
    clone = Repository.create(tmp_path / "c")
    import_(clone, pack(tmp_path / "one.cmf", [first_line(), *one]))
    before = journals(clone)
    with pytest.raises(BundleRefused, match="segment s of site site is another here"):
        import_(clone, pack(tmp_path / "other.cmf", [first_line(), *beside, *other]))
    assert journals(clone) == before, "nor what is sound beside it"


def test_a_bundle_that_says_it_is_ours_is_not_taken_for_recorded_here(tmp_path: Path) -> None:
    clone = record(tmp_path / "c", execution(1, ["a"], ["b"]))
    file = pack(tmp_path / "x.cmf", [first_line(), *segment(clone.site, "s", execution(2, ["c"], ["d"]))])
    assert import_(clone, file).news == 6
    assert [s.name for s in clone.carried_segments] == ["s"] and len(clone.segments) == 1
    (own,) = clone.segments
    export(clone, tmp_path / "own.cmf")
    clone.close()
    own.path.write_bytes(b"".join(own.path.read_bytes().splitlines(keepends=True)[:3]))
    again = Repository.create(tmp_path / "c", catch_up=False)
    with pytest.raises(BundleRefused, match="restored from an older copy"):
        import_(again, tmp_path / "own.cmf")


def test_a_pulled_part_is_named_by_its_content_whatever_the_bundle_calls_it(tmp_path: Path) -> None:
    clone = Repository.create(tmp_path / "c")
    operations = execution(1, ["a"], ["b"])
    for name in ("one", "two"):
        import_(clone, pack(tmp_path / "x.cmf", [first_line(), *segment("pulled", name, operations[:1])]))
    assert all(s.name.startswith("pulled-") for s in clone.pulled_segments)
    assert not list(check(clone.all_segments))


# ---- what may happen on the way


def test_export_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    a = record(tmp_path / "a", execution(1, ["a"], ["b"]))
    (tmp_path / "model.pkl").write_bytes(b"weights")
    (tmp_path / "empty").write_bytes(b"")
    for there in ("model.pkl", "empty", "a", "none/a.cmf"):
        with pytest.raises(FileProblem):
            export(a, tmp_path / there)
    assert (tmp_path / "model.pkl").read_bytes() == b"weights"
    (segment,) = a.segments
    export(a, tmp_path / "a.cmf")
    kept = (tmp_path / "a.cmf").read_bytes()
    segment.path.write_bytes(segment.path.read_bytes().replace(b"data/a", b"data/z", 1))
    with pytest.raises(CorruptRecord):
        export(a, tmp_path / "a.cmf")
    assert (tmp_path / "a.cmf").read_bytes() == kept and not list(tmp_path.glob(".*.part"))


def test_an_unfinished_last_line_stays_out(tmp_path: Path) -> None:
    a = record(tmp_path / "a", execution(1, ["a"], ["b"]))
    (segment,) = a.segments
    with segment.path.open("ab") as file:
        file.write(b'{"seq":7,"at"')
    export(a, tmp_path / "a.cmf")
    assert import_(Repository.create(tmp_path / "b"), tmp_path / "a.cmf").news == 6


def test_memory_is_bounded_by_a_line_not_by_the_bundle(tmp_path: Path) -> None:
    text = "x" * 100_000
    a = record(
        tmp_path / "a",
        (SetProperty(key=artifact("a"), name=f"p{n}", value=f"{n}{text}") for n in range(600)),
        at_once=20,
    )
    b = Repository.create(tmp_path / "b")
    lines = 60 << 20
    tracemalloc.start()
    export(a, tmp_path / "a.cmf")
    b.catch_up = lambda progress=None: None  # type: ignore[method-assign]
    import_(b, tmp_path / "a.cmf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(s.path.stat().st_size for s in b.carried_segments) > lines * 0.9
    assert peak < 12 << 20, f"{peak:,} bytes"


def test_a_full_disk_takes_nothing_and_says_so(tmp_path: Path) -> None:
    export(record(tmp_path / "a", typical(200)), tmp_path / "a.cmf")
    clone = record(tmp_path / "c", execution(1, ["x"], ["y"]))
    before = journals(clone)
    program = """if True:
        import resource, sys
        from pathlib import Path
        from cmf.core.errors import JournalUnwritable
        from cmf.importing import import_
        from cmf.repository import Repository
        clone = Repository.find(Path("c"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            import_(clone, Path("a.cmf"))
        except JournalUnwritable as exc:
            print(exc)
    """
    told = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "File too large; nothing of this call was recorded" in told.stdout, told.stderr
    assert journals(clone) == before
    assert import_(clone, tmp_path / "a.cmf").news == 2_000


def test_kill_9_while_importing_leaves_a_sound_clone_that_takes_it_again(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    sites = [record(tmp_path / f"s{n}", typical(400, start=400 * n)) for n in range(4)]
    hub = Repository.create(tmp_path / "hub")
    for number, site in enumerate(sites):
        export(site, tmp_path / f"{number}.cmf")
        import_(hub, tmp_path / f"{number}.cmf")
    export(hub, tmp_path / "all.cmf")
    clone = tmp_path / "clone"
    record(clone, execution(1, ["x"], ["y"])).close()
    command = [sys.executable, "-m", "cmf.cli", "import", str(tmp_path / "all.cmf")]
    Repository.create(tmp_path / "other").close()
    began = time.perf_counter()
    subprocess.run(command, cwd=tmp_path / "other", check=True, capture_output=True, timeout=120)
    whole_seconds = time.perf_counter() - began
    killed = 0
    for _ in range(8):
        process = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=chance.uniform(0.2, 0.9) * whole_seconds)
        except subprocess.TimeoutExpired:
            killed += 1
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        opened = Repository.find(clone)
        assert not list(check(opened.all_segments)), f"seed {seed}"
        for brought in opened.carried_segments:
            (whole,) = [s for site in sites for s in site.segments if s.name == brought.name]
            assert brought.path.read_bytes() == whole.path.read_bytes(), f"seed {seed}"
        opened.close()
    assert killed
    opened = Repository.find(clone)
    import_(opened, tmp_path / "all.cmf")
    assert len(opened.carried_segments) == 4
    assert opened.view.state() == as_recorded(opened, *sites) == rebuilt(opened), f"seed {seed}"
    assert len(list((clone / ".cmf" / "scratch").iterdir())) == 1, "what the killed ones had unpacked is swept up"


def test_many_imports_at_once_agree(tmp_path: Path) -> None:
    a = record(tmp_path / "a", typical(20))
    export(a, tmp_path / "old.cmf")
    a.record(list(typical(20, start=20)))
    export(a, tmp_path / "new.cmf")
    Repository.create(tmp_path / "b").close()
    command = [sys.executable, "-m", "cmf.cli", "import", "--json"]
    running = [
        subprocess.Popen([*command, f"../{name}.cmf"], cwd=tmp_path / "b", stdout=subprocess.PIPE, text=True)
        for name in ("new", "old", "new", "old")
    ]
    told = [json.loads(process.communicate(timeout=120)[0])["news"] for process in running]
    assert sum(told) == 400
    b = Repository.find(tmp_path / "b")
    assert b.view.state() == a.view.state() == rebuilt(b)


# ---- the command line


def cmf_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cmf.cli", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'server' / 'graph.db'}") as process:
        yield process


def test_the_commands_from_a_site_without_a_network_to_a_server(tmp_path: Path, server: ServerProcess) -> None:
    a = record(tmp_path / "a", said())
    relay, stick = tmp_path / "relay", tmp_path / "stick"
    Repository.create(relay).close()
    stick.mkdir()
    told = cmf_in(tmp_path / "a", "export", str(stick / "a.cmf"))
    assert told.stdout.startswith(f"{len(said())} records written to {stick / 'a.cmf'} (")
    told = cmf_in(relay, "import", str(stick / "a.cmf"))
    assert told.stdout == (
        f"{len(said())} new of {len(said())} records of a bundle of site {a.site}; "
        f"'cmf push' delivers {len(said())} of them for who recorded them\n"
    )
    told = cmf_in(relay, "import", "bundle", str(stick / "a.cmf"))
    assert told.stdout == f"nothing new: {len(said())} records, all here already\n"
    status = json.loads(cmf_in(relay, "status", "--json").stdout)
    assert status["carried"]["segments"] == 1 and status["journal"]["segments"] == 0
    assert cmf_in(relay, "push", "--server", server.url, "--metadata-only").stdout.startswith(f"{len(said())} records")
    assert cmf_in(relay, "fsck").stdout.startswith("sound: 1 segment")
    theirs = cmf.query(server.url).lineage(artifact("chain-6"), "upstream")
    ours = lineage(a.view, Question(keys=(artifact("chain-6"),), direction="upstream"))
    assert (theirs.edges, [n.key for n in theirs.nodes]) == (ours.edges, [n.key for n in ours.nodes])


def test_the_commands_of_a_slice_without_a_server(tmp_path: Path) -> None:
    record(tmp_path / "a", chain(4)).close()
    told = cmf_in(tmp_path / "a", "export", "../s.cmf", "data/chain-1", "--direction", "upstream", "--json")
    assert json.loads(told.stdout)["segments"] == 1
    Repository.create(tmp_path / "b").close()
    told = json.loads(cmf_in(tmp_path / "b", "import", "--json", "../s.cmf").stdout)
    assert told["news"] == told["records"] and told["to_push"] == 0
    assert len(cmf_in(tmp_path / "b", "log").stdout.splitlines()) == 2
    told = cmf_in(tmp_path / "a", "export", "../s.cmf", "nothing-like-it")
    assert (told.returncode, told.stdout) == (1, "") and "nothing recorded under" in told.stderr
    told = cmf_in(tmp_path / "a", "export", "../s.cmf", "--branch", "main")
    assert told.returncode == 2


def test_wrong_files_cost_one_line(tmp_path: Path) -> None:
    record(tmp_path / "a", chain(2)).close()
    (tmp_path / "a" / "model.pkl").write_bytes(b"weights")
    for arguments, why in (
        (["export", "model.pkl"], "model.pkl: is there already and no bundle"),
        (["import", "model.pkl"], "model.pkl: it is no bundle of cmf's; nothing of it was taken"),
        (["import", "missing"], "missing: No such file or directory"),
        (["import", ".cmf/view.db"], "'cmf import mlmd FILE'"),
    ):
        told = cmf_in(tmp_path / "a", *arguments)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1), told.stderr
        assert why in told.stderr
    told = cmf_in(tmp_path, "import", "a/model.pkl")
    assert told.returncode == 1 and "run 'cmf init' first" in told.stderr
