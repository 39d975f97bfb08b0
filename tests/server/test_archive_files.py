"""The files of an archive: in order, whole, and cut where a process died; replayed, they are the graph."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from faults.disks import no_file_grows
from generated import stamped
from histories import execution, typical
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.core import chunks
from cmf.core.delta import fold
from cmf.core.errors import BadQuestion, StoreUnavailable
from cmf.core.operations import Operation
from cmf.core.records import Header, Stamp, header_line, make_stamp, record_line
from cmf.core.store import Store
from cmf.core.values import encode
from cmf.stores.memory import MemoryStore
from cmf_api.archive import Archive, pack_lines
from cmf_api.archive.frames import ChunkFrame, Frame
from cmf_api.archive.reading import START, Position, Reading, body_of, files, read_cursor, write_cursor
from cmf_api.archive.replaying import replay
from cmf_api.archive.taking import frame_of_chunk, frame_of_statements
from cmf_api.settings import ServerSettings
from cmf_api.writer import Writer

AT = "2026-05-04T09:12:31.250001Z"
EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def segment(site: str, name: str, operations: Sequence[tuple[Stamp, Operation]]) -> list[bytes]:
    """The lines of a segment whose records have these stamps."""
    line, total = header_line(Header(cmf=1, site=site, segment=name, tool="test", at=AT))
    lines = [line]
    for sequence, (stamp, operation) in enumerate(operations, 1):
        line, total = record_line(total, sequence, AT, operation, stamp)
        lines.append(line)
    return lines


def recorded(operations: Sequence[Operation]) -> list[tuple[Stamp, Operation]]:
    return [(make_stamp(AT, "origin", number), operation) for number, operation in enumerate(operations, 1)]


def push(writer: Writer, site: str, name: str, lines: Sequence[bytes]) -> chunks.Merged:
    """What the route does with a body."""
    chunk = chunks.parse(site, name, lines)
    frame = frame_of_chunk(chunk, pack_lines(lines))
    return writer.do(
        lambda transaction: chunks.merge(transaction, chunk),
        len(chunk.records),
        lambda merged: [frame] if merged.applied or merged.begun else [],
    )


def post(writer: Writer, number: int, operation: Operation) -> None:
    lines = [encode(operation)]
    frame = frame_of_statements(f"post-{number}", AT, lines, pack_lines(lines))
    delta = fold([(make_stamp(AT, f"post-{number}", 1), operation)])
    writer.do(lambda transaction: transaction.merge(delta), 1, lambda _: [frame])


def heads(store: Store) -> object:
    return {(site, name): head for site, name, head in store.all_heads()}


def frames_of(home: Path, position: Position = START) -> list[tuple[int, int]]:
    """First and last of the chunks in an archive."""
    found = [frame.header for _, frame in Reading(home / "archive", position)]
    return [(header.first, header.last) for header in found if isinstance(header, ChunkFrame)]


@EXAMPLES
@given(
    told=st.lists(st.lists(stamped, min_size=1, max_size=12), min_size=1, max_size=4),
    posted=st.lists(stamped, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_replayed_it_is_the_store(
    tmp_path_factory: pytest.TempPathFactory,
    make_store: Callable[[], Store],
    told: list[list[tuple[Stamp, Operation]]],
    posted: list[tuple[Stamp, Operation]],
    seed: int,
) -> None:
    chance, home = random.Random(seed), tmp_path_factory.mktemp("home")
    served = MemoryStore()
    workers = [Archive(home, max_file_bytes=chance.choice([1_000, 1 << 20])) for _ in range(2)]
    writers = [Writer(served, 64, archive) for archive in workers]
    waiting = {f"s{number}": segment("site", f"s{number}", of) for number, of in enumerate(told)}
    sent = dict.fromkeys(waiting, 0)
    while left := [name for name in waiting if sent[name] < len(waiting[name])]:
        name = chance.choice(left)
        end = min(len(waiting[name]), sent[name] + chance.randint(1, 4))
        begin = chance.choice([sent[name], 0])  # sometimes what is known is sent again
        push(chance.choice(writers), "site", name, waiting[name][begin:end])
        sent[name] = end
    for number, (_, operation) in enumerate(posted):
        post(chance.choice(writers), number, operation)
    for writer, archive in zip(writers, workers, strict=True):
        writer.close()
        archive.close()
    made = make_store()
    replayed = replay(home / "archive", made, ServerSettings(home=home))
    assert (replayed.waiting, replayed.refused, replayed.problems) == (0, 0, [])
    assert made.state() == served.state()
    assert heads(made) == heads(served)


def test_frames_of_several_files_come_in_the_order_of_acceptance_and_a_cursor_goes_on(tmp_path: Path) -> None:
    lines = segment("site", "s", recorded(list(typical(4))))
    store = MemoryStore()
    workers = [Archive(tmp_path), Archive(tmp_path)]
    writers = [Writer(store, 64, archive) for archive in workers]
    seen: list[tuple[int, int]] = []
    position = START
    for number in range(8):
        push(writers[number % 2], "site", "s", lines[number * 5 : number * 5 + 5])
        if number % 3 == 2:
            reading = Reading(tmp_path / "archive", position)
            seen += [(f.header.first, f.header.last) for _, f in reading if isinstance(f.header, ChunkFrame)]
            server = "01M89AWEXWQHQ3TJHEQSFST7BD"
            position = read_cursor(write_cursor(server, reading.position), server, tmp_path / "archive") or START
    assert [first for first, _ in frames_of(tmp_path)] == [0, *range(5, 40, 5)]
    assert seen + frames_of(tmp_path, position) == frames_of(tmp_path)
    for writer, archive in zip(writers, workers, strict=True):
        writer.close()
        archive.close()
    assert frames_of(tmp_path, position) == [(30, 34), (35, 39)]
    reading = Reading(tmp_path / "archive", position)
    assert len(list(reading)) == 2
    assert reading.position.offsets == {} and reading.position.done == files(tmp_path / "archive")[-1].name


def test_a_cursor_of_another_archive_or_before_a_restore_begins_anew(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    keep(archive, 1)
    reading = Reading(tmp_path / "archive")
    list(reading)
    cursor = write_cursor(archive.server, reading.position)
    folder = tmp_path / "archive"
    assert read_cursor(cursor, archive.server, folder) == reading.position
    assert read_cursor(cursor, "01M89AWEXWQHQ3TJHEQSFST7BE", folder) is None
    assert read_cursor(cursor[:-1] + "99", archive.server, folder) is None
    archive.close()
    for path in folder.glob("*.cmfa"):
        path.unlink()
    assert read_cursor(cursor, archive.server, folder) is None
    for wrong in ("", "x", cursor + ",", cursor + "\n", "~~", "../../etc/passwd", "0" * 20_000):
        with pytest.raises(BadQuestion):
            read_cursor(wrong, archive.server, folder)


def keep(archive: Archive, number: int) -> None:
    lines = segment("site", f"s{number}", recorded(execution(number, ["x"], ["y"])))
    archive.keep([frame_of_chunk(chunks.parse("site", f"s{number}", lines), pack_lines(lines))])


@pytest.mark.parametrize("torn", [b"\x1f", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", None, bytes(4096), b"nonsense" * 99])
def test_what_a_killed_process_left_torn_is_cut_off_and_a_living_ones_file_is_not_touched(
    tmp_path: Path, torn: bytes | None
) -> None:
    code = (
        "import sys, os; sys.path.insert(0, 'tests'); from pathlib import Path; "
        "from server.test_archive_files import Archive, keep; "
        "a = Archive(Path(sys.argv[1])); keep(a, 1); keep(a, 2); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, cwd=Path(__file__).parents[2])
    (path,) = (tmp_path / "archive").glob("*.open")
    whole = path.stat().st_size
    if torn is None:  # a frame without its end
        again = path.read_bytes()
        torn = again[again.rindex(b"\x1f\x8b\x08", 0, -200) :][:-9]
    with path.open("ab") as file:
        file.write(torn)
    assert len(frames_of(tmp_path)) == 2
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        Archive(tmp_path).close()
        assert path.stat().st_size == whole + len(torn)
    after = Archive(tmp_path)
    keep(after, 3)
    assert not path.exists() and path.with_suffix("").stat().st_size == whole
    assert len(frames_of(tmp_path)) == 3
    after.close()


def test_damage_in_the_midst_stops_that_file_only_and_is_told(tmp_path: Path) -> None:
    archive = Archive(tmp_path, max_file_bytes=1)  # a file a frame
    for number in range(3):
        keep(archive, number)
    archive.close()
    paths = sorted((tmp_path / "archive").glob("*.cmfa"))
    assert len(paths) == 3
    damaged = paths[1].read_bytes()
    paths[1].write_bytes(damaged[:150] + b"\0" * 50 + damaged[200:])
    reading = Reading(tmp_path / "archive")
    assert len(list(reading)) == 2
    assert len(reading.damage) == 1 and paths[1].name in reading.damage[0]
    assert reading.position.done == paths[2].name[:26]
    store = MemoryStore()
    replayed = replay(tmp_path / "archive", store, ServerSettings(home=tmp_path))
    assert replayed.frames == 2 and len(replayed.problems) == 1


def test_where_the_archive_cannot_be_written_nothing_is_taken_and_it_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    archive = Archive(tmp_path)
    writer = Writer(store, 64, archive)
    lines = segment("site", "s", recorded(list(typical(50))))
    push(writer, "site", "s", lines[:10])
    before, on_disk = (store.state(), heads(store)), frames_of(tmp_path)
    (path,) = (tmp_path / "archive").glob("*.open")
    refused = pytest.raises(StoreUnavailable, match="archive cannot be written .*nothing was taken")
    with no_file_grows(os.getpid(), path.stat().st_size + 700), refused:
        push(writer, "site", "s", lines[10:])
    assert ((store.state(), heads(store)), frames_of(tmp_path)) == (before, on_disk)
    push(writer, "site", "s", lines[10:])
    writer.close()
    archive.close()
    made = MemoryStore()
    replay(tmp_path / "archive", made, ServerSettings(home=tmp_path))
    assert (made.state(), heads(made)) == (store.state(), heads(store))


def test_what_a_failed_commit_left_is_harmless(tmp_path: Path) -> None:
    store = MemoryStore()
    archive = Archive(tmp_path)

    class Failing(MemoryStore):
        def write(self, work):  # type: ignore[no-untyped-def]
            def all_but_the_end(transaction: object) -> None:
                work(transaction)
                raise StoreUnavailable("the disk is full")

            return store.write(all_but_the_end)

    lines = segment("site", "s", recorded(list(typical(2))))
    failing, writer = Writer(Failing(), 64, archive), Writer(store, 64, archive)
    for _ in range(3):  # its site tries again
        with pytest.raises(StoreUnavailable):
            push(failing, "site", "s", lines[:10])
    assert len(frames_of(tmp_path)) == 1
    push(writer, "site", "s", lines[:5])
    push(writer, "site", "s", lines)
    for each in (failing, writer):
        each.close()
    archive.close()
    made = MemoryStore()
    replayed = replay(tmp_path / "archive", made, ServerSettings(home=tmp_path))
    assert (made.state(), heads(made)) == (store.state(), heads(store))
    assert replayed.refused == replayed.waiting == 0 and replayed.known > 0


def test_a_chunk_waits_for_its_predecessor_and_is_told_when_that_never_comes(tmp_path: Path) -> None:
    lines = segment("site", "s", recorded(list(typical(3))))
    archive = Archive(tmp_path)
    parts = [lines[20:], lines[5:10], lines[10:20], lines[:5]]
    archive.keep([frame_of_chunk(chunks.parse("site", "s", part), pack_lines(part)) for part in parts])
    lost = segment("site", "lost", recorded(list(typical(1))))[3:]
    archive.keep([frame_of_chunk(chunks.parse("site", "lost", lost), pack_lines(lost))])
    archive.close()
    store = MemoryStore()
    replayed = replay(tmp_path / "archive", store, ServerSettings(home=tmp_path))
    assert store.heads("site")["s"].sequence == 30
    assert (replayed.waiting, replayed.refused) == (1, 0)
    assert "lost" in replayed.problems[0]


def test_a_body_is_kept_as_it_came(tmp_path: Path) -> None:
    lines = segment("site", "s", recorded(list(typical(1))))
    archive = Archive(tmp_path)
    came = pack_lines(lines)[:-8] + pack_lines(lines)[-8:]
    assert archive.pack(came, "gzip", lines) is came
    archive.keep([Frame(ChunkFrame(at="", bytes=0, site="site", segment="s", first=0, last=10), came)])
    ((path, found),) = list(Reading(tmp_path / "archive"))
    assert body_of(path, found) == came
    archive.close()
