"""`cmf token`: make tokens, list them, let them in no more. On the server's machine, as the server's user."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cmf.cli.groups import group
from cmf.cli.options import JsonOption

app = group("token", "Who may read, push and administer: the tokens of a server.", "token add laptop")


class ScopeName(StrEnum):
    """What a token lets its holder do."""

    READ = "read"
    PUSH = "push"
    ADMIN = "admin"


StoreOption = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The server's store, as it was started with.")
]
HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="FOLDER", help="The server's home, as it was started with.")
]

_UNITS: Final = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@app.command(epilog="Example: cmf token add site-a --scope push --pipeline digits --expires 90d")
def add(
    name: Annotated[str, typer.Argument(help="Whose it is: stands in the list and in the audit log.")],
    scope: Annotated[
        list[ScopeName] | None, typer.Option(help="What it may do; may be repeated. Default: read and push.")
    ] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Push to this pipeline only; may be repeated.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Push as this site only; may be repeated.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: 12h, 90d, 6w, or a date such as 2027-01-31 (UTC).")
    ] = None,
    store: StoreOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, this once: only its hash is kept.

    It works at once, without a restart. With the first one a server begins to ask for tokens.
    """
    from cmf.cli.terminal import note, say, say_json
    from cmf_api import tokens as kept

    file = _file(store, home)
    asked = [one.value for one in scope or (ScopeName.READ, ScopeName.PUSH)]
    scopes = tuple(one for one in kept.SCOPES if one in asked)
    secret, made = kept.create(
        file,
        name,
        scopes,
        pipelines=tuple(dict.fromkeys(pipeline or ())),
        sites=tuple(dict.fromkeys(site or ())),
        expires_at=_time(expires),
    )
    if as_json:
        say_json({"token": secret} | _told(made))
        return
    say(secret)
    note(f"the token {made.id} ({name}) is shown this once; its holder runs 'cmf login URL', or sets CMF_TOKEN")
    if len(kept.read(file)) == 1:
        note(f"it is the first one in {file}: from now on a server with this home asks everyone for a token")


@app.command("list", epilog="Example: cmf token list")
def list_(store: StoreOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The tokens that were made: whose, what they may do, until when."""
    from cmf.cli.terminal import draw, note, say_json, table
    from cmf.pictures.labels import printable
    from cmf_api import tokens as kept

    file = _file(store, home)
    found = kept.read(file)
    if as_json:
        say_json([_told(token) for token in found])
        return
    if not found:
        note(f"no token was made yet (in {file}); 'cmf token add NAME' makes one")
        return
    rows = table("id", "name", "may", "pipelines", "sites", "made", "expires", "state")
    for token in found:
        until = (token.expires_at or "never")[:16]
        pipelines = ", ".join(token.pipelines) or "all"
        scopes = ", ".join(token.scopes)
        sites = ", ".join(token.sites) or "all"
        named = (printable(token.name), scopes, printable(pipelines), printable(sites))
        rows.add_row(token.id, *named, token.created_at[:16], until, token.state)
    draw(rows)


@app.command(epilog="Example: cmf token revoke site-a")
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID|NAME", help="The token's id or name.")],
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Let a token in no more, from the next request on; running servers need no restart."""
    from cmf.cli.terminal import say
    from cmf.pictures.labels import printable
    from cmf_api import tokens as kept

    gone = kept.revoke(_file(store, home), token)
    say(f"revoked the token {gone.id} ({printable(gone.name)})")


def _file(store: str | None, home: Path | None) -> Path:
    from cmf_api.home import default_store, home_of
    from cmf_api.tokens import TOKENS_FILE

    return (home or home_of(store or default_store())) / TOKENS_FILE


def _time(text: str | None) -> str | None:
    """A time to come, as times are written."""
    from cmf.clock import written

    if text is None:
        return None
    if spell := re.fullmatch(r"([1-9]\d{0,5})([hdw])", text):
        return written(int((time.time() + int(spell[1]) * _UNITS[spell[2]]) * 1_000_000))
    try:
        given = datetime.fromisoformat(text)
        given = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        return _no_time(text)
    return given.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if 1970 <= given.year < 9999 else _no_time(text)


def _no_time(text: str) -> str:
    raise typer.BadParameter(f"{text!r} is no time; write 12h, 90d, 6w, or a date such as 2027-01-31")


def _told(token: object) -> dict[str, object]:
    import msgspec

    from cmf_api.tokens import Token

    assert isinstance(token, Token)
    told: dict[str, object] = msgspec.to_builtins(token)
    del told["sha256"]
    return {"pipelines": (), "sites": (), "expires_at": None, "revoked_at": None} | told | {"state": token.state}
