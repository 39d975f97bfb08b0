"""Pulling: a slice of a server's graph into a clone that has none of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import histories  # of the tests

from bench import client, layered
from bench.captured import Statement, capturing_reads, merges, replay, replay_merges
from bench.figures import Figure, Section, median
from bench.memory import Watch
from bench.plan import Plan
from bench.turns import in_turns
from bench.workshop import Workshop, load
from cmf.core.operations import Operation
from cmf.core.slices import answer, statements
from cmf.core.wire import ProjectBranch, PullQuestion
from cmf.repository import Repository
from cmf.stores.sqlite import SqliteStore

_PROJECT = "digits"
"""Of all executions in a history."""


def measure(plan: Plan, workshop: Workshop) -> list[Section]:
    """A chain and everything, at each size."""
    section = Section(
        "Pull",
        "The limit of a pull is the server's statements with their rows fetched bare, the bytes of the operations "
        "written with one fsync, and the rows of the clone's view put into SQLite bare; no HTTP.",
    )
    for size in plan.pulled:
        file = workshop.store_file(size)
        store = SqliteStore(file, durable=False)
        (artifact,) = store.keys("md5:8", "md5:;", 1)
        with workshop.server(f"sqlite:///{file}") as server:
            everything = PullQuestion(projects=(ProjectBranch(project=_PROJECT),))
            for name, question in (
                ("one artifact's chain", PullQuestion(artifacts=(artifact,))),
                ("everything", everything),
            ):
                section.figures.append(
                    _pull(f"{name}, of {size:,} executions", question, server.url, store, plan, workshop)
                )
        store.close()
    section.figures += _again(plan.chain, workshop)
    return [section]


def _again(executions: int, workshop: Workshop) -> Iterator[Figure]:
    """A long chain, pulled for the first time, with nothing new, and with one execution more."""
    file = workshop.new_folder("chain") / "store.db"
    store = SqliteStore(file, durable=False)
    last = f"chain-{executions}"
    _put(store, histories.chain(executions), workshop)
    question = PullQuestion(artifacts=(histories.artifact(last),))
    with workshop.server(f"sqlite:///{file}") as server:
        with Watch(server.pid) as memory:
            first, root = _into_new_clone(question, server.url, workshop)
        nothing = client.run("pull", root, server.url, question)
        _put(store, histories.execution(executions, [last], ["more"], pipeline="chain"), workshop)
        news = client.run("pull", root, server.url, question)
    store.close()
    name = f"a chain of {2 * executions:,} nodes"
    beside = f"{first['operations']:,} operations; the server's memory was {memory.peak_mib:.0f} MiB at its peak"
    yield Figure(name, first["seconds"], "s", target="≤ 10 s", beside=beside)
    yield Figure(f"{name}, again: nothing new", 1000 * nothing["seconds"], "ms")
    yield Figure(f"{name}, again: one execution", news["seconds"], "s", beside=f"{news['operations']} operations")


def _put(store: SqliteStore, operations: Iterable[Operation], workshop: Workshop) -> None:
    load(store, layered.write_journal(workshop.new_folder("journal"), iter(operations)))


def _pull(name: str, question: PullQuestion, url: str, store: SqliteStore, plan: Plan, workshop: Workshop) -> Figure:
    reads = _reads(store, question)
    told, root = _into_new_clone(question, url, workshop)
    journal = root / ".cmf" / "journal" / "pulled"
    (segment,) = journal.glob("*.jsonl")
    scratch = workshop.new_folder("scratch")
    rows = list(merges(journal, "pulled", scratch / "scratch.db"))
    numbers = iter(range(1_000))
    parts: list[tuple[float, float, float]] = []

    def bare() -> float:
        read = replay(store._own.reader, reads)
        wrote = _write(segment.read_bytes(), scratch / "bytes")
        put = replay_merges(rows, scratch / f"bare-{next(numbers)}.db", durable=False)
        parts.append((read, wrote, put))
        return read + wrote + put

    seconds = in_turns(
        plan.turns, {"ours": lambda: float(_into_new_clone(question, url, workshop)[0]["seconds"]), "bare": bare}
    )
    ours, limit = median(seconds["ours"]), median(seconds["bare"])
    read, wrote, put = (1000 * median(taken) for taken in zip(*parts, strict=True))
    count = told["operations"]
    beside = (
        f"{count:,} operations in {1000 * ours:.0f} ms; the limit's reading {read:.0f} ms, "
        f"writing {wrote:.0f} ms, view {put:.0f} ms"
    )
    return Figure(name, count / ours, "operations/s", count / limit, "", beside)


def _into_new_clone(question: PullQuestion, url: str, workshop: Workshop) -> tuple[dict[str, int], Path]:
    root = workshop.new_folder("clone")
    Repository.create(root).close()
    return client.run("pull", root, url, question), root


def _reads(store: SqliteStore, question: PullQuestion) -> list[Statement]:
    with capturing_reads(store) as capturing:
        for _ in statements(store, answer(store, question)):
            pass
        return capturing.taken()


def _write(body: bytes, path: Path) -> float:
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began
