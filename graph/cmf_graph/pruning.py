"""Taking nodes away for good, and keeping what comes of them later out of merges; see `cmf.core.pruning`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cmf.core import pruning
from cmf.core.delta import Delta
from cmf.core.identity import kind_of
from cmf.core.pruning import Taken, Tombstone
from cmf_graph.connection import Run
from cmf_graph.held import Held, batches
from cmf_graph.queries import load


def prune(run: Run, keys: Collection[str], at: str) -> Taken:
    """See `Transaction.prune`. The transaction holds the writer's lock."""
    executions = {key for key in keys if kind_of(key) == "execution"}
    asked = {key for key in keys if kind_of(key) == "use"}
    held = Held()
    held.read_uses(run, asked)
    uses = held.delta.uses.keys() | {use for use, _, _ in _rows(run, "merge/use_ends", executions)}
    there = _known(run, executions)
    for name, those in (("take_input", asked), ("take_output", asked), ("drop_pending", uses | asked)):
        _do(run, name, those)
    _do(run, "prune_points", executions)
    _do(run, "prune_nodes", executions)
    artifacts = {key for key in keys if kind_of(key) == "artifact"}
    artifacts -= {row[0] for row in _rows(run, "merge/used", artifacts)}
    told = _told_of(run, artifacts)
    there |= _known(run, artifacts)
    _do(run, "prune_nodes", artifacts)
    run(load("merge/note_pruned"))
    _bury(run, executions | artifacts | asked | uses, at, told)
    return Taken(there, set(uses))


def sift(run: Run, delta: Delta, at: str) -> Delta:
    """A delta without what was pruned, which is put aside."""
    sifted = pruning.sift(delta, lambda keys: _found(run, keys))
    _do(run, "drop_pruned", sifted.back)
    _bury(run, sifted.aside, at, sifted.aside)
    if sifted.uses:
        prune(run, sifted.uses, at)  # what was said of them before they came
    return sifted.kept


def _found(run: Run, keys: Collection[str]) -> Mapping[str, Tombstone]:
    return {row[0]: Tombstone(*row) for row in _rows(run, "merge/find_pruned", keys)}


def _told_of(run: Run, artifacts: Collection[str]) -> Mapping[str, Delta]:
    """What is held of artifacts themselves, with their relations to and from others."""
    held = Held()
    held.read_nodes(run, artifacts)
    held.read_relations_of(run, artifacts)
    held.read_relations_to(run, artifacts)
    return pruning.part(held.delta, (), artifacts)[1]


def _known(run: Run, keys: Collection[str]) -> set[str]:
    held = Held()
    held.read_nodes(run, keys)
    return set(held.recorded)


def _bury(run: Run, keys: Collection[str], at: str, told: Mapping[str, Delta]) -> None:
    rows = [
        {
            "key": key,
            "at": at,
            "aside": pruning.pack(told[key]) if key in told else "",
            "labels": ["PrunedUse"] if kind_of(key) == "use" else [],
        }
        for key in sorted(keys)
    ]
    for batch in batches(rows):
        run(load("merge/put_pruned"), rows=batch)


def _do(run: Run, name: str, keys: Collection[str]) -> None:
    for batch in batches(sorted(keys)):
        run(load(f"merge/{name}"), keys=batch)


def _rows(run: Run, name: str, keys: Collection[str]) -> list[list[str]]:
    return [row for batch in batches(sorted(keys)) for row in run(load(name), keys=batch)]
