"""`cmf import`: bring in what other programs recorded, from their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.groups import Once, group
from cmf.cli.options import JsonOption
from cmf.cli.terminal import note, progress, say, say_json

if TYPE_CHECKING:
    from cmf.ingest.mlmd import Imported

EXAMPLE = "import mlmd ./mlmd --pipeline digits"

app = group("import", "Bring in what other programs recorded.", EXAMPLE)


@app.command(cls=Once, epilog=f"Example: cmf {EXAMPLE}")
def mlmd(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A SQLite file of ML Metadata, as cmflib writes it.")],
    pipeline: Annotated[str | None, typer.Option(metavar="NAME", help="Only what belongs to this pipeline.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Record all that a file of ML Metadata holds.

    What is known already is not recorded again, so a file that has grown may be imported again. It is only read.
    """
    from cmf.ingest.mlmd import MlmdFile, bring_in
    from cmf.recording import open_repository

    with MlmdFile(file) as opened:
        repository = open_repository(Path())
        total = None if pipeline else opened.count("Execution")
        with progress("importing", total, "executions") as advance:
            done = bring_in(repository, opened, pipeline, advance)
    for text in done.notes:
        note(text)
    if as_json:
        say_json(done._asdict())
    else:
        say(_words(done))


def _words(done: Imported) -> str:
    from cmf.pictures.labels import counted

    found = ", ".join(
        counted(number, noun)
        for number, noun in (
            (done.executions, "execution"),
            (done.artifacts, "artifact"),
            (done.events, "event"),
            (done.contexts, "context"),
        )
    )
    if not any((done.executions, done.artifacts, done.events, done.contexts)):
        return "nothing to record: the file holds nothing that was asked for"
    news = counted(done.statements, "statement") + " new" if done.statements else "nothing new, all known already"
    return f"{found}: {news}"
