"""`cmf init`: make a clone, and keep its settings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli import init_remotes
from cmf.cli.options import server_url
from cmf.cli.terminal import say, say_rows

if TYPE_CHECKING:
    from cmf.repository import Repository


class Push(StrEnum):
    """When what is recorded goes to the server."""

    MANUAL = "manual"
    CONTINUOUS = "continuous"


EXAMPLE = "Example: cmf init --server https://cmf.example.org --artifacts s3://bucket/data"


app = typer.Typer(invoke_without_command=True, subcommand_metavar="")
"""A group, since cmflib's `cmf init local` and its like stand beside `cmf init` itself."""

init_remotes.add_to(app)


@app.callback(epilog=EXAMPLE)
def init(
    ctx: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", callback=server_url, help="The server that push, pull and --remote speak to."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="The project's name, where the git remote's will not do.")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="The pipeline of steps and programs that name none.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(metavar="NS", help="Keeps pipelines apart from others of the same name.")
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the bytes of artifacts go: DVC's default remote, a folder or address."),
    ] = None,
    push: Annotated[
        Push | None, typer.Option(help="continuous: send what is recorded at once; manual: with 'cmf push'.")
    ] = None,
    dvc: Annotated[bool, typer.Option(help="Set DVC up, which keeps the bytes of artifacts.")] = True,
) -> None:
    """Make a clone here, that records, and set DVC up in it.

    Its root is that of the git repository, or else this folder. May be repeated, to change settings.
    """
    from cmf.pictures.labels import printable
    from cmf.places import clone_of
    from cmf.recording import open_repository
    from cmf.settings import load, save

    if ctx.invoked_subcommand is not None:
        _refuse_own_options(ctx)
        return
    if artifacts is not None and not dvc:
        raise typer.BadParameter("--artifacts names a remote of DVC's, and --no-dvc is to leave DVC out")
    changes = _named(server=server, project=project, pipeline=pipeline, namespace=namespace, push=push)
    before = clone_of(Path.cwd())
    repository = open_repository(Path.cwd())
    file = repository.folder / "config.toml"
    if changes:
        save(file, **changes)
    settings = load(file)
    say(f"{'already a clone' if before else 'made a clone'}: {printable(str(repository.root))}")
    _set_up_dvc(repository, artifacts, dvc and settings.data == "dvc")
    told = [(name, getattr(settings, name)) for name in ("server", "project", "pipeline", "namespace", "push")]
    say_rows([(name, printable(value)) for name, value in told if value])
    say(_next(settings.server))


def _refuse_own_options(ctx: typer.Context) -> None:
    """Options before the name of another command would be lost."""
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"--{name} is of 'cmf init' alone, not of 'cmf init {ctx.invoked_subcommand}'")


def _set_up_dvc(repository: Repository, artifacts: str | None, wanted: bool) -> None:
    """Set DVC up where it is not, name its default remote, and say what was made."""
    from cmf.core.errors import SettingsProblem
    from cmf.pictures.labels import printable
    from cmf.versioning.dvc_config import dvc_root, remotes
    from cmf.versioning.dvc_setup import set_default_remote, set_up

    if artifacts is not None and not wanted:
        raise SettingsProblem("the setting data is 'none', so no bytes are kept; unset CMF_DATA for --artifacts")
    root = dvc_root(repository.root)
    if root is None and wanted:
        root = repository.root
        in_git = any((folder / ".git").exists() for folder in (root, *root.parents))
        made = set_up(root, in_git=in_git)
        say(f"set DVC up: {', '.join(made)}" + ("; commit these to git" if in_git else ""))
    if root is not None and artifacts is not None:
        name = set_default_remote(root, artifacts, Path.cwd())
        say(f"bytes go to DVC's remote {printable(remotes(root)[name].shown)}")


def _named(**options: str | None) -> dict[str, str]:
    from cmf.core.values import check_name

    return {name: check_name(str(value), f"the {name}") for name, value in options.items() if value is not None}


def _next(server: str | None) -> str:
    share = "'cmf push' shares it" if server else "'cmf init --server URL' names a server to share it with"
    return f"next: record with `with cmf.run(PIPELINE, STAGE) as run:` in Python; 'cmf log' shows it, {share}"
