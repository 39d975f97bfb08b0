"""`cmf artifacts`: the bytes of artifacts, between the clone and DVC's remotes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmf.cli.options import JsonOption
from cmf.cli.terminal import PathCell, bar, draw, note, progress, say, say_json, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmf.artifacts import Listed, Pulled, Pushed, Wanted
    from cmf.repository import Repository

PUSH_EXAMPLE = "Example: cmf artifacts push -r storage -j 8"
PULL_EXAMPLE = "Example: cmf artifacts pull model.pkl\n\nExample: cmf artifacts pull --pipeline digits --no-checkout"
LIST_EXAMPLE = "Example: cmf artifacts list --remote --type Model"

app = typer.Typer(no_args_is_help=True, help="Push, pull and list the bytes of artifacts.", epilog=PULL_EXAMPLE)

MOST_TOLD = 20

DvcRemoteOption = Annotated[
    str | None, typer.Option("-r", "--remote", metavar="NAME", help="DVC's remote of this name, not its default one.")
]
JobsOption = Annotated[int | None, typer.Option("-j", "--jobs", min=1, metavar="JOBS", help="Transfers at once.")]


@app.command(epilog=PUSH_EXAMPLE)
def push(
    remote: DvcRemoteOption = None,
    jobs: JobsOption = None,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Ask the remote for everything again, not only for what is new.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the bytes of what was recorded here to a DVC remote that lacks them.

    Interrupted anywhere, the next push goes on from there.
    """
    from cmf.core.errors import ArtifactsLeft
    from cmf.pictures.labels import counted
    from cmf.repository import Repository

    with closing(Repository.find(Path.cwd(), catch_up=False)) as repository:
        pushed = push_bytes(repository, remote, jobs, recheck)
    if as_json:
        say_json(pushed._asdict() | {"problems": _as_objects(pushed.problems)})
    else:
        say(words(pushed))
    tell(pushed.problems)
    if pushed.lost:
        note(f"{counted(pushed.lost, 'artifact')} of earlier pushes still without bytes here; --recheck names them")
    if pushed.problems:
        raise ArtifactsLeft(f"{counted(len(pushed.problems), 'artifact')} could not be sent, for the reasons above")


def push_bytes(
    repository: Repository, remote: str | None = None, jobs: int | None = None, recheck: bool = False
) -> Pushed:
    """Push, with a bar where somebody looks."""
    from cmf import artifacts

    with bar("pushing bytes") as (total, advance):
        return artifacts.push(repository, remote, jobs=jobs, recheck=recheck, total=total, progress=advance)


def words(pushed: Pushed) -> str:
    """What a push of bytes did."""
    from cmf.pictures.labels import counted, printable, size

    if not pushed.objects:
        return f"nothing new to send to {printable(pushed.remote)}"
    return f"{counted(pushed.objects, 'object')} ({size(pushed.size_bytes)}) sent to {printable(pushed.remote)}"


def tell(problems: Sequence[tuple[str, str]]) -> None:
    """What is wrong with which artifacts, a line each, up to a number of lines that can be read."""
    for path, problem in problems[:MOST_TOLD]:
        note(f"{path}: {problem}")
    if len(problems) > MOST_TOLD:
        note(f"… and {len(problems) - MOST_TOLD:,} more; --json has them all")


@app.command(epilog=PULL_EXAMPLE)
def pull(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY|PATH]...",
            help="An artifact, by its key, any unique beginning of one, or the path it was last recorded under; "
            "or an execution, for all that it used.",
            show_default=False,
        ),
    ] = None,
    pipelines: Annotated[
        list[str] | None,
        typer.Option("--pipeline", metavar="NAME", help="All that this pipeline used. May be repeated."),
    ] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All artifacts that the clone knows.")] = False,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Put the one artifact named here, not at its own path."),
    ] = None,
    no_checkout: Annotated[bool, typer.Option("--no-checkout", help="Into the cache only.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what was changed here and is kept nowhere.")
    ] = False,
    remote: DvcRemoteOption = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the bytes of artifacts: into the cache, and to their path in the working tree.

    Each is checked by its hash as it arrives. What was changed in the tree is not overwritten.
    """
    from cmf.core.errors import ArtifactsLeft
    from cmf.pictures.labels import counted
    from cmf.repository import Repository

    if all_of_them == bool(asked or pipelines):
        raise typer.BadParameter("say what to pull: KEY|PATH, --pipeline NAME, or --all alone")
    if output is not None and (pipelines or len(asked or ()) != 1 or no_checkout):
        raise typer.BadParameter("--output is for one artifact, and puts it into the tree")
    with closing(Repository.find(Path.cwd())) as repository:
        wanted = _wanted(repository, asked or (), pipelines or (), output)
        pulled = _pulled(repository, wanted, output, no_checkout, force, remote, jobs)
    if as_json:
        told = {"elsewhere": _as_objects(pulled.elsewhere), "problems": _as_objects(pulled.problems)}
        say_json(pulled._asdict() | told)
    else:
        _say_pulled(pulled)
    tell(pulled.elsewhere)
    tell(pulled.problems)
    if pulled.problems:
        raise ArtifactsLeft(
            f"{len(pulled.problems)} of {counted(len(wanted), 'artifact')} could not be pulled, for the reasons above"
        )


@app.command("list", epilog=LIST_EXAMPLE)
def list_(
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="At most so many.")] = 50,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only those of this type.")] = None,
    ask_remote: Annotated[bool, typer.Option("--remote", help="Ask DVC's remote too, whether it has them.")] = False,
    remote: Annotated[
        str | None, typer.Option("-r", metavar="NAME", help="Ask DVC's remote of this name, not its default one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the artifacts, newest first, with their size and where their bytes are."""
    from cmf import artifacts
    from cmf.core.store import Filters
    from cmf.repository import Repository

    with closing(Repository.find(Path.cwd())) as repository:
        asking = ask_remote or remote is not None
        found = artifacts.listed(repository, Filters(type=type_), limit=number, remote=remote, ask_remote=asking)
    if as_json:
        say_json({"items": found})
    elif found:
        draw(_table(found))
    else:
        note("no artifacts with bytes of their own; 'cmf pull' brings a server's, run.output(PATH) records one")


def _wanted(repository: Repository, asked: Sequence[str], pipelines: Sequence[str], output: str | None) -> list[Wanted]:
    from cmf.artifacts.places import everything, named, of_executions
    from cmf.core.errors import BadQuestion

    if not asked and not pipelines:
        return everything(repository.view)
    found: dict[Any, Wanted] = {}
    for name in asked:
        key, path = _key_and_path(repository, name)
        for one in named(repository.view, key, path):
            found[one.key, one.path] = one
    for pipeline in pipelines:
        executions = repository.view.members([], [pipeline])
        if not executions:
            raise BadQuestion(f"nothing is known of a pipeline {pipeline!r}; 'cmf pull --pipeline' brings a server's")
        for one in of_executions(repository.view, executions):
            found.setdefault((one.key, one.path), one)
    if output is not None:
        if len(found) != 1:
            raise BadQuestion(f"--output is for one artifact; {asked[0]!r} stands for {len(found)}")
        return [one._replace(path=_in_tree(repository, output)) for one in found.values()]
    return list(found.values())


def _key_and_path(repository: Repository, asked: str) -> tuple[str, str | None]:
    """What is meant by a name: first the content last recorded under a path, wherever that was, then a key."""
    from cmf.core.resolve import resolve

    for path in (_in_tree(repository, asked), asked):
        if ":" not in asked and (key := repository.view.at_path(path)) is not None:
            return key, path
    return resolve(repository.view, asked), None


def _in_tree(repository: Repository, path: str) -> str:
    """A path from the current folder, as it is recorded: from the clone's root."""
    import os

    whole = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links that users name)
    return whole.relative_to(repository.root).as_posix() if whole.is_relative_to(repository.root) else str(whole)


def _pulled(
    repository: Repository,
    wanted: list[Wanted],
    output: str | None,
    no_checkout: bool,
    force: bool,
    remote: str | None,
    jobs: int | None,
) -> Pulled:
    from cmf import artifacts
    from cmf.artifacts.pulling import fetch

    sizes = [one.size_bytes for one in wanted if one.md5 is not None]
    with progress("pulling bytes", sum(filter(None, sizes)) or None) as advance:
        if output is not None and wanted[0].address is not None:
            return fetch(repository, wanted[0], force=force, progress=advance)
        return artifacts.pull(
            repository, wanted, remote, checkout=not no_checkout, force=force, jobs=jobs, progress=advance
        )


def _say_pulled(pulled: Pulled) -> None:
    from cmf.pictures.labels import counted, printable, size

    for path in pulled.placed:
        say(printable(path))
    told = [f"{counted(len(pulled.placed), 'artifact')} put in place"] if pulled.placed else []
    told += [f"{len(pulled.unchanged):,} already there"] if pulled.unchanged else []
    if pulled.objects:
        told.append(
            f"{counted(pulled.objects, 'object')} ({size(pulled.size_bytes)}) from {printable(pulled.remote or '')}"
        )
    if told or not pulled.problems:
        say(", ".join(told) or "nothing to fetch: everything is in the cache")


def _as_objects(problems: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"artifact": name, "problem": problem} for name, problem in problems]


def _table(found: Sequence[Listed]) -> Any:
    from rich.text import Text

    from cmf.pictures.labels import printable, short_key, size

    asked = ["remote"] if found[0].remote is not None else []
    made = table("path", "type", "size", "tree", "cache", *asked, "key", giving_way=("path",))
    for one in found:
        marks = [one.tree.replace("absent", "-"), "yes" if one.cache else "-"]
        marks += [] if one.remote is None else ["yes" if one.remote else "-"]
        made.add_row(
            PathCell(printable(one.address or one.path or one.name)),
            Text(printable(", ".join(one.types)), style="cyan"),
            Text("" if one.size_bytes is None else size(one.size_bytes)),
            *map(Text, marks),
            Text(short_key(one.key), style="dim"),
        )
    return made
