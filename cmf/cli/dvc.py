"""`cmf dvc`: what DVC recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.groups import Once, group
from cmf.cli.options import JsonOption
from cmf.cli.terminal import note, say, say_json

if TYPE_CHECKING:
    from cmf.ingest.dvc import Ingested

EXAMPLE = "dvc ingest pipelines/digits --pipeline digits"

app = group("dvc", "Bring in what DVC recorded.", EXAMPLE)


@app.command(cls=Once, epilog=f"Example: cmf {EXAMPLE}")
def ingest(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where dvc.yaml and dvc.lock are.")] = Path(),
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the pipeline, where the folder's name will not do.")
    ] = None,
    file_name: Annotated[
        str | None, typer.Option("-f", "--file_name", metavar="PATH", hidden=True, help="As in cmflib, for FOLDER.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Record the stages of a DVC pipeline as dvc.lock has them.

    What is known already is not recorded again.
    """
    from cmf.core.values import check_name
    from cmf.ingest.dvc import check_there
    from cmf.ingest.dvc import ingest as ingest_dvc
    from cmf.recording import open_repository

    if file_name is not None:
        from cmf.compat.session import folder_of

        folder = folder_of(file_name)
    if pipeline is not None:
        check_name(pipeline, "the pipeline's name")
    check_there(folder.resolve())  # before the folder is made a clone
    done = ingest_dvc(open_repository(folder), folder, pipeline)
    for text in done.notes:
        note(text)
    if as_json:
        say_json(done._asdict())
    else:
        say(_words(done))


def _words(done: Ingested) -> str:
    from cmf.pictures.labels import counted

    stages = counted(len(done.executions), "stage")
    if not done.executions:
        return "nothing to record: no stage is in both dvc.yaml and dvc.lock"
    if not done.statements:
        return f"nothing new: {stages}, known already"
    return f"{stages} recorded, {counted(done.statements, 'statement')} new"
