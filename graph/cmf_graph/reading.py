"""Answers about nodes, made by the core from the facts that the graph holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from cmf.core import answers
from cmf.core.delta import Delta, Register
from cmf.core.identity import kind_of
from cmf.core.model import Node, NodeDetail, Point, Relation
from cmf.core.records import Stamp
from cmf.core.series import POINTS
from cmf_graph.connection import Run
from cmf_graph.held import BATCH, Held, batches
from cmf_graph.places import foreign, placed, places_of
from cmf_graph.queries import load
from cmf_graph.shape import points_id

POINTS_AT_ONCE = 50_000
"""Points that are fetched at once, or somewhat more: a few megabytes."""


def nodes(run: Run, keys: Collection[str]) -> list[Node]:
    """The nodes with these keys that are known."""
    held = Held()
    held.read_nodes(run, keys)
    _name_series(held)
    ran = foreign(held.delta)
    known = placed(held.delta, places_of(run, ran)) if ran else held.delta
    return list(answers.nodes(known, held.recorded, held.recorded))


def detail(run: Run, key: str, limit: int) -> NodeDetail | None:
    """One node whole, with its first uses."""
    found = nodes(run, [key])
    if not found:
        return None
    held = Held()
    for artifact, execution, facts in run(load("read/uses_at"), key=key, limit=limit):
        held.take_use(artifact, execution, facts)
    for kind, source, target, first in run(load("read/relations_at"), key=key):
        held.take_relation(kind, source, target, first)
    return NodeDetail(
        node=found[0],
        uses=tuple(answers.edges(held.delta, held.delta.uses)),
        uses_total=run(load("read/uses_count"), key=key)[0][0],
        relations=answers.relations(held.delta),
    )


def points(run: Run, execution: str, series: str) -> Iterator[Sequence[Point]]:
    """The points of a series, in the order of their chunks, some chunks at a time."""
    ids: list[str] = []
    size = 0
    for chunk, count in run(load("read/chunks_of_series"), execution=execution, series=series):
        ids.append(points_id(execution, series, chunk))
        size += count
        if size >= POINTS_AT_ONCE or len(ids) >= BATCH:
            yield from _points(run, ids)
            ids, size = [], 0
    yield from _points(run, ids)


def _points(run: Run, ids: list[str]) -> Iterator[Sequence[Point]]:
    found = {id_: rows for id_, _, rows in run(load("merge/find_points"), ids=ids)}
    return (POINTS.decode(found[id_]) for id_ in ids)


def relations(run: Run, keys: Collection[str]) -> list[Relation]:
    """The relations at either end of these nodes."""
    held = Held()
    held.read_relations_of(run, keys)
    held.read_relations_to(run, keys)
    return list(answers.relations(held.delta))


def newer(run: Run, keys: Collection[str], after: int) -> set[str]:
    """Those of these nodes and uses that are newer than a version."""
    found: set[str] = set()
    uses = sorted(key for key in keys if kind_of(key) == "use")
    nodes = sorted(key for key in keys if kind_of(key) != "use")
    for name, asked in (("newer_nodes", nodes), ("newer_uses", uses)):
        for batch in batches(asked):
            found.update(row[0] for row in run(load(f"read/{name}"), keys=batch, after=after))
    return found


def state(run: Run, keys: Collection[str], points_after: int, every_pending: bool = False) -> Delta:
    """All that is held of these nodes, their uses and relations; of a use, where its own key is among them."""
    held = Held()
    uses = [key for key in keys if kind_of(key) == "use"]
    others = [key for key in keys if kind_of(key) != "use"]
    executions = [key for key in others if kind_of(key) == "execution"]
    held.read_nodes(run, others)
    held.read_uses_of(run, executions)
    held.read_relations_of(run, others)
    held.read_points_of(run, [key for key in executions if key in held.series], points_after)
    if every_pending:
        for key, facts in run(load("read/pending")):
            held.take_pending(key, facts)
    elif uses:
        _say_of_uses(run, held, uses)
    return held.delta


def _say_of_uses(run: Run, held: Held, keys: list[str]) -> None:
    """What was said of uses: it belongs to their own key, the use itself to its execution."""
    asked = Held()
    asked.read_uses(run, keys)
    for key, facts in run(load("merge/find_pending"), keys=keys):
        asked.take_pending(key, facts)
    asked.delta.uses.clear()
    for part in ("commits", "urls", "properties", "retractions"):
        getattr(held.delta, part).update(getattr(asked.delta, part))


def _name_series(held: Held) -> None:
    for execution, names in held.series.items():
        for name in names:
            held.delta.points[execution, name, 0] = Register(Stamp(""), b"", ())
