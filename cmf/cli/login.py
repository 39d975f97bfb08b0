"""`cmf login` and `cmf logout`: keep the token that a server wants, and forget it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cmf.cli.options import server_url
from cmf.cli.terminal import note, say

EXAMPLE = "Example: cmf login https://cmf.example.org < token.txt"
LOGOUT_EXAMPLE = "Example: cmf logout https://cmf.example.org"

UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The server's address.", callback=server_url)]

MAX_CHARACTERS = 4096
"""What is longer is no token, but a file that was taken for one."""


def login(url: UrlArgument) -> None:
    """Keep a token for a server, once the server has taken it. It is asked for, or read from the standard input."""
    from cmf.core.errors import SettingsProblem
    from cmf.credentials import keep_token
    from cmf.remote import Remote

    token = _token(url)
    if not token or len(token) > MAX_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise SettingsProblem("a token is one line of printable ASCII; nothing was kept")
    shown = Remote(url, token).token()
    if shown.id == "-":
        say(f"{url} asks nobody for a token; nothing was kept")
        return
    place = keep_token(url, token)
    say(f"{url} knows the token as {shown.name}; it may {', '.join(shown.scopes)}; kept in {place}")
    for what, names in (("pipeline", shown.pipelines), ("site", shown.sites)):
        if names:
            note(f"it may push for the {what} {', '.join(names)} only")
    if shown.expires_at:
        note(f"it expires at {shown.expires_at}")
    if url.startswith("http://") and not _is_here(url):
        note("this address is not encrypted: whoever sits between may read the token; use https")


def logout(url: UrlArgument) -> None:
    """Forget the token that is kept for a server. It works on until the server revokes it."""
    from cmf.credentials import forget_token

    say(f"the token for {url} is forgotten" if forget_token(url) else f"no token is kept for {url}")


def _token(url: str) -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"Token for {url}: ").strip()
    return sys.stdin.read(MAX_CHARACTERS + 2).strip()


def _is_here(url: str) -> bool:
    from urllib.parse import urlsplit

    return (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")
