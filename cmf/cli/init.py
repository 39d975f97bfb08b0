"""`cmf init`: make a clone, and keep its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmf.cli.options import server_url
from cmf.cli.terminal import say, say_rows

EXAMPLE = "Example: cmf init --server https://cmf.example.org"


def init(
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
) -> None:
    """Make a clone here, that records.

    Its root is that of the git repository, or else this folder. May be repeated, to change settings.
    """
    from cmf.pictures.labels import printable
    from cmf.places import clone_of
    from cmf.recording import open_repository
    from cmf.settings import load, save

    changes = _named(server=server, project=project, pipeline=pipeline, namespace=namespace)
    before = clone_of(Path.cwd())
    repository = open_repository(Path.cwd())
    file = repository.folder / "config.toml"
    if changes:
        save(file, **changes)
    settings = load(file)
    say(f"{'already a clone' if before else 'made a clone'}: {printable(str(repository.root))}")
    told = [(name, getattr(settings, name)) for name in ("server", "project", "pipeline", "namespace")]
    say_rows([(name, printable(value)) for name, value in told if value])
    say(_next(settings.server))


def _named(**options: str | None) -> dict[str, str]:
    from cmf.core.values import check_name

    return {name: check_name(value, f"the {name}") for name, value in options.items() if value is not None}


def _next(server: str | None) -> str:
    share = "'cmf push' shares it" if server else "'cmf init --server URL' names a server to share it with"
    return f"next: record with `with cmf.run(PIPELINE, STAGE) as run:` in Python; 'cmf log' shows it, {share}"
