"""What statements would tell a graph that it does not know yet.

Other tools' records are read again and again, mostly unchanged. What is known already is not written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cmf.core.delta import ArtifactFact, Delta, Register, apply, join_artifacts
from cmf.core.operations import Operation
from cmf.core.records import Stamp

Stated = tuple[Stamp, Operation]


def news(statements: Iterable[Stated], held: Delta) -> Iterator[Stated]:
    """Those statements that say something new beside `held`, which must hold all of the nodes that they speak of.

    That something which is so already was also said later, or of an earlier time, is none.
    """
    for stamp, operation in statements:
        told = Delta()
        apply(operation, stamp, told)
        if _is_new(told, held):
            yield stamp, operation


def _is_new(told: Delta, held: Delta) -> bool:
    return (
        not told.contexts.keys() <= held.contexts.keys()
        or not told.executions.keys() <= held.executions.keys()
        or not told.uses.keys() <= held.uses.keys()
        or not told.relations.keys() <= held.relations.keys()
        or any(_adds(fact, held.artifacts.get(key)) for key, fact in told.artifacts.items())
        or any(start < held.starts_told.get(key, "9999") for key, start in told.starts_told.items())
        or any(
            _outranks(register, known.get(key))
            for registers, known in _registers(told, held)
            for key, register in registers.items()
        )
    )


def _registers(told: Delta, held: Delta) -> Iterator[tuple[dict[Any, Register[Any]], dict[Any, Register[Any]]]]:
    for name in ("endings", "commits", "urls", "properties", "retractions", "points"):
        yield getattr(told, name), getattr(held, name)


def _adds(told: ArtifactFact, known: ArtifactFact | None) -> bool:
    """Whether it has another type, a greater size, the content of a record; a name told earlier is no news."""
    return known is None or join_artifacts(known, told)[2:] != known[2:]


def _outranks(told: Register[Any], known: Register[Any] | None) -> bool:
    return known is None or (told.order != known.order and told[:2] > known[:2])
