"""Joining a delta into the graph, under the writer's lock: read what is known of it, decide, write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cmf.core.delta import Delta
from cmf.core.identity import stage_key
from cmf.core.operations import ForeignIdentity
from cmf_graph.connection import Run
from cmf_graph.decide import Changes, decide, node_keys, said_of_uses
from cmf_graph.held import BATCH, Held, batches
from cmf_graph.places import read_touched
from cmf_graph.queries import load
from cmf_graph.shape import points_id

POINTS_AT_ONCE = 100_000
"""Points of one statement, or somewhat more: some megabytes. A chunk may have ten thousand of them, or one."""

_IN_ORDER = (
    "create_nodes",
    "update_nodes",
    "create_links",
    "update_inputs",
    "update_outputs",
    "update_relations",
    "put_pending",
)
"""The statements over rows: nodes before what connects them."""


class Moment(NamedTuple):
    """When a transaction is, for people and for whoever asks what is newer."""

    now: str
    version: int


def merge(run: Run, delta: Delta, moment: Moment) -> None:
    """Join a delta into the graph. The caller's transaction holds the writer's lock, so nothing changes meanwhile."""
    delta = _whole(delta)
    held = _held(run, delta)
    changes = decide(delta, held, moment.now)
    _write(run, changes, moment)
    changes.touched |= _put_points(run, delta, held, moment)
    _state_newer(run, changes, held, moment)


def _whole(delta: Delta) -> Delta:
    """The delta, with the contexts that its executions tell of, which a piece read from a store may lack."""
    for fact in delta.executions.values():
        of = fact.identity
        if isinstance(of, ForeignIdentity):
            continue
        stage = delta.contexts.get(stage_key(of.pipeline, of.stage, of.namespace))
        if stage is None or stage.first > fact.first:
            whole = Delta()
            whole.join(delta)
            return whole
    return delta


def _held(run: Run, delta: Delta) -> Held:
    held = Held()
    held.read_nodes(run, node_keys(delta))
    read_touched(run, delta, held)
    _hold_pending(run, delta, held)
    known = held.recorded
    # A use can only be here if both its ends are, so what comes with a new execution is not looked for.
    possible = [key for key, use in delta.uses.items() if use.execution in known and use.artifact in known]
    held.read_uses(run, said_of_uses(delta).union(possible))
    held.read_relations(run, [r for r in delta.relations if r.source in known and r.target in known])
    return held


def _hold_pending(run: Run, delta: Delta, held: Held) -> None:
    keys = said_of_uses(delta) | delta.uses.keys()
    if not keys or not run(load("merge/any_pending")):
        return
    for batch in batches(sorted(keys)):
        for key, facts in run(load("merge/find_pending"), keys=batch):
            held.take_pending(key, facts)


def _write(run: Run, changes: Changes, moment: Moment) -> None:
    for name in _IN_ORDER:
        query = load(f"merge/{name}")
        stamp = {name: value for name, value in moment._asdict().items() if name in query.parameters}
        for batch in batches(getattr(changes, name)):
            run(query, rows=batch, **stamp)
    for batch in batches(changes.drop_pending):
        run(load("merge/drop_pending"), keys=batch)


def _state_newer(run: Run, changes: Changes, held: Held, moment: Moment) -> None:
    """Let nodes that were known be as new as what belongs to them."""
    written = {row["key"] for row in changes.update_nodes}
    touched = {key for key in changes.touched if key in held.recorded and key not in written}
    for name, keys in (("touch_nodes", touched), ("move_uses", changes.moved), ("move_points", changes.moved)):
        for batch in batches(sorted(keys)):
            run(load(f"merge/{name}"), keys=batch, version=moment.version)


def _put_points(run: Run, delta: Delta, held: Held, moment: Moment) -> set[str]:
    """Write chunks of points that are new; → their executions."""
    ids = {points_id(*chunk): chunk for chunk in delta.points}
    known: dict[str, tuple[str, bytes]] = {}
    for batch in batches([id_ for id_, (execution, _, _) in ids.items() if execution in held.series]):
        known |= {id_: (stamp, order) for id_, stamp, order in _stamps(run, batch)}
    rows = [
        _points_row(id_, chunk, delta)
        for id_, chunk in ids.items()
        if id_ not in known or delta.points[chunk][:2] > known[id_]
    ]
    piece: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += row["set"]["count"]
        if size >= POINTS_AT_ONCE or len(piece) >= BATCH:
            run(load("merge/put_points"), rows=piece, version=moment.version)
            piece, size = [], 0
    if piece:
        run(load("merge/put_points"), rows=piece, version=moment.version)
    return {row["execution"] for row in rows}


def _stamps(run: Run, ids: list[str]) -> list[tuple[str, str, bytes]]:
    return [(id_, stamp, rows.encode()) for id_, stamp, rows in run(load("merge/find_points"), ids=ids)]


def _points_row(id_: str, chunk: tuple[str, str, int], delta: Delta) -> Mapping[str, Any]:
    execution, series, number = chunk
    register = delta.points[chunk]
    return {
        "execution": execution,
        "set": {
            "id": id_,
            "name": series,
            "series": series,
            "chunk": number,
            "count": len(register.value),
            "stamp": register.stamp,
            "rows": register.order.decode(),
        },
    }
