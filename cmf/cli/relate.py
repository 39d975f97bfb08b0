"""`cmf relate`: state how two artifacts are related."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cmf.cli.options import JsonOption
from cmf.cli.terminal import say, say_json

EXAMPLE = "Example: cmf relate model.pkl derived_from pretrained.pkl"


class Relations(StrEnum):
    """What can be stated of two artifacts."""

    DERIVED_FROM = "derived_from"
    VERSION_OF = "version_of"
    LABELS = "labels"
    SLICE_OF = "slice_of"


def relate(
    source: Annotated[str, typer.Argument(metavar="KEY", help="An artifact: a path, a key, or a prefix of one.")],
    relation: Annotated[Relations, typer.Argument(metavar="RELATION", help=", ".join(Relations))],
    target: Annotated[str, typer.Argument(metavar="KEY", help="The other artifact.")],
    as_json: JsonOption = False,
) -> None:
    """State that one artifact is derived from another, a version of it, its labels or a slice of it."""
    from cmf.pictures.labels import printable, short_key
    from cmf.relations import state
    from cmf.repository import Repository

    repository = Repository.find(Path.cwd())
    try:
        put = state(repository, source, relation.value, target)
    finally:
        repository.close()
    if as_json:
        say_json(put)
    else:
        say(f"{printable(short_key(put.source))} {relation} {printable(short_key(put.target))}")
