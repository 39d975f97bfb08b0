"""`cmf retract`: withdraw what was recorded, or take that back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmf.cli.options import JsonOption
from cmf.cli.terminal import say, say_json

EXAMPLE = 'Example: cmf retract data/train.csv --reason "labels of May are shifted"\n\nExample: cmf retract 4f1c --undo'


def retract(
    named: Annotated[
        str, typer.Argument(metavar="KEY|PATH", help="An artifact or execution: a path, a key, or a prefix of one.")
    ],
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it stands wherever it is shown.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the retraction back.")] = False,
    path: Annotated[
        str | None, typer.Option("--use", metavar="PATH", help="Of an execution: only that it used this path.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw an artifact, an execution or a use: answers leave it out, here and, once pushed, on the server.

    Nothing is deleted: --include-retracted shows it with the reason, and --undo takes it back.
    """
    from cmf.core.values import check_name
    from cmf.pictures.labels import printable, short_key
    from cmf.repository import Repository
    from cmf.retracting import state

    if (reason is None) != undo:
        raise typer.BadParameter("say why with --reason TEXT, or take it back with --undo")
    repository = Repository.find(Path.cwd())
    try:
        told = state(repository, named, None if undo else check_name(reason or "", "the reason"), path)
    finally:
        repository.close()
    if as_json:
        say_json(told)
        return
    for one in told:
        say(f"{'restored' if undo else 'retracted'} {printable(short_key(one.key))}")
