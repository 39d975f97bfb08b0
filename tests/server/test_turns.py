"""Who is next when many wait: sites take turns, and what is too much is told when to come back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from cmf.core.store import Store, Transaction
from cmf.stores.memory import MemoryStore
from cmf.stores.sqlite import SqliteStore
from cmf_api.errors import Busy
from cmf_api.fairness import FairQueue
from cmf_api.turns import CREDIT_BYTES, MAX_RETRY_SECONDS, PUSH_BYTES, Turns
from cmf_api.writer import CREDIT_RECORDS, MAX_GROUP_RECORDS, Writer

LARGE = 1 << 20
AMPLE = 1 << 30


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
    order = order_of(Turns(1, 800, AMPLE), [("large", LARGE)] * 50 + [("small", 1_000)] * 3)
    assert [site for site in order[:4] if site == "small"] == ["small"] * 3


def test_sites_get_as_much_as_each_other_however_they_cut_it() -> None:
    many, few = CREDIT_BYTES // 8, 2 * CREDIT_BYTES
    order = order_of(Turns(1, 800, AMPLE), [("many", many)] * 60 + [("few", few)] * 10)
    half = order[: len(order) // 2]
    given = {"many": half.count("many") * (many + PUSH_BYTES), "few": half.count("few") * (few + PUSH_BYTES)}
    assert abs(given["many"] - given["few"]) <= few + PUSH_BYTES + CREDIT_BYTES


def test_a_credit_is_not_saved_up_by_who_does_not_wait() -> None:
    queue: FairQueue[int] = FairQueue(10)
    for number in range(5):
        queue.put("a", 10, number)
    queue.put("b", 1, 100)
    assert [queue.take() for _ in range(6)].index(100) <= 1
    queue.put("b", 1_000, 200)
    queue.put("c", 10, 300)
    assert queue.take() == 300
    assert (len(queue), queue.cost) == (1, 1_000)
    assert queue.take() == 200
    assert queue.take() is None


def test_what_waits_of_a_busy_site_is_passed_over_and_keeps_its_place() -> None:
    queue: FairQueue[int] = FairQueue(10)
    queue.put("a", 10, 1)
    queue.put("a", 10, 2)
    assert queue.take({"a"}) is None
    queue.put("b", 1_000, 3)
    assert queue.take({"a"}) == 3
    assert [queue.take(), queue.take()] == [1, 2]


def test_pushes_of_one_site_come_one_after_the_other_and_no_other_site_waits_for_that() -> None:
    async def play() -> None:
        turns = Turns(3, 16, AMPLE)
        at_work: list[str] = []
        seen: list[list[str]] = []

        async def push(site: str, number: int) -> None:
            async with turns.turn(site, 1_000):
                at_work.append(f"{site}{number}")
                seen.append(sorted(at_work))
                await asyncio.sleep(0.01)
                at_work.remove(f"{site}{number}")

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(push("a", number))
            await asyncio.sleep(0)
            group.create_task(push("b", 0))
        assert all(sum(name[0] == "a" for name in names) <= 1 for names in seen)
        assert seen[1] == ["a0", "b0"], "a free place was not given to another site"
        assert turns.waiting == 0

    asyncio.run(play())


def test_a_flood_of_one_site_makes_room_for_another() -> None:
    async def play() -> None:
        turns = Turns(1, 4, AMPLE)
        sent_away: list[Busy] = []
        done: list[str] = []

        async def push(site: str) -> None:
            try:
                async with turns.turn(site, 1_000):
                    done.append(site)
            except Busy as busy:
                sent_away.append(busy)

        async with turns.turn("first", 0):
            waiting = [asyncio.create_task(push("flood")) for _ in range(9)]
            await asyncio.sleep(0)
            assert len(sent_away) == 5
            assert all(1 <= busy.retry_after_seconds <= MAX_RETRY_SECONDS for busy in sent_away)
            waiting += [asyncio.create_task(push(f"other-{n}")) for n in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert turns.waiting == 4
        await asyncio.gather(*waiting)
        assert sorted(done) == ["flood", "other-0", "other-1", "other-2"]

    asyncio.run(play())


def test_bodies_have_room_before_they_come_or_are_not_read() -> None:
    async def play() -> None:
        turns = Turns(1, 16, 3_000)
        async with turns.place("a", 2_000):
            with pytest.raises(Busy):
                async with turns.place("b", 1_001):
                    raise AssertionError("there was no room")
            async with turns.place("b", 1_000):
                pass
        async with turns.place("a", 1_000):
            with pytest.raises(Busy):  # the bodies of one site may have half of the room
                async with turns.place("a", 501):
                    raise AssertionError("there was no room")
        async with turns.place("b", 3_000) as place, place.turn(10), turns.place("c", 3_000):
            pass  # what is worked on is no longer on its way

    asyncio.run(play())


def test_whoever_goes_away_leaves_nothing_behind() -> None:
    async def play() -> None:
        turns = Turns(1, 16, 3_000)

        async def push() -> None:
            async with turns.place("site", 1_000) as place, place.turn(1_000):
                await asyncio.sleep(0)

        async with turns.turn("first", 1):
            waiting = [asyncio.create_task(push()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[1].cancel()  # while it waits
            await asyncio.sleep(0)
        waiting[0].cancel()  # its turn has just been given to it
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[2].exception() is None
        async with asyncio.timeout(5), turns.place("last", 3_000) as place, place.turn(3_000):
            assert turns.waiting == 0

    asyncio.run(play())


def test_the_time_to_come_back_is_longer_the_more_waits() -> None:
    async def told(waiting_bytes: int) -> int:
        turns = Turns(1, 16, AMPLE)
        async with turns.turn("first", CREDIT_BYTES), contextlib.AsyncExitStack() as stack:
            task = asyncio.create_task(stack.enter_async_context(turns.turn("site", waiting_bytes)))
            await asyncio.sleep(0)
            try:
                return turns._busy().retry_after_seconds
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    assert asyncio.run(told(1)) <= 2
    assert 4 <= asyncio.run(told(40 * CREDIT_BYTES)) <= 12


@pytest.fixture(params=["memory", "sqlite"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "w.db", durable=False)


def held_writer(store: Store, max_waiting: int = 10_000) -> tuple[Writer, Callable[[], None]]:
    """A writer that is in the middle of something, and what lets it go on."""
    writer = Writer(store, max_waiting)
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)

    writer.submit(hold, 1, site="first")
    assert begun.wait(30)
    return writer, go_on.set


def test_the_next_transaction_has_what_is_small_however_much_another_site_wants(any_store: Store) -> None:
    writer, let_go = held_writer(any_store)
    order: list[str] = []
    transactions: list[int] = []

    def note(site: str) -> Callable[[Transaction], None]:
        def work(transaction: Transaction) -> None:
            order.append(site)
            transactions.append(id(transaction))

        return work

    outcomes: list[Future[None]] = [writer.submit(note("large"), 5_000, site="large") for _ in range(200)]
    assert writer.is_full
    outcomes += [writer.submit(note("small"), 10, site="small") for _ in range(5)]
    let_go()
    for outcome in outcomes:
        outcome.result(30)
    writer.close()
    first_of_small, last_of_small = order.index("small"), len(order) - order[::-1].index("small")
    # 5 pushes of 10 records are within one credit: they wait for what one transaction takes at most.
    assert CREDIT_RECORDS >= 10 * 5
    assert last_of_small - first_of_small == 5
    assert first_of_small * 5_000 <= MAX_GROUP_RECORDS
    assert len(order) == 205
    any_store.close()


def test_many_small_ones_share_a_transaction(any_store: Store) -> None:
    writer, let_go = held_writer(any_store)
    seen: set[int] = set()
    kept: list[Transaction] = []  # alive, so that no two have one id

    def work(transaction: Transaction) -> None:
        kept.append(transaction)
        seen.add(id(transaction))

    outcomes = [writer.submit(work, 3, site=f"site-{n % 40}") for n in range(400)]
    let_go()
    for outcome in outcomes:
        outcome.result(30)
    writer.close()
    assert len(kept) == 400
    assert len(seen) == 1
    any_store.close()


def test_what_waits_when_a_writer_closes_is_done(any_store: Store) -> None:
    writer, let_go = held_writer(any_store, max_waiting=50)
    outcomes = [writer.submit(lambda _: 7, 4_000, site=f"site-{n}") for n in range(50)]
    with pytest.raises(Busy):
        writer.submit(lambda _: 7, 1, site="one more")
    closing = threading.Thread(target=writer.close)
    closing.start()
    let_go()
    closing.join(30)
    assert [outcome.result(0) for outcome in outcomes] == [7] * 50
    any_store.close()
