"""Relations between artifacts that somebody states: what a label labels, what a model was derived from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from cmf.core.errors import FileProblem, InvalidValue, UnknownKey
from cmf.core.identity import check_artifact_key
from cmf.core.model import Artifact
from cmf.core.operations import ArtifactRelation, PutRelation
from cmf.repository import Repository

RELATIONS: tuple[str, ...] = get_args(ArtifactRelation)

Named = str | os.PathLike[str] | Artifact
"""An artifact, as callers name one: itself, a path, a key or a unique prefix of one."""


def relate(
    source: Named, relation: ArtifactRelation, target: Named, *, root: str | os.PathLike[str] | None = None
) -> None:
    """State that the artifact `source` stands in a relation to `target`, outside of any run.

    `relation` is `derived_from`, `version_of`, `labels` or `slice_of`. `root` is a folder of the clone to record in,
    instead of the current one.

    Raises:
        UnknownKey, AmbiguousKey: one of them is in no record.
        FileProblem: a path is named whose content is not recorded as it is now.
        InvalidValue: no such relation, or one of an artifact to itself.

    >>> cmf.relate("model.pkl", "derived_from", "pretrained.pkl")     # doctest: +SKIP
    """
    from cmf.recording import open_repository

    state(open_repository(Path(root or ".")), source, relation, target)


def state(repository: Repository, source: Named, relation: ArtifactRelation, target: Named) -> PutRelation:
    """`relate` in a clone; → what was recorded."""
    if relation not in RELATIONS:
        raise InvalidValue(f"{relation!r} is no relation of artifacts; these are: {', '.join(RELATIONS)}")
    put = put_relation(key_of(repository, source), relation, key_of(repository, target))
    repository.record([put])
    return put


def put_relation(source: str, relation: ArtifactRelation, target: str) -> PutRelation:
    """A relation between two artifacts by their keys.

    Raises:
        InvalidValue: they are one.
    """
    if source == target:
        raise InvalidValue(f"{source} cannot stand in the relation {relation} to itself: both have the same content")
    return PutRelation(kind=relation, source=source, target=target)


def key_of(repository: Repository, named: Named) -> str:
    """The key of an artifact that is recorded.

    A path that is there stands for what is at it now, one that is not for what was last recorded under it.

    Raises:
        UnknownKey, AmbiguousKey: it is in no record.
        FileProblem: what is at the path is not recorded as it is now.
        InvalidValue: it is no artifact.
    """
    if isinstance(named, Artifact):
        return named.key
    from cmf.questions import Query, StoreSource

    if not repository.has_view:
        raise InvalidValue("a forked child cannot look into the view; hand over the artifact that a call returned")
    asked = os.fspath(named)
    if not isinstance(asked, str) or not asked:
        raise InvalidValue(f"{named!r} names no artifact")
    if ":" not in asked and Path(asked).exists():
        key = repository.contents.at(Path(asked)).key
        if not repository.view.nodes([key]):
            raise FileProblem(
                Path(asked), "is not recorded as it is now; record it with run.input(…) or run.output(…) first"
            )
        return key
    found = check_artifact_key(Query(StoreSource(repository.view), repository.root).key(asked))
    if not repository.view.nodes([found]):
        raise UnknownKey(asked)
    return found
