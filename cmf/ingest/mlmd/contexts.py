"""The contexts of ML Metadata as pipelines and stages.

A context with a parent is a stage of its uppermost parent, as cmflib writes it; so is TFX's `node` of the pipeline in
its name. Any other is a pipeline: one that is something else by its type (a run of a pipeline, an experiment) has that
before its name, so that two are never taken for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from cmf.core.errors import BadQuestion
from cmf.core.values import fit
from cmf.ingest.mlmd.file import Row

PIPELINES = {"Parent_Context", "pipeline", "system.Pipeline"}
"""The types whose contexts are pipelines: those of cmflib, TFX and Kubeflow."""

NODE = "node"


class Place(NamedTuple):
    """A pipeline, or a stage of it."""

    pipeline: str
    stage: str | None

    @property
    def label(self) -> str:
        """Both, as people write them."""
        return fit(f"{self.pipeline}/{self.stage}" if self.stage is not None else self.pipeline)


def places(rows: Sequence[Row], parents: Mapping[int, Sequence[int]]) -> dict[int, tuple[Place, ...]]:
    """What each context is, by its id; several where it has several parents."""
    known = {row.id: row for row in rows}
    pipelines = {row.name or "" for row in rows if row.type in PIPELINES}
    return {row.id: tuple(_places(row, known, parents, pipelines)) for row in rows}


def among(found: Mapping[int, tuple[Place, ...]], pipeline: str) -> set[int]:
    """The contexts of one pipeline.

    Raises:
        BadQuestion: there is no such pipeline.
    """
    chosen = {id_ for id_, of in found.items() if any(place.pipeline == pipeline for place in of)}
    if not chosen:
        names = sorted({place.pipeline for of in found.values() for place in of})
        raise BadQuestion(f"no pipeline {pipeline!r} in this file; it has {', '.join(map(repr, names[:20])) or 'none'}")
    return chosen


def _places(
    row: Row, known: Mapping[int, Row], parents: Mapping[int, Sequence[int]], pipelines: Collection[str]
) -> list[Place]:
    name = row.name or f"{row.type} {row.id}"
    roots = sorted({root for root in _roots(row.id, parents, set()) if root in known and root != row.id})
    if roots:
        return [_stage(_pipeline(known[root]), name) for root in roots]
    if row.type == NODE:
        # A name of its own pipeline comes before it: `<pipeline>.<node>`.
        for pipeline in sorted(pipelines, key=len, reverse=True):
            if pipeline and name.startswith(pipeline + "."):
                return [Place(fit(pipeline), fit(name.removeprefix(pipeline + ".")))]
    return [Place(_pipeline(row), None)]


def _roots(context: int, parents: Mapping[int, Sequence[int]], seen: set[int]) -> set[int]:
    """The uppermost contexts above one; itself where there is none above, nothing where parents go in a circle."""
    if context in seen:
        return set()
    above = parents.get(context, ())
    return {root for parent in above for root in _roots(parent, parents, seen | {context})} if above else {context}


def _pipeline(row: Row) -> str:
    name = row.name or str(row.id)
    return fit(name if row.type in PIPELINES else f"{row.type}:{name}")


def _stage(pipeline: str, name: str) -> Place:
    """A stage; cmflib writes the pipeline's name before the stage's."""
    return Place(pipeline, fit(name.removeprefix(pipeline + "/")))
