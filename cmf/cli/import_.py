"""`cmf import`: bring in what a bundle holds, or what other programs recorded, from their files."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cmf.cli.groups import Once, group
from cmf.cli.options import JsonOption
from cmf.cli.terminal import note, progress, say, say_json

if TYPE_CHECKING:
    from cmf.importing import Imported as Carried
    from cmf.ingest.mlmd import Imported

EXAMPLE = "import site-a.cmf"
MLMD_EXAMPLE = "import mlmd ./mlmd --pipeline digits"


class Kinds(TyperGroup):
    """Commands by the kind of file; a file without its kind is a bundle."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any group does, but for what begins with no command."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["bundle", *args]
        return list(super().parse_args(ctx, args))


app = group("import", "Bring in a bundle ('cmf import FILE'), or what other programs recorded.", EXAMPLE, Kinds)


@app.command(cls=Once, epilog=f"Example: cmf {EXAMPLE}")
def bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle, as 'cmf export' writes it.")],
    as_json: JsonOption = False,
) -> None:
    """Bring in all that a bundle holds; the word 'bundle' may be left out.

    It is checked whole before anything of it is taken. What is known already is not taken again.
    """
    from cmf.importing import import_
    from cmf.repository import Repository

    size = file.stat().st_size if file.is_file() else None
    with closing(Repository.find(Path.cwd())) as repository, progress("importing", size) as advance:
        done = import_(repository, file, advance)
    if as_json:
        say_json({"file": str(file), **done._asdict()})
    else:
        say(_words_of_bundle(done))


@app.command(cls=Once, epilog=f"Example: cmf {MLMD_EXAMPLE}")
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


def _words_of_bundle(done: Carried) -> str:
    from cmf.pictures.labels import counted

    if not done.news:
        return f"nothing new: {counted(done.records, 'record')}, all here already"
    pushed = f"; 'cmf push' delivers {done.to_push:,} of them for who recorded them" if done.to_push else ""
    return f"{done.news:,} new of {counted(done.records, 'record')} of a bundle of site {done.site}{pushed}"
