"""`cmf pull`: bring a part of the server's graph into the clone, to ask it without the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.options import AllBranchesOption, AtLeastOption, BranchOption, Direction, JsonOption, ServerOption
from cmf.cli.terminal import progress, say, say_json

if TYPE_CHECKING:
    from cmf.core.wire import ProjectBranch
    from cmf.pulled import Pulled
    from cmf.remote import Remote
    from cmf.repository import Repository

EXAMPLE = "Example: cmf pull --artifacts model.pkl --depth 3\n\nExample: cmf pull --project digits --all-branches"


def pull(
    artifacts: Annotated[
        list[str] | None,
        typer.Option("--artifacts", metavar="KEY|PATH", help="This artifact with its lineage. May be repeated."),
    ] = None,
    projects: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="All that this project recorded. May be repeated."),
    ] = None,
    branch: BranchOption = None,
    all_branches: AllBranchesOption = False,
    pipelines: Annotated[
        list[str] | None, typer.Option("--pipeline", metavar="NAME", help="All of this pipeline. May be repeated.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of the artifacts: up to so many executions away.")
    ] = None,
    direction: Annotated[Direction, typer.Option(help="Of the artifacts: which way.")] = Direction.BOTH,
    everything: Annotated[
        bool, typer.Option("--all", help="Bring everything again, not only what is new since the last pull.")
    ] = False,
    server: ServerOption = None,
    at_least: AtLeastOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring lineage from the server into the clone: what is new since the same was pulled last.

    Without options, that of the artifacts in the clone's .dvc and dvc.lock files. What is named may be combined.
    """
    from cmf import own_process, sync
    from cmf.core.errors import BadQuestion
    from cmf.core.wire import PullQuestion
    from cmf.repository import Repository

    expect_projects(projects, branch, all_branches)
    repository = Repository.find(Path.cwd())
    remote = sync.remote(repository, server, at_least)
    named = bool(artifacts or projects or pipelines)
    question = PullQuestion(
        artifacts=_keys(repository, remote, artifacts or ()) if named else _tracked(repository),
        projects=projects_of(repository, projects or (), branch, all_branches),
        pipelines=tuple(pipelines or ()),
        direction=direction.value,
        depth=depth,
    )
    own_process.suit()
    with progress("pulling", None, "operations") as advance:
        pulled = sync.pull(repository, remote, question, advance, everything=everything)
    if pulled.operations == 0 and not pulled.incremental:
        raise BadQuestion(f"{remote.url} has nothing of what was asked for; 'cmf log --remote' shows what it has")
    if as_json:
        told = {"operations": pulled.operations, "news": pulled.news, "incremental": pulled.incremental}
        say_json({"server": remote.url, **told})
    else:
        say(_words(pulled, remote.url))


def expect_projects(projects: list[str] | None, branch: str | None, all_branches: bool) -> None:
    """That what says the branch of projects has projects to say it of, and says one thing.

    Raises:
        typer.BadParameter: not so.
    """
    if (branch or all_branches) and not projects:
        raise typer.BadParameter("--branch and --all-branches narrow --project; name one")
    if branch and all_branches:
        raise typer.BadParameter("--branch and --all-branches exclude each other")


def projects_of(
    repository: Repository, names: list[str] | tuple[()], branch: str | None, all_branches: bool
) -> tuple[ProjectBranch, ...]:
    """Projects by these names, on the branch that is said, or else on the one that is checked out."""
    from cmf.core.wire import ProjectBranch

    if not names:
        return ()
    chosen = None if all_branches else branch or _checked_out(repository)
    return tuple(ProjectBranch(project=name, branch=chosen) for name in names)


def _keys(repository: Repository, remote: Remote, asked: list[str] | tuple[()]) -> tuple[str, ...]:
    """The keys that the server knows under these names."""
    from cmf.questions import Query

    graph = Query(remote, repository.root)
    return tuple(graph.key(name) for name in asked)


def _tracked(repository: Repository) -> tuple[str, ...]:
    from cmf.core.errors import BadQuestion
    from cmf.sync import tracked_artifacts

    found = tuple(tracked_artifacts(repository.root))
    if not found:
        raise BadQuestion(
            f"{repository.root}: no .dvc or dvc.lock file names an artifact to pull; "
            f"say what to pull: --artifacts KEY|PATH, --project NAME or --pipeline NAME"
        )
    return found


def _checked_out(repository: Repository) -> str | None:
    """The branch that is checked out; outside git there are none, and none is asked for."""
    from cmf.core.errors import BadQuestion

    now = repository.code.now()
    if now.code is not None and now.branch is None:
        raise BadQuestion(f"{repository.root}: no branch is checked out; say --branch B or --all-branches")
    return now.branch


def _words(pulled: Pulled, url: str) -> str:
    from cmf.pictures.labels import counted, printable

    if not pulled.operations:
        return f"nothing new since the last pull from {printable(url)}"
    told = counted(pulled.operations, "operation")
    return f"{told} pulled from {printable(url)}" if pulled.news else f"nothing new: {told}, pulled before"
