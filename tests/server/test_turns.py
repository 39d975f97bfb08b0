"""Who pushes when many do: the sites take turns, what is too much is told when to come back, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from histories import artifact, as_recorded, execution, record, typical
from server_process import ServerProcess

from cmf import journal, sync
from cmf.core.lineage import Question
from cmf.core.store import Store
from cmf.core.wire import NDJSON
from cmf.remote import Remote, pack
from cmf_api.errors import Busy
from cmf_api.turns import CREDIT_BYTES, PUSH_BYTES, Turns

LARGE = 1 << 20


def order_of(turns: Turns, pushes: list[tuple[str, int]]) -> list[str]:
    """In which order pushes of (site, bytes) are worked on that all came while one was."""

    async def play() -> list[str]:
        done: list[str] = []

        async def push(site: str, size: int) -> None:
            async with turns.turn(site, size):
                done.append(site)
                await asyncio.sleep(0)

        async with turns.turn("first", 0):
            waiting = [asyncio.create_task(push(*each)) for each in pushes]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return done

    return asyncio.run(play())


def test_a_small_site_does_not_wait_for_the_backlog_of_a_large_one() -> None:
    order = order_of(Turns(1, 800, 1 << 30), [("large", LARGE)] * 50 + [("small", 1_000)] * 3)
    assert order.index("small") <= 1
    assert [site for site in order[:8] if site == "small"] == ["small"] * 3


def test_sites_get_as_much_as_each_other_however_they_cut_it() -> None:
    many, few = CREDIT_BYTES // 8, 2 * CREDIT_BYTES
    order = order_of(Turns(1, 800, 1 << 30), [("many", many)] * 60 + [("few", few)] * 10)
    half = order[: len(order) // 2]
    given = {"many": half.count("many") * (many + PUSH_BYTES), "few": half.count("few") * (few + PUSH_BYTES)}
    assert abs(given["many"] - given["few"]) <= few + PUSH_BYTES + CREDIT_BYTES


def test_what_is_too_much_is_sent_away_with_a_time_to_come_back() -> None:
    async def play() -> None:
        turns = Turns(1, 16, 3_000)
        async with turns.turn("busy", 0), contextlib.AsyncExitStack() as stack:
            waiting = [asyncio.create_task(stack.enter_async_context(turns.turn("one", 1_000))) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(Busy, match="this site") as sent_away:
                turns.expect_room("one")
            assert 1 <= sent_away.value.retry_after_seconds <= 60
            turns.expect_room("other")
            with pytest.raises(Busy, match="too many pushes are waiting"):
                turns.expect_room("other", 1_001)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            turns.expect_room("one", 3_000)  # those that went away hold no place
        async with asyncio.timeout(5), turns.turn("one", 10):
            pass

    asyncio.run(play())


def test_whoever_goes_away_at_the_moment_of_its_turn_passes_it_on() -> None:
    async def play() -> None:
        turns = Turns(1, 16, 1 << 20)

        async def push() -> None:
            async with turns.turn("site", 1):
                await asyncio.sleep(0)

        async with turns.turn("first", 1):
            waiting = [asyncio.create_task(push()) for _ in range(2)]
            await asyncio.sleep(0)
        waiting[0].cancel()  # its turn has just been given to it
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[1].exception() is None
        async with asyncio.timeout(5), turns.turn("last", 1):
            pass

    asyncio.run(play())


def test_a_flood_of_one_site_is_answered_and_all_of_it_arrives_in_the_end(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    flooding = record(tmp_path / "a", typical(200))
    (segment,) = flooding.segments
    body = pack([line for line, _ in journal.read(segment.path)])
    together = threading.Barrier(40)
    answers: list[httpx.Response] = []

    def push(client: httpx.Client) -> None:
        together.wait()
        headers = {"content-type": NDJSON, "content-encoding": "gzip"}
        answers.append(client.post(f"/v1/journals/{flooding.site}/{segment.name}", content=body, headers=headers))

    with ThreadPoolExecutor(40) as pool, httpx.Client(base_url=server.url, timeout=60) as client:
        list(pool.map(push, [client] * 40))
    away = [answer for answer in answers if answer.status_code == 503]
    assert away
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in away:
        assert answer.json()["code"] == "Busy"
        assert int(answer.headers["retry-after"]) == answer.json()["retry_after_seconds"] <= 60
    assert sum(answer.json()["applied"] for answer in answers if answer.status_code == 200) == 2_000
    store = open_store()
    assert store.state() == as_recorded(flooding)
    store.close()


def test_32_sites_at_once_and_readers_meanwhile(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    # All of them speak of the same artifacts and stages, so that they touch the same nodes.
    sites = [
        record(tmp_path / f"s{n}", [*typical(12, start=12 * n), *execution(1_000 + n, ["raw"], ["model", f"o{n}"])])
        for n in range(32)
    ]
    pushing = threading.Event()
    asked: list[int] = []

    def read() -> None:
        remote = Remote(server.url)
        pushing.wait()
        while pushing.is_set():
            remote.stats()
            if asked:  # it is known by now
                remote.lineage(Question(keys=(artifact("raw"),), direction="both"))
            asked.append(1)

    def push(number: int) -> sync.Pushed:
        pushed = sync.push(sites[number], Remote(server.url))
        asked.append(1)
        return pushed

    readers = [threading.Thread(target=read) for _ in range(3)]
    sync.push(sites[0], Remote(server.url))
    for reader in readers:
        reader.start()
    pushing.set()
    with ThreadPoolExecutor(31) as pool:
        pushed = list(pool.map(push, range(1, 32)))
    pushing.clear()
    for reader in readers:
        reader.join()
    assert [one.applied for one in pushed] == [sum(head.sequence for head in _heads(site)) for site in sites[1:]]
    store = open_store()
    assert store.state() == as_recorded(*sites)
    store.close()


def _heads(site: object) -> list[journal.Head]:
    from cmf.repository import Repository

    assert isinstance(site, Repository)
    return [list(journal.read(segment.path))[-1][1] for segment in site.segments]
