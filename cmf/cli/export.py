"""`cmf export`: what the clone holds, or a slice of it, in one file to be carried."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.options import AllBranchesOption, BranchOption, Direction, JsonOption
from cmf.cli.pull import expect_projects, projects_of
from cmf.cli.terminal import progress, say, say_json

if TYPE_CHECKING:
    from cmf.exporting import Exported
    from cmf.repository import Repository

EXAMPLE = "Example: cmf export /media/stick/site-a.cmf\n\nExample: cmf export model.cmf models/model.pkl"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; another bundle is replaced.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY|PATH]...", help="Only these with their lineage.")
    ] = None,
    projects: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="Only what this project recorded. May be repeated."),
    ] = None,
    branch: BranchOption = None,
    all_branches: AllBranchesOption = False,
    pipelines: Annotated[
        list[str] | None, typer.Option("--pipeline", metavar="NAME", help="Only this pipeline. May be repeated.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of the keys: up to so many executions away.")
    ] = None,
    direction: Annotated[Direction, typer.Option(help="Of the keys: which way.")] = Direction.BOTH,
    as_json: JsonOption = False,
) -> None:
    """Write all that the clone holds to one file, for 'cmf import' elsewhere.

    What was recorded here can be pushed from there, as if from here. A part, when something is named, is for reading.
    """
    from cmf.core.wire import PullQuestion
    from cmf.exporting import export as write
    from cmf.questions import Query, StoreSource
    from cmf.repository import Repository

    expect_projects(projects, branch, all_branches)
    named = bool(keys or projects or pipelines)
    with closing(Repository.find(Path.cwd(), catch_up=named)) as repository:  # all that there is needs no view
        question = None
        if named:
            graph = Query(StoreSource(repository.view), repository.root)
            question = PullQuestion(
                artifacts=tuple(graph.key(name) for name in keys or ()),
                projects=projects_of(repository, projects or (), branch, all_branches),
                pipelines=tuple(pipelines or ()),
                direction=direction.value,
                depth=depth,
            )
        with progress("exporting", None if named else _size(repository)) as advance:
            done = write(repository, file, question, advance)
    if as_json:
        say_json({"file": str(file), **done._asdict()})
    else:
        say(_words(done, file))


def _size(repository: Repository) -> int:
    return sum(segment.path.stat().st_size for segment in repository.all_segments)


def _words(done: Exported, file: Path) -> str:
    from cmf.pictures.labels import counted, printable, size

    return f"{counted(done.records, 'record')} written to {printable(str(file))} ({size(done.size_bytes)})"
