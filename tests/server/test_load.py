"""Many sites at once: all of them arrive, readers are answered meanwhile, and too much is told when to come back."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from histories import artifact, as_recorded, execution, record, typical
from server_process import ServerProcess

from cmf import journal, patience, sync
from cmf.core.errors import ServerBusy
from cmf.core.lineage import Question
from cmf.core.operations import PutArtifact, SetProperty
from cmf.core.store import Store
from cmf.core.wire import NDJSON, Received
from cmf.remote import Remote, pack

SITES = 32


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_32_sites_at_once_and_readers_meanwhile(
    tmp_path: Path, store_url: str, open_store: Callable[[], Store], options: tuple[str, ...]
) -> None:
    # All of them speak of the same artifacts and stages, and contradict each other, so that they touch the same nodes.
    shared = artifact("raw")
    sites = [
        record(
            tmp_path / f"s{n}",
            [
                PutArtifact(key=shared, name="raw", types=("Dataset",)),
                SetProperty(key=shared, name="said_by", value=n),
                *typical(15, start=12 * n),
                *execution(1_000 + n, ["raw"], ["model", f"o{n}"]),
            ],
            at_once=40,
        )
        for n in range(SITES)
    ]
    ended = threading.Event()
    answered = [0] * 3

    def read(reader: int, url: str) -> None:
        remote = Remote(url)
        while not ended.is_set():
            remote.stats()
            remote.lineage(Question(keys=(shared,), direction="both"))
            answered[reader] += 1

    def push(site: int, url: str) -> int:
        remote = Remote(url)
        applied = 0
        for segment in sites[site].segments:
            lines = [line for line, _ in journal.read(segment.path)]
            # In many pieces: each is a transaction, or a part of one.
            for piece in range(0, len(lines), 20):
                applied += remote.push(segment.site, segment.name, pack(lines[piece : piece + 20])).applied
        return applied

    with ServerProcess(tmp_path, store_url, *options) as server, ThreadPoolExecutor(SITES + 3) as pool:
        sync.push(
            record(tmp_path / "first", [PutArtifact(key=shared, name="raw", types=("Dataset",))]), Remote(server.url)
        )
        readers = [pool.submit(read, reader, server.url) for reader in range(3)]
        # Nothing here retries: an error of a driver that reaches a client fails the test.
        pushed = list(pool.map(lambda site: push(site, server.url), range(SITES)))
        ended.set()
        for reader in readers:
            reader.result(60)
    assert pushed == [2 + 15 * 10 + 8] * SITES
    assert min(answered) > 0
    store = open_store()
    told = store.state()
    assert told == as_recorded(*sites, _clone(tmp_path / "first"))
    store.close()


def test_a_small_site_is_answered_while_a_large_one_floods(tmp_path: Path, server: ServerProcess) -> None:
    large = record(tmp_path / "large", typical(2_000), at_once=1_000)
    small = record(tmp_path / "small", typical(1, start=10_000))
    lines = [[line for line, _ in journal.read(segment.path)] for segment in large.segments]
    together = threading.Barrier(5)
    taken: list[float] = []

    def flood(copy: int) -> None:
        # Four pushes of it at a time; each copy is a segment of its own under the same site.
        remote = Remote(server.url)
        together.wait()
        for segment in lines:
            header = segment[0].replace(b'"segment":"', b'"segment":"c%d' % copy)
            renamed = _rechained([header, *segment[1:]])
            name = f"c{copy}" + large.segments[0].name
            for piece in range(0, len(renamed), 1_000):
                remote.push(large.site, name, pack(renamed[piece : piece + 1_000]))
                taken.append(time.monotonic())

    with ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(flood, copy) for copy in range(4)]
        together.wait()
        while len(taken) < 4:
            time.sleep(0.01)
        before = len(taken)
        assert sync.push(small, Remote(server.url)).applied == 10
        meanwhile = len(taken) - before
        assert not all(each.done() for each in floods), "the flood was over too early to tell anything"
        for each in floods:
            each.result(120)
    # Of 80 pushes of the flood, those of the transaction in progress and of the next were before it, twice: the small
    # site asks where it stands, then pushes.
    assert meanwhile <= 24


def test_too_much_is_told_when_to_come_back_and_memory_is_bounded(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    site = record(tmp_path / "a", typical(400))
    (segment,) = site.segments
    body = pack([line for line, _ in journal.read(segment.path)])
    together = threading.Barrier(120)
    answers: list[httpx.Response] = []
    greatest = [0]
    ended = threading.Event()

    def watch() -> None:
        process = psutil.Process(server.pid)
        while not ended.wait(0.05):
            greatest[0] = max(greatest[0], process.memory_info().rss)

    def push(client: httpx.Client) -> None:
        together.wait()
        headers = {"content-type": NDJSON, "content-encoding": "gzip"}
        answers.append(client.post(f"/v1/journals/{site.site}/{segment.name}", content=body, headers=headers))

    watcher = threading.Thread(target=watch)
    watcher.start()
    limits = httpx.Limits(max_connections=120)
    with ThreadPoolExecutor(120) as pool, httpx.Client(base_url=server.url, timeout=120, limits=limits) as client:
        list(pool.map(push, [client] * 120))
    ended.set()
    watcher.join()
    away = [answer for answer in answers if answer.status_code == 503]
    assert away
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in away:
        assert answer.json()["code"] == "Busy"
        assert 1 <= int(answer.headers["retry-after"]) == answer.json()["retry_after_seconds"] <= 60
    assert sum(answer.json()["applied"] for answer in answers if answer.status_code == 200) == 4_000
    assert greatest[0] < 400 << 20, f"{greatest[0] >> 20} MiB"
    store = open_store()
    assert store.state() == as_recorded(site)
    store.close()


class Reluctant(Remote):
    """The real server, behind one that has too much to do at first."""

    busy = 2

    def push(self, site: str, segment: str, packed: bytes) -> Received:
        if self.busy:
            self.busy -= 1
            error = ServerBusy("too many pushes are waiting")
            error.retry_after_seconds = 0.0
            raise error
        return super().push(site, segment, packed)


def test_a_push_waits_for_a_server_that_is_busy_and_says_so(tmp_path: Path, server: ServerProcess) -> None:
    site = record(tmp_path / "a", typical(2))
    with pytest.warns(patience.BusyWarning, match="too much to do"):
        assert sync.push(site, Reluctant(server.url)).applied == 20


def test_a_push_gives_up_in_the_end(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    site = record(tmp_path / "a", typical(2))
    monkeypatch.setattr(patience, "BUSY_SECONDS", 1.2)
    remote = Reluctant(server.url)
    remote.busy = 1_000
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", patience.BusyWarning)
        with pytest.raises(ServerBusy, match=r"was so for \d+ seconds, try later"):
            sync.push(site, remote)
    assert time.monotonic() - began < 10
    assert sync.push(site, Remote(server.url)).applied == 20


def _clone(root: Path):  # type: ignore[no-untyped-def]
    from cmf.repository import Repository

    return Repository.find(root)


def _rechained(lines: list[bytes]) -> list[bytes]:
    """A segment whose header was changed, with sums that follow from it."""
    from cmf.core.records import chain

    total = chain("", lines[0])
    made = [lines[0]]
    for line in lines[1:]:
        content = line[: line.rindex(b',"sum":')]
        total = chain(total, content)
        made.append(content + b',"sum":"' + total.encode() + b'"}')
    return made
