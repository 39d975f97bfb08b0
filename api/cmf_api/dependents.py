"""What depends on what is to be pruned, and what that depends on: to be read before it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import msgspec

from cmf.core.answers import listed_at
from cmf.core.identity import kind_of
from cmf.core.retention import PIECE, Chosen, Plan
from cmf.core.store import Step, Store

MOST_SITES_OF = 20_000
"""Executions that are looked at for who recorded them."""


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """What stays on one side, however far; `sites` recorded its executions (the first 20,000)."""

    executions: int
    artifacts: int
    sites: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune would take, and what it would leave.

    `inputs` and `outputs` are artifacts that stay and that the executions read and wrote. `contractions` counts those
    of before that are contracted anew. `used` are artifacts that were named and stay, `running` counts executions
    that still run, `left` are those for which more would have to stand than they are: both stay.
    """

    executions: tuple[str, ...]
    artifacts: tuple[str, ...]
    uses: int
    sites: int
    stages: dict[str, int]
    types: dict[str, int]
    first: str | None
    last: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    contractions: int
    downstream: Neighbours
    upstream: Neighbours
    running: int
    left: tuple[str, ...]
    used: tuple[str, ...]


def report(store: Store, chosen: Chosen, plan: Plan, left: Collection[str]) -> Report:
    """What a plan would take, and what depends on it."""
    going = [chosen.executions[key] for key in sorted(plan.executions)]
    segments = {segment: site for site, segment, _ in store.all_heads()}
    times = sorted(filter(None, (listed_at(chosen.executions[key]) for key in plan.executions)))
    return Report(
        executions=tuple(sorted(plan.executions)),
        artifacts=tuple(sorted(plan.artifacts)),
        uses=sum(use.execution in plan.executions for use in plan.facts.uses.values()),
        sites=_sites(store, plan.executions, segments),
        stages=_counted(f"{one.pipeline or '-'} / {one.stage or '-'}" for one in going),
        types=_counted(", ".join(node.types) or "-" for node in plan.artifacts.values()),
        first=times[0] if times else None,
        last=times[-1] if times else None,
        inputs=tuple(sorted(plan.inputs)),
        outputs=tuple(sorted(plan.outputs)),
        contractions=len(plan.absorbed),
        downstream=_beyond(store, plan, "downstream", plan.outputs, segments),
        upstream=_beyond(store, plan, "upstream", plan.inputs, segments),
        running=chosen.running,
        left=tuple(sorted(left)),
        used=tuple(sorted(plan.used)),
    )


def _beyond(store: Store, plan: Plan, step: Step, roots: Collection[str], segments: dict[str, str]) -> Neighbours:
    found = set(roots)
    for edge in store.uses(sorted(roots), step, None, True) if roots else ():
        found.update((edge.source, edge.target))
    found -= plan.nodes
    executions = sorted(key for key in found if kind_of(key) == "execution")
    sites = _sites(store, executions[:MOST_SITES_OF], segments)
    return Neighbours(executions=len(executions), artifacts=len(found) - len(executions), sites=sites)


def _sites(store: Store, executions: Collection[str], segments: dict[str, str]) -> int:
    """How many sites recorded executions, by the segments that their first statements are of."""
    found: set[str] = set()
    keys = sorted(executions)[:MOST_SITES_OF]
    now = store.version().number
    for start in range(0, len(keys), PIECE):
        for fact in store.state(keys[start : start + PIECE], now).executions.values():
            origin = fact.first.split(" ")[1]
            found.add(segments.get(origin, origin))
    return len(found)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
