"""Lineage: the answer of a server over REST, beside the bare queries that it needs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import histories  # of the tests

from bench import layered
from bench.captured import capturing_reads, replay
from bench.figures import Figure, Section, median, p95
from bench.plan import Plan
from bench.turns import in_turns, timed
from bench.workshop import Neo4j, Workshop, load
from cmf.core.lineage import Question, lineage
from cmf.core.model import Direction
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.stores.sqlite import SqliteStore
from cmf_graph.store import Neo4jStore

_DEPTHS = {"3 hops": 3, "10 hops": 10, "unlimited": None}
_DIRECTIONS: tuple[Direction, ...] = ("upstream", "downstream")
_TARGET_MS = 3

Bare = Callable[[Store, Question], Callable[[], object]]
"""From a question to what asks the database the same, bare."""


def measure_embedded(plan: Plan, workshop: Workshop) -> list[Section]:
    """At each size, of the embedded store."""
    section = _section("of the embedded store", "SQL")
    for size in plan.embedded:
        file = workshop.store_file(size)
        store = SqliteStore(file, durable=False)
        with workshop.server(f"sqlite:///{file}") as server:
            _ask(section, size, store, _bare_sql, server.url, plan)
        store.close()
    return [section]


def measure_neo4j(plan: Plan, workshop: Workshop) -> list[Section]:
    """At the greatest size, of Neo4j."""
    section = _section("of Neo4j", "Cypher, through the bare driver,")
    size, graph = max(plan.neo4j), workshop.neo4j
    graph.empty()
    with _loaded(graph, size, workshop) as store, workshop.server(graph.uri) as server:
        _ask(section, size, store, _bare_cypher, server.url, plan)
    graph.empty()
    return [section]


def _section(of: str, language: str) -> Section:
    return Section(
        f"Lineage {of}",
        f"An answer over REST; the limit is the same {language} statements with their rows fetched, and nothing made "
        "of them. Medians over artifacts all over the history; p95 is that of REST.",
    )


@contextmanager
def _loaded(graph: Neo4j, size: int, workshop: Workshop) -> Iterator[Neo4jStore]:
    store = graph.with_schema()
    load(store, workshop.journal(size))
    yield store
    store.close()


def _ask(section: Section, size: int, store: Store, bare: Bare, url: str, plan: Plan) -> None:
    rest = _Rest(url)
    remote = Remote(url)
    nothing = in_turns(plan.questions, {"rest": timed(lambda: rest.get("/healthz"))})["rest"]
    section.figures.append(Figure("no question: `/healthz`, HTTP alone", 1000 * median(nothing), "ms"))
    keys = store.keys("md5:", "md5:;", plan.questions)  # in the order of their hashes: any
    for depth_name, depth in _DEPTHS.items():
        for direction in _DIRECTIONS:
            questions = [Question(keys=(key,), direction=direction, depth=depth) for key in keys]
            name = f"{depth_name}, {direction}, {size:,} executions"
            section.figures.append(_figure(name, questions, 1, store, bare, rest, remote))
    hub = histories.artifact(layered.corpus(0))
    name = f"what a shared dataset touched, {size:,} executions"
    section.figures.append(_figure(name, [Question(keys=(hub,), direction="downstream")], 2, store, bare, rest, remote))
    rest.close()
    remote.close()


def _figure(
    name: str, questions: list[Question], turns: int, store: Store, bare: Bare, rest: _Rest, remote: Remote
) -> Figure:
    seconds: dict[str, list[float]] = {"bare": [], "python": [], "rest": [], "client": []}
    nodes = []
    for question in (questions[0], *questions):  # the first once more, to warm up
        nodes.append(len(lineage(store, question).nodes))
        actions = {
            "bare": timed(bare(store, question)),
            "python": timed(lambda question=question: lineage(store, question)),
            "rest": timed(lambda question=question: rest.lineage(question)),
            "client": timed(lambda question=question: remote.lineage(question)),
        }
        for way, taken in in_turns(turns, actions).items():
            seconds[way] += taken
    ms = {way: 1000 * median(taken[turns:]) for way, taken in seconds.items()}
    slowest = 1000 * p95(seconds["rest"][turns:])
    beside = (
        f"{ms['rest'] - ms['bare']:+.1f} ms; {median(nodes[1:]):.0f} nodes; p95 {slowest:.1f}; "
        f"`lineage()` in process {ms['python']:.1f}; decoded by `cmf.query(URL)` {ms['client']:.1f}"
    )
    return Figure(name, ms["rest"], "ms", ms["bare"], f"≤ limit + {_TARGET_MS} ms", beside)


class _Rest:
    """A connection that is kept open, with as little around it as can be: what is measured is the server."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        assert at.hostname
        self._connection = http.client.HTTPConnection(at.hostname, at.port)

    def lineage(self, question: Question) -> bytes:
        """The answer's bytes."""
        depth = "" if question.depth is None else f"&depth={question.depth}"
        return self.get(f"/v1/lineage/{question.keys[0]}?direction={question.direction}{depth}")

    def get(self, path: str) -> bytes:
        """What is at a path."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def _bare_sql(store: Store, question: Question) -> Callable[[], object]:
    assert isinstance(store, SqliteStore)
    with capturing_reads(store) as capturing:
        lineage(store, question)
        told = capturing.taken()
    return lambda: replay(store._own.reader, told)


def _bare_cypher(store: Store, question: Question) -> Callable[[], object]:
    assert isinstance(store, Neo4jStore)
    connection = store._connection
    told: list[tuple[Any, dict[str, object]]] = []
    read = connection._read

    def remembered(query: Any, parameters: dict[str, object]) -> Any:
        told.append((query.text, parameters))
        return read(query, parameters)

    connection._read = remembered  # type: ignore[method-assign]
    try:
        lineage(store, question)
    finally:
        connection._read = read  # type: ignore[method-assign]

    def ask() -> None:
        for text, parameters in told:
            with connection.driver.session(default_access_mode="READ") as session:
                session.run(text, parameters).values()

    return ask
