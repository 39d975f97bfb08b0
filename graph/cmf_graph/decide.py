"""What a merge changes: from what a delta says and what the graph holds, to rows. No I/O happens here.

Most of what arrives is new, and goes straight from the delta into rows. Only what the graph already knows is
joined, with the core's own join, and is written where that changed it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cmf.core.delta import Delta
from cmf.core.identity import kind_of
from cmf_graph.held import Held
from cmf_graph.places import placed
from cmf_graph.shape import Link, NodeRow, node_rows, parent_link, pending_rows, relation_link, use_rows

Rows = list[dict[str, Any]]


@dataclass
class Changes:
    """Rows for the statements in `cypher/merge`, of the same names.

    `touched` are nodes with something that changed and belongs to them, `moved` known executions that are members of
    other projects or pipelines than before.
    """

    create_nodes: Rows = field(default_factory=list)
    update_nodes: Rows = field(default_factory=list)
    create_links: Rows = field(default_factory=list)
    update_inputs: Rows = field(default_factory=list)
    update_outputs: Rows = field(default_factory=list)
    update_relations: Rows = field(default_factory=list)
    put_pending: Rows = field(default_factory=list)
    drop_pending: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)


def decide(delta: Delta, held: Held, now: str) -> Changes:
    """The changes that make the graph hold what it held joined with the delta."""
    changes = Changes()
    known = held.recorded.keys() | held.pending
    joined = Delta()
    joined.join(held.delta)
    joined.join(part(delta, known))
    nodes = node_keys(delta)
    places = _places(delta, held)
    _create_nodes(changes, placed(delta, places), nodes - known, now)
    _update_nodes(changes, delta, held, placed(joined, places), (nodes & known) | held.replaced, now)
    _link_parents(changes, delta, held)
    _create_uses(changes, delta, held, joined, now)
    _update_uses(changes, held, joined, now)
    _put_pending(changes, delta, held, joined, now)
    _put_relations(changes, delta, held)
    return changes


def _places(delta: Delta, held: Held) -> Delta:
    """Where executions ran, after the merge."""
    places = Delta(contexts=dict(held.places.contexts), relations=dict(held.places.relations))
    ran_in = {relation: first for relation, first in delta.relations.items() if relation.kind == "ran_in"}
    if places or ran_in:
        places.join(Delta(contexts=delta.contexts, relations=ran_in))
    return places


def part(of: Delta, keys: Collection[str]) -> Delta:
    """What a delta says of these nodes and uses themselves."""
    return Delta(
        contexts=_among(of.contexts, keys),
        executions=_among(of.executions, keys),
        artifacts=_among(of.artifacts, keys),
        uses=_among(of.uses, keys),
        endings=_among(of.endings, keys),
        starts_told=_among(of.starts_told, keys),
        commits=_among(of.commits, keys),
        urls=_among(of.urls, keys),
        properties={name: value for name, value in of.properties.items() if name[0] in keys},
        retractions=_among(of.retractions, keys),
    )


def node_keys(delta: Delta) -> set[str]:
    """Keys of the nodes that a delta speaks of."""
    keys = delta.keys()
    return {key for key in keys if kind_of(key) != "use"}


def said_of_uses(delta: Delta) -> set[str]:
    """Keys of uses that a delta says something of without telling of them."""
    said = {key for key, _ in delta.properties} | delta.retractions.keys() | delta.commits.keys() | delta.urls.keys()
    return {key for key in said if kind_of(key) == "use"} - delta.uses.keys()


def _among(of: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    fewer, other = (of, keys) if len(of) < len(keys) else (keys, of)
    return {key: of[key] for key in fewer if key in other}


def _create_nodes(changes: Changes, delta: Delta, keys: Collection[str], now: str) -> None:
    for row in node_rows(delta, sorted(keys)):
        _stamp_retraction(row.properties, now)
        changes.create_nodes.append({"labels": row.labels, "set": row.properties})


def _update_nodes(changes: Changes, delta: Delta, held: Held, joined: Delta, keys: Collection[str], now: str) -> None:
    """The nodes that are known and that the delta says something new of."""
    series = _all_series(delta, held)
    before = {row.key: row for row in node_rows(placed(held.delta, held.places), keys)}
    for row in node_rows(joined, sorted(keys)):
        old = _with_series(before[row.key], held.series.get(row.key, ()))
        new = _with_series(row, series.get(row.key, ()))
        if old == new:
            continue
        _stamp(new.properties, held.recorded[row.key], _retraction_recorded(held, joined, row.key, now))
        gone = tuple(set(old.labels) - set(new.labels))
        changes.update_nodes.append({"key": row.key, "labels": new.labels, "gone": gone, "set": new.properties})
        if kind_of(row.key) == "execution" and _memberships(old) != _memberships(new):
            changes.moved.add(row.key)


def _memberships(row: NodeRow) -> list[Any]:
    return [row.properties.get(name) for name in ("project", "branch", "pipeline", "places")]


def _all_series(delta: Delta, held: Held) -> dict[str, list[str]]:
    found = {execution: set(names) for execution, names in held.series.items()}
    for execution, name, _ in delta.points:
        found.setdefault(execution, set()).add(name)
    return {execution: sorted(names) for execution, names in found.items()}


def _with_series(row: NodeRow, series: Iterable[str]) -> NodeRow:
    # The facts of a known node are joined without its points, so their names are put in here.
    if names := list(series):
        row.properties["series"] = names
    return row


def _link_parents(changes: Changes, delta: Delta, held: Held) -> None:
    told = held.delta.contexts.keys() | held.delta.executions.keys()
    for key in (delta.contexts.keys() | delta.executions.keys()) - told:
        if link := parent_link(delta, key):
            changes.create_links.append(_link_row(link))


def _create_uses(changes: Changes, delta: Delta, held: Held, joined: Delta, now: str) -> None:
    new = delta.uses.keys() - held.recorded.keys()
    for source, keys in ((delta, new - held.pending), (joined, new & held.pending)):
        for key, link in use_rows(source, sorted(keys)):
            _stamp_retraction(link.properties, _retraction_recorded(held, source, key, now))
            changes.create_links.append(_link_row(link))
            changes.touched.add(delta.uses[key].execution)
    changes.drop_pending = sorted(new & held.pending)


def _update_uses(changes: Changes, held: Held, joined: Delta, now: str) -> None:
    before = dict(use_rows(held.delta, held.delta.uses.keys()))
    for key, link in use_rows(joined, sorted(held.delta.uses)):
        if link != before[key]:
            _stamp(link.properties, held.recorded[key], _retraction_recorded(held, joined, key, now))
            rows = changes.update_inputs if link.type == "INPUT" else changes.update_outputs
            rows.append({"key": key, "set": link.properties})
            changes.touched.add(joined.uses[key].execution)


def _put_relations(changes: Changes, delta: Delta, held: Held) -> None:
    for relation, first in delta.relations.items():
        known = held.delta.relations.get(relation)
        if known is None:
            changes.create_links.append(_link_row(relation_link(relation, first)))
            changes.touched.add(relation.source)
        elif first < known:
            changes.update_relations.append(_link_row(relation_link(relation, first)))
            changes.touched.add(relation.source)


def _put_pending(changes: Changes, delta: Delta, held: Held, joined: Delta, now: str) -> None:
    without_use = said_of_uses(delta) - held.recorded.keys()
    for source, keys in ((delta, without_use - held.pending), (joined, without_use & held.pending)):
        for key, properties in pending_rows(source, sorted(keys)):
            _stamp(properties, now, _retraction_recorded(held, source, key, now))
            changes.put_pending.append({"key": key, "set": properties})


def _stamp(properties: dict[str, Any], recorded_at: str, retraction_recorded_at: str) -> None:
    properties["recorded_at"] = recorded_at
    _stamp_retraction(properties, retraction_recorded_at)


def _stamp_retraction(properties: dict[str, Any], retraction_recorded_at: str) -> None:
    if "cmf_retraction" in properties:
        properties["retraction_recorded_at"] = retraction_recorded_at


def _retraction_recorded(held: Held, after: Delta, key: str, now: str) -> str:
    """When this store first held the retraction that is in force after the merge."""
    if key in held.retractions_recorded and held.delta.retractions.get(key) == after.retractions.get(key):
        return held.retractions_recorded[key]
    return now


def _link_row(link: Link) -> dict[str, Any]:
    return {"source": link.source, "target": link.target, "type": link.type, "set": link.properties}
