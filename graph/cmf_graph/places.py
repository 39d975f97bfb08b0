"""Where executions ran whose own record does not say it: relations to stages, which the graph holds in two pieces.

What an execution is listed under then depends on nodes beside it, so a merge that tells of those touches it too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cmf.core.delta import Delta
from cmf.core.identity import kind_of
from cmf.core.operations import ForeignIdentity
from cmf_graph.connection import Run
from cmf_graph.held import Held, batches
from cmf_graph.queries import load


def foreign(*deltas: Delta) -> set[str]:
    """The executions that these deltas tell of and that other systems recorded."""
    return {
        key for delta in deltas for key, fact in delta.executions.items() if isinstance(fact.identity, ForeignIdentity)
    }


def places_of(run: Run, executions: Collection[str], contexts: Collection[str] = ()) -> Delta:
    """The `ran_in` relations of executions, and what is told of their contexts, of `contexts`, and of the parents."""
    found = Held()
    found.read_relations_of(run, executions)
    relations = {relation: first for relation, first in found.delta.relations.items() if relation.kind == "ran_in"}
    found.read_nodes(run, {relation.target for relation in relations}.union(contexts))
    found.read_nodes(run, _parents(found.delta) - found.recorded.keys())
    return Delta(contexts=found.delta.contexts, relations=relations)


def read_touched(run: Run, delta: Delta, held: Held) -> None:
    """Take in the executions whose places a delta tells of, and all that is held of where they ran."""
    new = [key for key in delta.contexts if key in held.recorded and key not in held.delta.contexts]
    for batch in batches(sorted(new)):
        held.replaced.update(row[0] for row in run(load("read/ran_in"), keys=batch))
    held.read_nodes(run, held.replaced - held.recorded.keys())
    targets = {relation.target for relation in delta.relations if relation.kind == "ran_in"}
    known = {key for key in held.recorded if kind_of(key) == "execution"}
    executions = (foreign(delta, held.delta) & known) | held.replaced
    if executions or targets:
        held.replaced |= {r.source for r in delta.relations if r.kind == "ran_in"} & known
        held.places = places_of(run, executions, targets | _parents(delta))


def placed(of: Delta, places: Delta) -> Delta:
    """A delta with what else is known of where its executions ran."""
    if not places:
        return of
    return replace(of, contexts={**places.contexts, **of.contexts}, relations={**of.relations, **places.relations})


def _parents(of: Delta) -> set[str]:
    return {fact.operation.parent for fact in of.contexts.values() if fact.operation.parent}
