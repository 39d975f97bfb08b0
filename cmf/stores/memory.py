"""The store in memory, on networkx: the specification that the other stores are held against.

Its graph is one delta; everything it answers is read off that in the plainest way.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

import networkx as nx

from cmf.clock import milliseconds, now
from cmf.core import answers, foreign, pruning
from cmf.core.delta import Delta, RelationFact
from cmf.core.foreign import Place
from cmf.core.identity import kind_of
from cmf.core.model import Artifact, Edge, Execution, Node, NodeDetail, Page, Pipeline, Point, Relation, Stats
from cmf.core.paging import after_cursor, cursor_of
from cmf.core.pruning import Taken, Tombstone
from cmf.core.store import Filters, Head, ListKind, SiteHeads, Step, Transaction, Version

T = TypeVar("T")


class MemoryStore:
    """Everything in one delta."""

    def __init__(self) -> None:
        self._delta = Delta()
        self._heads: dict[tuple[str, str], Head] = {}
        self._notes: dict[str, tuple[str, str]] = {}
        self._recorded: dict[str, str] = {}
        self._last_merge: str | None = None
        self._version = Version(secrets.token_hex(16), 0)
        self._versions: dict[str, int] = {}
        """When each node changed and each use came; see `newer`."""
        self._points: dict[tuple[str, str, int], int] = {}
        self._tombs: dict[str, Tombstone] = {}
        self._lock = threading.RLock()

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Keep what `work` did once it returned; see the port."""
        with self._lock:
            before = self.state()
            transaction = _MemoryTransaction(
                self._heads, self.state(), dict(self._tombs), self._recorded.keys(), self._notes
            )
            result = work(transaction)
            self._delta, self._tombs = transaction.delta, transaction.tombs
            for known in (self._recorded, self._versions):
                for key in transaction.taken & known.keys():
                    del known[key]
            self._version = Version(self._version.store, max(self._version.number + 1, milliseconds()))
            self._note_changes(before)
            self._heads.update(transaction.heads)
            self._notes = transaction.notes
            self._last_merge = now()
            for key in self._delta.keys() - self._recorded.keys():
                self._recorded[key] = self._last_merge
            return result

    def heads(self, site: str) -> Mapping[str, Head]:
        """See the port."""
        return {segment: head for (of, segment), head in self._heads.items() if of == site}

    def all_heads(self) -> Iterator[tuple[str, str, Head]]:
        """See the port."""
        return iter([(site, segment, head) for (site, segment), head in self._heads.items()])

    def sites(self, after: str, limit: int) -> list[SiteHeads]:
        """See the port."""
        found = sorted({site for site, _ in self._heads if site > after})[:limit]
        return [
            SiteHeads(site, len(self.heads(site)), sum(head.sequence for head in self.heads(site).values()))
            for site in found
        ]

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """See the port."""
        graph = self._graph(include_retracted)
        walked = graph.reverse(copy=False) if step == "upstream" else graph
        reached: set[str] = set()
        for root in roots:
            if root in walked:
                reached.update(nx.single_source_shortest_path_length(walked, root, cutoff=max_edges))
        return [answers.bare_edge(key, self._delta.uses[key]) for _, _, key in walked.edges(reached, keys=True)]

    def nodes(self, keys: Iterable[str]) -> list[Node]:
        """See the port."""
        known = [key for key in keys if key in self._recorded and kind_of(key) != "use"]
        return list(answers.nodes(self._delta, known, self._recorded))

    def detail(self, key: str, limit: int) -> NodeDetail | None:
        """See the port."""
        found = self.nodes([key])
        if not found:
            return None
        uses = sorted(
            (use for use, fact in self._delta.uses.items() if key in (fact.artifact, fact.execution)),
            key=lambda use: (self._delta.uses[use].direction, self._delta.uses[use].path, use),
        )
        related = {r: first for r, first in self._delta.relations.items() if key in (r.source, r.target)}
        return NodeDetail(
            node=found[0],
            uses=tuple(answers.edges(self._delta, uses[:limit])),
            uses_total=len(uses),
            relations=answers.relations(Delta(relations=related)),
        )

    def keys(self, first: str, last: str, limit: int) -> list[str]:
        """See the port."""
        return [key for key in self.all_keys() if first <= key < last][:limit]

    def at_path(self, path: str) -> str | None:
        """See the port."""
        uses = [(use.first, use.artifact) for use in self._delta.uses.values() if use.path == path]
        return max(uses)[1] if uses else None

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """See the port."""
        listed = [node for node in self.nodes(self._told(kind)) if self._passes(node, filters)]
        listed.sort(key=_order, reverse=kind != "pipeline")
        rest = after_cursor(listed, cursor, _order, descending=kind != "pipeline")
        page = rest[:limit]
        more = len(rest) > limit
        return Page(items=tuple(page), next=cursor_of(_order(page[-1])) if more else None, total=len(listed))

    def members(self, projects: Collection[tuple[str, str | None]], pipelines: Collection[str]) -> list[str]:
        """See the port."""
        ran = foreign.places(self._delta)
        return sorted(
            node.key
            for node in self.nodes(self._delta.executions)
            if isinstance(node, Execution)
            and (
                any(place.pipeline in pipelines for place in _places(node, ran))
                or any(_of_project(node, project, branch) for project, branch in projects)
            )
        )

    def version(self) -> Version:
        """See the port."""
        return self._version

    def newer(self, keys: Collection[str], after: int) -> set[str]:
        """See the port."""
        return {key for key in keys if self._versions.get(key, 0) > after}

    def state(self, keys: Collection[str] | None = None, points_after: int = 0) -> Delta:
        """See the port."""
        copy = Delta()
        copy.join(self._delta)
        copy.points = {chunk: rows for chunk, rows in copy.points.items() if self._points[chunk] > points_after}
        return copy if keys is None else _restricted(copy, set(keys))

    def all_keys(self) -> Iterable[str]:
        """See the port."""
        return sorted(key for key in self._recorded if kind_of(key) != "use")

    def awaited_uses(self) -> Iterator[str]:
        """See the port."""
        said = {*self._delta.retractions, *(key for key, _ in self._delta.properties)}
        return iter(sorted(key for key in said if kind_of(key) == "use" and key not in self._delta.uses))

    def points(self, execution: str, series: str) -> Iterator[Sequence[Point]]:
        """See the port."""
        chunks = [key for key in self._delta.points if key[:2] == (execution, series)]
        return iter([self._delta.points[chunk].value for chunk in sorted(chunks)])

    def relations(self, keys: Collection[str]) -> list[Relation]:
        """See the port."""
        asked = set(keys)
        near = {r: first for r, first in self._delta.relations.items() if asked & {r.source, r.target}}
        return list(answers.relations(Delta(relations=near)))

    def pruned(self, first: str, last: str, limit: int) -> list[Tombstone]:
        """See the port."""
        return [self._tombs[key] for key in sorted(self._tombs) if first <= key < last][:limit]

    def stats(self) -> Stats:
        """See the port."""
        of = self._delta
        kinds = {"artifact": len(of.artifacts), "execution": len(of.executions), "use": len(of.uses)}
        contexts = Counter(fact.operation.kind for fact in of.contexts.values())
        types = Counter(name for fact in of.artifacts.values() for name in fact.types)
        return Stats(
            kinds=kinds | {"pipeline": contexts["pipeline"], "stage": contexts["stage"]},
            types=dict(sorted(types.items())),
            sites=len({site for site, _ in self._heads}),
            last_merge=self._last_merge,
            version=str(self._version),
            pruned=sum(kind_of(key) != "use" for key in self._tombs),
        )

    def check(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _note_changes(self, before: Delta) -> None:
        """Give this version to what is not as before: nodes, uses that came, and what moved whole."""
        ran, ran_before = foreign.places(self._delta), foreign.places(before)
        known = {node.key: node for node in answers.nodes(before, before.executions, {})}
        moved = {
            node.key
            for node in answers.nodes(self._delta, self._delta.executions, {})
            if isinstance(node, Execution)
            and (node.key not in known or _memberships(node, ran) != _memberships(known[node.key], ran_before))
        }
        came = {key for key, use in self._delta.uses.items() if key not in before.uses or use.execution in moved}
        had, has = _belongings(before), _belongings(self._delta)
        nodes = {key for key in self._delta.keys() if kind_of(key) != "use"}  # noqa: SIM118 (no dict, and its keys() says more)
        changed = {key for key in nodes if key not in self._recorded or has.get(key) != had.get(key)}
        self._versions |= dict.fromkeys(changed | moved | came, self._version.number)
        for chunk, rows in self._delta.points.items():
            if chunk[0] in moved or before.points.get(chunk) != rows:
                self._points[chunk] = self._version.number

    def _graph(self, include_retracted: bool) -> nx.MultiDiGraph:
        graph = nx.MultiDiGraph()
        graph.add_nodes_from(key for key in self.all_keys() if include_retracted or not self._is_retracted(key))
        for key, use in self._delta.uses.items():
            if include_retracted or not any(map(self._is_retracted, (key, use.artifact, use.execution))):
                edge = answers.bare_edge(key, use)
                graph.add_edge(edge.source, edge.target, key)
        return graph

    def _is_retracted(self, key: str) -> bool:
        retraction = self._delta.retractions.get(key)
        return retraction is not None and retraction.value is not None

    def _told(self, kind: ListKind) -> Iterable[str]:
        if kind == "artifact":
            return self._delta.artifacts
        if kind == "execution":
            return self._delta.executions
        return [key for key, fact in self._delta.contexts.items() if fact.operation.kind == "pipeline"]

    def _passes(self, node: Node, filters: Filters) -> bool:
        if filters.q is not None and not _matches(node, filters.q):
            return False
        if filters.name not in (None, node.name):
            return False
        match node:
            case Artifact():
                return filters.status is None and filters.type in (None, *node.types) and self._used(node.key, filters)
            case Execution():
                return (
                    filters.type in (None, node.type)
                    and filters.status in (None, node.status)
                    and self._ran_in(node, filters)
                    and filters.project in (None, node.project)
                )
            case _:
                return not any((filters.type, filters.stage, filters.project, filters.status, filters.pipeline))

    def _ran_in(self, execution: Execution, filters: Filters) -> bool:
        """Whether one of the places that an execution ran in is that pipeline and that stage."""
        return any(
            filters.pipeline in (None, place.pipeline) and filters.stage in (None, place.stage)
            for place in _places(execution, foreign.places(self._delta))
        )

    def _used(self, artifact: str, filters: Filters) -> bool:
        """Whether an execution of that pipeline, stage and project uses the artifact."""
        narrowed = Filters(pipeline=filters.pipeline, stage=filters.stage, project=filters.project)
        if narrowed == Filters():
            return True
        users = {use.execution for use in self._delta.uses.values() if use.artifact == artifact}
        return any(self._passes(node, narrowed) for node in self.nodes(users))


class _MemoryTransaction:
    """Works on copies of the graph and the tombstones."""

    def __init__(
        self,
        heads: Mapping[tuple[str, str], Head],
        delta: Delta,
        tombs: dict[str, Tombstone],
        recorded: Collection[str],
        notes: Mapping[str, tuple[str, str]],
    ) -> None:
        self._known = heads
        self.notes = {name: note for name, note in notes.items() if note[1] > now()}
        self.heads: dict[tuple[str, str], Head] = {}
        self.delta = delta
        self.tombs = tombs
        self.taken: set[str] = set()
        self._recorded = recorded

    def head(self, site: str, segment: str) -> Head | None:
        return self.heads.get((site, segment)) or self._known.get((site, segment))

    def advance(self, site: str, segment: str, head: Head) -> None:
        self.heads[site, segment] = head

    def merge(self, delta: Delta) -> None:
        sifted = pruning.sift(delta, lambda keys: {key: self.tombs[key] for key in self.tombs.keys() & keys})
        for key in sifted.back:
            del self.tombs[key]
        for key, told in sifted.aside.items():
            self.tombs[key] = self.tombs[key]._replace(aside=pruning.pack(told))
        if sifted.uses:
            self._take({*sifted.uses}, set(), now())
        self.delta.join(sifted.kept)

    def prune(self, keys: Collection[str], at: str) -> Taken:
        executions = {key for key in keys if kind_of(key) == "execution"}
        uses = {key for key in keys if kind_of(key) == "use"}
        uses |= {key for key, use in self.delta.uses.items() if use.execution in executions}
        staying = {use.artifact for key, use in self.delta.uses.items() if key not in uses}
        artifacts = {key for key in keys if kind_of(key) == "artifact"} - staying
        return self._take(executions | uses, artifacts, at)

    def _take(self, dead: set[str], artifacts: set[str], at: str) -> Taken:
        before, used = self.delta.keys() | set(self._recorded) - self.taken, self.delta.uses.keys()
        self.delta, told = pruning.part(self.delta, dead, artifacts)
        for key in dead | artifacts:
            tomb = self.tombs.setdefault(key, Tombstone(key, at))
            if key in told:
                self.tombs[key] = tomb._replace(aside=pruning.pack(told[key]))
        self.taken |= dead | artifacts
        nodes = (dead | artifacts) & before
        return Taken({key for key in nodes if kind_of(key) != "use"}, dead & used)

    def kept(self, name: str) -> str | None:
        return self.notes[name][0] if name in self.notes and self.notes[name][1] > now() else None

    def keep(self, name: str, content: str, until: str) -> None:
        self.notes[name] = content, until


def _order(node: Node) -> tuple[str, str]:
    match node:
        case Execution():
            return answers.listed_at(node), node.key
        case Artifact():
            return node.first_seen or "", node.key
        case Pipeline():
            return node.name, node.key
        case _:
            return "", node.key


def _matches(node: Node, q: str) -> bool:
    return q.lower() in node.name.lower() or node.key.partition(":")[2].startswith(q) or node.key.startswith(q)


def _memberships(node: Node, ran: Mapping[str, tuple[Place, ...]]) -> object:
    """The projects and pipelines that an execution is listed in."""
    assert isinstance(node, Execution)
    return node.project, node.branch, {place.pipeline for place in _places(node, ran)}


def _belongings(of: Delta) -> dict[str, dict[object, object]]:
    """What belongs to each node, as `Store.state` has it."""
    found: dict[str, dict[object, object]] = defaultdict(dict)
    for part in fields(Delta):
        for key, fact in getattr(of, part.name).items():
            named = key.source if isinstance(key, RelationFact) else key[0] if isinstance(key, tuple) else key
            owner = of.uses[named].execution if named in of.uses else named
            found[owner][part.name, key] = fact
    return found


def _places(node: Execution, ran: Mapping[str, tuple[Place, ...]]) -> tuple[Place, ...]:
    """Everywhere that an execution ran."""
    return ran.get(node.key) or (Place(node.pipeline, node.stage),)


def _of_project(node: Execution, project: str, branch: str | None) -> bool:
    return node.project == project and branch in (None, node.branch)


def _restricted(of: Delta, keys: set[str]) -> Delta:
    """The part of a delta that belongs to these nodes; see `Store.state`."""
    uses = {key: use for key, use in of.uses.items() if use.execution in keys}
    named = keys | uses.keys()
    return Delta(
        contexts={k: v for k, v in of.contexts.items() if k in keys},
        executions={k: v for k, v in of.executions.items() if k in keys},
        artifacts={k: v for k, v in of.artifacts.items() if k in keys},
        uses=uses,
        relations={k: v for k, v in of.relations.items() if k.source in keys},
        endings={k: v for k, v in of.endings.items() if k in keys},
        starts_told={k: v for k, v in of.starts_told.items() if k in keys},
        commits={k: v for k, v in of.commits.items() if k in named},
        urls={k: v for k, v in of.urls.items() if k in named},
        properties={k: v for k, v in of.properties.items() if k[0] in named},
        retractions={k: v for k, v in of.retractions.items() if k in named},
        points={k: v for k, v in of.points.items() if k[0] in keys},
    )
