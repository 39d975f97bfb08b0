"""Retractions: what somebody withdraws is left out of answers from then on, everywhere, until it is taken back."""

from __future__ import annotations

import os
from pathlib import Path

from cmf.core.errors import BadQuestion, InvalidValue, UnknownKey
from cmf.core.model import Artifact, Execution
from cmf.core.operations import Retract
from cmf.core.values import check_name
from cmf.relations import key_of
from cmf.repository import Repository

Named = str | os.PathLike[str] | Artifact
"""An artifact or execution, as callers name one: itself, a path, a key or a unique prefix of one."""

MOST_USES = 10_000
"""How many uses of an execution are looked through for a path."""


def retract(named: Named, reason: str, *, path: str | None = None, root: str | os.PathLike[str] | None = None) -> None:
    """Withdraw an artifact or execution, or with `path` only an execution's uses of that path, for a reason.

    It is hidden from lineage unless asked for, on the server too once it is pushed, and no late or repeated push of
    what was recorded before brings it back; `restore` does. `root` is a folder of the clone to record in, instead of
    the current one.

    Raises:
        UnknownKey, AmbiguousKey: it is in no record here; pull it first.
        FileProblem: a path is named whose content is not recorded as it is now.
        BadQuestion: the execution has no use of this path.
        InvalidValue: the reason is none.

    >>> cmf.retract("data/train.csv", "labels of May are shifted")     # doctest: +SKIP
    """
    from cmf.recording import open_repository

    state(open_repository(Path(root or ".")), named, check_name(reason, "the reason"), path)


def restore(named: Named, *, path: str | None = None, root: str | os.PathLike[str] | None = None) -> None:
    """Take a retraction back; see `retract`.

    Raises:
        BadQuestion: it is not retracted, as far as this clone knows.
        UnknownKey, AmbiguousKey, FileProblem, InvalidValue
    """
    from cmf.recording import open_repository

    state(open_repository(Path(root or ".")), named, None, path)


def state(repository: Repository, named: Named, reason: str | None, path: str | None) -> list[Retract]:
    """Retract in a clone, or with no reason take that back; → what was recorded."""
    key = _key(repository, named)
    if reason is None and path is None and not _is_retracted(repository, key):
        raise BadQuestion(
            f"{key} is not retracted, as far as this clone knows; what others retracted has to be pulled first"
        )
    keys = [key] if path is None else _uses(repository, key, path)
    told = [Retract(key=one, reason=reason) for one in keys]
    repository.record(told)
    return told


def _key(repository: Repository, named: Named) -> str:
    if isinstance(named, Artifact):
        return named.key
    from cmf.questions import Query, StoreSource

    if not repository.has_view:
        raise InvalidValue("a forked child cannot look into the view; retract in the process that opened the clone")
    asked = os.fspath(named)
    if not isinstance(asked, str) or not asked:
        raise InvalidValue(f"{named!r} names nothing that was recorded")
    if ":" not in asked and Path(asked).exists():
        return key_of(repository, asked)
    found = Query(StoreSource(repository.view), repository.root).key(asked)
    if not repository.view.nodes([found]):
        raise UnknownKey(asked)
    return found


def _is_retracted(repository: Repository, key: str) -> bool:
    return any(
        isinstance(node, Artifact | Execution) and node.retracted is not None for node in repository.view.nodes([key])
    )


def _uses(repository: Repository, execution: str, path: str) -> list[str]:
    detail = repository.view.detail(execution, MOST_USES)
    uses = detail.uses if detail else ()
    found = [use.key for use in uses if use.path == path and execution in (use.source, use.target)]
    if not found or not execution.startswith("execution:"):
        raise BadQuestion(f"{execution} is no execution that used {path!r}; 'cmf show {execution[:22]}' lists its uses")
    return found
