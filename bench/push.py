"""Pushing: from a clone's journal into the graph of a server, over HTTP, merged and committed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import bare_graph, client
from bench.captured import merges, replay_merges
from bench.figures import Figure, Section, median, number
from bench.layered import RECORDS_OF_EXECUTION
from bench.memory import Watch
from bench.plan import Plan
from bench.workshop import Neo4j, Workshop, packets
from cmf.core import chunks
from cmf.core.store import Store
from cmf.remote import pack
from cmf.repository import Repository
from cmf.stores.sqlite import SqliteStore
from cmf_api.bodies import lines
from cmf_api.settings import ServerSettings

_EMBEDDED_LIMIT = (
    "The limit of a push into the embedded store is the very statements of the merge with their rows ready, given to "
    "SQLite bare: the same tables and indexes, a transaction a chunk, synchronous FULL, no HTTP."
)
_NEO4J_LIMIT = (
    "The limit of a push into Neo4j is the same nodes and relationships with the same properties, their rows ready, "
    "merged by the bare driver with UNWIND and MERGE: as many in a transaction, the same constraints and indexes, no "
    "HTTP. (What is known to be new can be created instead, which is cheaper: that is told beside.) The Neo4j is warm."
)


_LARGEST_AGAIN = 10_000
"""Executions that are pushed a second time: what it costs a record does not depend on how many there are."""


def measure_embedded(plan: Plan, workshop: Workshop) -> list[Section]:
    """Pushes into the embedded store."""
    pushes = Section("Push into the embedded store", _EMBEDDED_LIMIT)
    memory = _memory_section("the embedded store")
    for size in plan.embedded:
        _push_embedded(size, plan.turns_of(size), workshop, pushes, memory)
    journal = workshop.journal(min(10_000, max(plan.embedded)))
    store = SqliteStore(workshop.new_folder("parts") / "store.db", durable=True)
    parts = _parts(journal, store)
    store.close()
    return [pushes, parts, memory]


def measure_neo4j(plan: Plan, workshop: Workshop) -> list[Section]:
    """Pushes into Neo4j."""
    graph = workshop.neo4j
    pushes = Section("Push into Neo4j", _NEO4J_LIMIT)
    memory = _memory_section("Neo4j")
    _warm(workshop, graph, min(2_000, max(plan.neo4j)))
    for size in plan.neo4j:
        _push_neo4j(size, plan.turns_of(size), workshop, pushes, memory)
    journal = workshop.journal(max(plan.neo4j))
    graph.empty()
    store = graph.with_schema()
    parts = _parts(journal, store)
    store.close()
    graph.empty()
    return [pushes, parts, memory]


def _memory_section(where: str) -> Section:
    limit = f"Resident memory while pushing into {where}; the limit of a server is what it held before the push."
    return Section(f"Memory during a push into {where}", limit)


def _push_embedded(size: int, turns: int, workshop: Workshop, pushes: Section, memory: Section) -> None:
    journal = workshop.journal(size)
    folder = workshop.new_folder("scratch")
    bare = merges(journal.folder / "journal", journal.site, folder / "scratch.db")
    told: Any = list(bare) if turns > 1 else bare
    ours, limit, again = [], [], []
    for turn in range(turns):
        file = workshop.new_folder("pushed") / "store.db"
        with _serving(workshop, f"sqlite:///{file}", memory if turn == 0 else None, journal, size) as (url, seconds):
            ours.append(seconds)
            limit.append(replay_merges(told, folder / f"bare-{turn}.db", durable=True))
            if turn == turns - 1:
                again = list(_again(size, journal, url))
        workshop.keep_store(size, file)
    pushes.figures += [_figure(size, ours, limit, "≥ 20,000/s"), *again]
    workshop.drop(folder)


def _push_neo4j(size: int, turns: int, workshop: Workshop, pushes: Section, memory: Section) -> None:
    graph, journal = workshop.neo4j, workshop.journal(size)
    transactions = sum(1 for _ in packets(journal))
    pieces: bare_graph.Pieces | None = None
    ours, limit, created, again = [], [], [], []
    for turn in range(turns):
        graph.empty()
        with _serving(workshop, graph.uri, memory if turn == 0 else None, journal, size) as (url, seconds):
            ours.append(seconds)
            pieces = pieces or bare_graph.read_back(graph, transactions)
            if turn == turns - 1:
                again = list(_again(size, journal, url))
        graph.empty()
        limit.append(bare_graph.write(graph, pieces, bare_graph.MERGE))
        graph.empty()
        created.append(bare_graph.write(graph, pieces, bare_graph.CREATE))
    told = f"; bare CREATE instead of MERGE {number(size * RECORDS_OF_EXECUTION / median(created))}/s"
    pushes.figures += [_figure(size, ours, limit, "≥ 10,000/s", told), *again]


@contextmanager
def _serving(
    workshop: Workshop, store: str, memory: Section | None, journal: Repository, size: int
) -> Iterator[tuple[str, float]]:
    """A server that a journal was pushed to, and the seconds that took."""
    with workshop.server(store) as server:
        pusher = client.Client("push", journal.root, server.url)
        with Watch(server.pid) as of_server, Watch(pusher.pid) as of_client:
            told = pusher.do()
        pusher.end()
        assert told["applied"] == size * RECORDS_OF_EXECUTION, told
        if memory is not None:
            records = f"{size * RECORDS_OF_EXECUTION:,} records"
            more = f"{of_server.peak_mib - of_server.before_mib:+.0f} MiB"
            figure = Figure(
                f"server, peak, {records}", of_server.peak_mib, "MiB", of_server.before_mib, "does not grow", more
            )
            more = f"{of_client.peak_mib - of_client.before_mib:+.0f} MiB"
            beside = Figure(f"client, peak, {records}", of_client.peak_mib, "MiB", of_client.before_mib, "", more)
            memory.figures += [figure, beside]
        yield server.url, told["seconds"]


def _figure(size: int, ours: list[float], limit: list[float], target: str, more: str = "") -> Figure:
    records = size * RECORDS_OF_EXECUTION
    seconds, least = median(ours), median(limit)
    beside = f"{records:,} records; {seconds:.1f} s, the limit {least:.1f} s{more}"
    name = f"push, {size:,} executions"
    return Figure(name, records / seconds, "records/s", records / least, target, beside)


def _again(size: int, journal: Repository, url: str) -> Iterator[Figure]:
    """What a push costs when the server has it all already."""
    records = size * RECORDS_OF_EXECUTION
    if size <= _LARGEST_AGAIN:
        told = client.run("again", journal.root, url)
        assert (told["applied"], told["duplicates"]) == (0, records), told
        name = f"the same again, all known, {size:,} executions"
        rate = records / told["seconds"]
        yield Figure(name, rate, "records/s", None, "", f"{told['requests']} requests")
    nothing = [client.run("push", journal.root, url) for _ in range(3)]
    requests = max(told["requests"] for told in nothing)
    took = 1000 * median([told["seconds"] for told in nothing])
    beside = "1 request" if requests == 1 else f"{requests} requests"
    yield Figure(f"nothing new, {size:,} executions", took, "ms", None, "1 request", beside)


def _warm(workshop: Workshop, graph: Neo4j, size: int) -> None:
    """Let Neo4j compile what it will run: a fresh one is several times slower, whoever asks."""
    journal = workshop.journal(size, seed=2)
    for _ in range(2):
        graph.empty()
        with workshop.server(graph.uri) as server:
            client.run("push", journal.root, server.url)
        pieces = bare_graph.read_back(graph, sum(1 for _ in packets(journal)))
        graph.empty()
        bare_graph.write(graph, pieces, bare_graph.MERGE)
        graph.empty()
        bare_graph.write(graph, pieces, bare_graph.CREATE)


def _parts(journal: Repository, store: Store) -> Section:
    """Where a push's time goes: its steps one after the other in this process, without HTTP."""
    steps: dict[str, float] = {}

    def step(name: str, action: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        done = action()
        steps[name] = steps.get(name, 0.0) + time.perf_counter() - began
        return done

    count = 0
    source = packets(journal)
    settings = ServerSettings(home=Path(os.devnull))  # nothing is kept there
    while packet := step("client: read the journal, check its chain", lambda: next(source, None)):
        segment, told = packet
        count += len(told)
        body = step("client: compress", lambda told=told: pack(told))
        step("server: uncompress, split", lambda body=body: lines(body, "gzip", settings))
        chunk = step(
            "server: decode, check, fold", lambda segment=segment, told=told: chunks.parse(journal.site, segment, told)
        )
        step("server: merge and commit", lambda chunk=chunk: store.write(lambda tx: chunks.merge(tx, chunk)))
    where = "the embedded store" if isinstance(store, SqliteStore) else "Neo4j"
    section = Section(
        f"Where a push into {where} spends its time",
        f"The steps of pushing {count:,} records, one after the other in one process, without HTTP; there is no limit. "
        "In a push the client's steps run beside the server's.",
    )
    total = sum(steps.values())
    for name, seconds in steps.items():
        section.figures.append(Figure(name, 1e6 * seconds / count, "µs", beside=f"{100 * seconds / total:.0f} %"))
    return section
