"""`Neo4jStore`: the port of `cmf.core.store` on Neo4j."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from cmf.clock import milliseconds, now
from cmf.core.answers import listed_at
from cmf.core.delta import Delta
from cmf.core.model import Artifact, Edge, Execution, Node, NodeDetail, Page, Point, Relation, Stats
from cmf.core.paging import cursor_of
from cmf.core.pruning import Taken, Tombstone
from cmf.core.store import Filters, Head, ListKind, SiteHeads, Step, Transaction, Version
from cmf_graph import lineage, pruning, reading
from cmf_graph.connection import Connection, Run
from cmf_graph.lists import page
from cmf_graph.merge import Moment, merge
from cmf_graph.plain import paths
from cmf_graph.queries import Query, load
from cmf_graph.schema import Schema

T = TypeVar("T")

KEYS_PAGE = 10_000
_LAST = "\x7f"
"""Sorts behind every character of a key."""


class Neo4jStore:
    """The graph on a Neo4j. One writer works at a time, across all programs that write to it.

    Nothing is connected until the first use; every method raises StoreUnavailable or StoreIncompatible.

    Raises:
        SettingsProblem: the URL is malformed.
    """

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)
        self._schema = Schema(self._connection)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See the port."""
        self._schema.ensure()

        def locked(run: Run) -> T:
            at = now()
            version, pruned = run(load("merge/lock"), now=at, milliseconds=milliseconds())[0]
            return work(_Neo4jTransaction(run, Moment(at, version), pruned))

        return self._connection.write(locked)

    def heads(self, site: str) -> Mapping[str, Head]:
        """See the port."""
        return {segment: Head(*head) for segment, *head in self._read(load("read/heads"), site=site)}

    def all_heads(self) -> Iterator[tuple[str, str, Head]]:
        """See the port."""
        after = ""
        while found := self._read(load("read/all_heads"), after=after, limit=KEYS_PAGE):
            for site, segment, *head in found:
                yield site, segment, Head(*head)
            after = f"{found[-1][0]}/{found[-1][1]}"

    def sites(self, after: str, limit: int) -> list[SiteHeads]:
        """See the port."""
        return [SiteHeads(*row) for row in self._read(load("read/sites"), after=after, limit=limit)]

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """See the port."""
        self._schema.ensure()
        return lineage.uses(self._connection, roots, step, max_edges, include_retracted)

    def nodes(self, keys: Iterable[str]) -> list[Node]:
        """See the port."""
        return reading.nodes(self._read, set(keys))

    def detail(self, key: str, limit: int) -> NodeDetail | None:
        """See the port."""
        return reading.detail(self._read, key, limit)

    def keys(self, first: str, last: str, limit: int) -> list[str]:
        """See the port."""
        return [row[0] for row in self._read(load("read/keys"), first=first, last=last, limit=limit)]

    def at_path(self, path: str) -> str | None:
        """See the port."""
        asked = {"long_path": None, **paths(path)}
        found = [
            *self._read(load("search/latest_input"), **asked),
            *self._read(load("search/latest_output"), **asked),
        ]
        return max(found)[1] if found else None

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """See the port."""
        self._schema.ensure()
        listed = page(self._connection, kind, filters, limit, cursor)
        found = {node.key: node for node in self.nodes(listed.keys)}
        items = tuple(found[key] for key in listed.keys if key in found)
        following = cursor_of(_position(items[-1])) if listed.more and items else None
        return Page(items=items, next=following, total=listed.total)

    def members(self, projects: Collection[tuple[str, str | None]], pipelines: Collection[str]) -> list[str]:
        """See the port."""
        found: set[str] = set()
        for project, branch in projects:
            found.update(row[0] for row in self._read(load("read/members_of_project"), project=project, branch=branch))
        for pipeline in pipelines:
            found.update(row[0] for row in self._read(load("read/members_of_pipeline"), pipeline=pipeline))
        return sorted(found)

    def version(self) -> Version:
        """See the port."""
        if not (rows := self._read(load("read/store_version"))):
            self._schema.check()  # it was emptied while this was open
            rows = self._read(load("read/store_version"))
        return Version(*rows[0])

    def newer(self, keys: Collection[str], after: int) -> set[str]:
        """See the port."""
        return reading.newer(self._read, keys, after)

    def state(self, keys: Collection[str] | None = None, points_after: int = 0) -> Delta:
        """See the port."""
        if keys is None:
            return reading.state(self._read, list(self.all_keys()), points_after, every_pending=True)
        return reading.state(self._read, keys, points_after)

    def all_keys(self) -> Iterator[str]:
        """See the port."""
        first = ""
        while found := self.keys(first, _LAST, KEYS_PAGE):
            yield from found
            first = found[-1] + " "  # sorts behind that key, and before every longer one

    def awaited_uses(self) -> Iterator[str]:
        """See the port."""
        after = ""
        while found := self._read(load("read/awaited_uses"), after=after, limit=KEYS_PAGE):
            yield from (row[0] for row in found)
            after = found[-1][0]

    def points(self, execution: str, series: str) -> Iterator[Sequence[Point]]:
        """See the port."""
        return reading.points(self._read, execution, series)

    def relations(self, keys: Collection[str]) -> list[Relation]:
        """See the port."""
        return reading.relations(self._read, keys)

    def pruned(self, first: str, last: str, limit: int) -> list[Tombstone]:
        """See the port."""
        return [Tombstone(*row) for row in self._read(load("read/pruned"), first=first, last=last, limit=limit)]

    def stats(self) -> Stats:
        """See the port."""
        query = load("read/kinds")
        counts: dict[str, Any] = dict(zip(query.returns, self._read(query)[0], strict=True))
        kinds = {kind: counts[kind] for kind in ("artifact", "execution", "pipeline", "stage")}
        return Stats(
            kinds=kinds | {"use": counts["input"] + counts["output"]},
            types=dict(map(tuple, self._read(load("read/types")))),
            sites=counts["sites"],
            last_merge=counts["last_merge"],
            version=str(self.version()),
            pruned=counts["pruned"],
        )

    def check(self) -> None:
        """See the port."""
        self._schema.check()

    def close(self) -> None:
        """See the port."""
        self._connection.close()

    def _read(self, query: Query, **parameters: object) -> list[list[Any]]:
        self._schema.ensure()
        return self._connection.read(query, **parameters)


class _Neo4jTransaction:
    """The writing side, while the writer's lock is held."""

    def __init__(self, run: Run, moment: Moment, pruned: bool) -> None:
        self._run = run
        self._moment = moment
        self._pruned = pruned

    def head(self, site: str, segment: str) -> Head | None:
        """See the port."""
        rows = self._run(load("merge/head"), id=f"{site}/{segment}")
        return Head(*rows[0]) if rows else None

    def advance(self, site: str, segment: str, head: Head) -> None:
        """See the port."""
        self._run(load("merge/advance"), id=f"{site}/{segment}", site=site, segment=segment, **head._asdict())

    def merge(self, delta: Delta) -> None:
        """See the port."""
        if self._pruned:
            delta = pruning.sift(self._run, delta, self._moment.now)
        merge(self._run, delta, self._moment)

    def prune(self, keys: Collection[str], at: str) -> Taken:
        """See the port."""
        self._pruned = True
        return pruning.prune(self._run, keys, at)

    def kept(self, name: str) -> str | None:
        """See the port."""
        rows = self._run(load("merge/kept"), name=name, now=self._moment.now)
        return rows[0][0] if rows else None

    def keep(self, name: str, content: str, until: str) -> None:
        """See the port."""
        self._run(load("merge/forget_kept"), now=self._moment.now)
        self._run(load("merge/keep"), name=name, content=content, until=until)


def _position(node: Node) -> tuple[str, str]:
    """Where a node is in its list."""
    match node:
        case Execution():
            return listed_at(node), node.key
        case Artifact():
            return node.first_seen or "", node.key
        case _:
            return node.name, node.key
