"""`cmf server upstream`: the servers that this one takes the archive of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmf_api.commands.options import HomeOption, StoreOption, StorePasswordOption

upstream = typer.Typer(
    help="Other servers that this one takes everything from, on a schedule or on demand.",
    epilog="Example: cmf server upstream add paris https://cmf.paris.example --token-file paris.token",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[str, typer.Argument(help="What it is called here.")]


@upstream.command("add", epilog="Example: cmf server upstream add paris https://cmf.paris.example --every 5m")
def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="Its address.")],
    every: Annotated[str, typer.Option("--every", help="How often: 60s, 5m, 1h; 0 for on demand only.")] = "60s",
    token_file: Annotated[Path | None, typer.Option("--token-file", help="A file with the token to show it.")] = None,
    token_env: Annotated[
        str | None, typer.Option("--token-env", help="The environment variable that has the token to show it.")
    ] = None,
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Take from another server. A running server begins within a second."""
    from cmf.cli.terminal import say
    from cmf.core.errors import SettingsProblem
    from cmf_api import upstreams
    from cmf_api.settings import read_secret

    if token_file is not None and token_env is not None:
        raise SettingsProblem("the token is in a file or in the environment, not in both")
    if token_file is not None:
        read_secret(token_file)
    file = str(token_file.absolute()) if token_file else None
    made = upstreams.Upstream(
        url=url.rstrip("/"), every_seconds=upstreams.seconds_of(every), token_file=file, token_env=token_env
    )
    upstreams.add(_home(store, home), name, made)
    say(f"takes from {made.url} " + (f"every {made.every_seconds} s" if made.every_seconds else "on demand"))


@upstream.command("list", epilog="Example: cmf server upstream list")
def list_(store: StoreOption = None, home: HomeOption = None) -> None:
    """List the upstreams, and how far behind each this server is."""
    from cmf.cli.terminal import draw, say, table
    from cmf_api import upstreams

    folder = _home(store, home)
    known, lags = upstreams.upstreams(folder), upstreams.lags(folder)
    if not known:
        say("no upstream")
        return
    made = table("name", "address", "every", "behind", "problem", giving_way=["problem"])
    for name, of in sorted(known.items()):
        lag = lags[name]
        behind = "never taken" if lag.lag_seconds is None else f"{lag.lag_seconds} s"
        made.add_row(name, of.url, f"{of.every_seconds} s" if of.every_seconds else "-", behind, lag.problem)
    draw(made)


@upstream.command("remove", epilog="Example: cmf server upstream remove paris")
def remove(name: Name, store: StoreOption = None, home: HomeOption = None) -> None:
    """Take from it no more. What was taken stays."""
    from cmf.cli.terminal import say
    from cmf_api import upstreams

    upstreams.remove(_home(store, home), name)
    say(f"takes no more from {name}")


@upstream.command("pull", epilog="Example: cmf server upstream pull paris")
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all of them by default.")] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="From its archive's start; what is known stays as it is.")
    ] = False,
    store: StoreOption = None,
    home: HomeOption = None,
    store_password_file: StorePasswordOption = None,
) -> None:
    """Take now what upstreams have. The server may run meanwhile."""
    from cmf.cli.terminal import note, say
    from cmf.core.errors import CmfError, SettingsProblem
    from cmf_api import upstreams
    from cmf_api.home import default_store
    from cmf_api.settings import ServerSettings, read_secret
    from cmf_api.taking_now import follower

    folder = _home(store, home)
    known = upstreams.upstreams(folder)
    for name in names or ():
        if name not in known:
            raise SettingsProblem(f"there is no upstream {name!r}; there are: {', '.join(sorted(known)) or 'none'}")
    secret = read_secret(store_password_file) if store_password_file else None
    failed = 0
    with follower(ServerSettings(home=folder), store or default_store(), secret) as following:
        for name in names or sorted(known):
            try:
                with upstreams.taking(folder, name, wait=True):
                    done = following.pull(name, known[name], anew=anew)
            except CmfError as exc:
                failed += 1
                note(f"{name}: {exc}")
                continue
            for problem in done.problems:
                note(f"{name}: {problem}")
            say(f"{name}: {done.records:,} records in {done.frames:,} frames were news, {done.known:,} frames known")
    if failed:
        raise typer.Exit(1)


def _home(store: str | None, home: Path | None) -> Path:
    from cmf_api.home import default_store, home_of

    return home or home_of(store or default_store())
