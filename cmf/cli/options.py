"""Options that several commands have, and the form of what they take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import typer


class Direction(StrEnum):
    """Against the data's flow, along it, or both."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    BOTH = "both"


def server_url(text: str | None) -> str | None:
    """An address of a server, as it is kept: with its scheme, without a slash at the end.

    Raises:
        typer.BadParameter: it is none.
    """
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 (it is read for the ValueError of one that is no number)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no address of a server: {exc}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in text):
        raise typer.BadParameter(f"{text!r} is no address of a server; write it as http://HOST:PORT or https://HOST")
    if parts.username or parts.password:
        raise typer.BadParameter("an address does not hold a password; set CMF_TOKEN or CMF_TOKEN_FILE")
    if parts.query or parts.fragment:
        raise typer.BadParameter(f"{text!r} has a part after '?' or '#', which an address of a server has not")
    return text.rstrip("/")


def _not_empty(asked: str) -> str:
    """That something is named: an unset variable of the shell would stand for the whole current folder."""
    if not asked:
        raise typer.BadParameter("it is empty; name a key or a path")
    return asked


KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY|PATH",
        help="A key, any unique beginning of one, a file, or a path as it was recorded.",
        show_default=False,
        callback=_not_empty,
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", callback=server_url, help="Use this server, not the clone's."),
]
AskServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", callback=server_url, help="Ask this server, not the local view."),
]
RemoteOption = Annotated[bool, typer.Option("--remote", help="Ask the clone's server, not the local view.")]
AtLeastOption = Annotated[
    str | None,
    typer.Option(
        "--at-least", metavar="TOKEN", help="Wait a moment until the server has what a push sent: its token (--json)."
    ),
]
BranchOption = Annotated[
    str | None, typer.Option("--branch", metavar="B", help="Of the projects: on this branch, not the one checked out.")
]
AllBranchesOption = Annotated[bool, typer.Option("--all-branches", help="Of the projects: on every branch.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
