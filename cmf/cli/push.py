"""`cmf push`: send to the server what it does not have yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cmf.cli.options import JsonOption, ServerOption
from cmf.cli.terminal import progress, say, say_json

if TYPE_CHECKING:
    from cmf.remote import Remote
    from cmf.repository import Repository
    from cmf.sync import Pushed

EXAMPLE = "Example: cmf push --server https://cmf.example.org"


def push(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Send to the server what it does not have yet.

    Interrupted anywhere, the next push goes on from there.
    """
    from cmf import sync
    from cmf.repository import Repository

    repository = Repository.find(Path.cwd(), catch_up=False)
    remote = sync.remote(repository, server)
    with progress("pushing", _total(repository, remote)) as advance:
        pushed = sync.push(repository, remote, advance)
    if as_json:
        say_json({"server": remote.url, "applied": pushed.applied, "duplicates": pushed.duplicates})
    else:
        say(_words(pushed, remote.url))


def _total(repository: Repository, remote: Remote) -> int | None:
    """The bytes to send. It costs a request, so it is asked only for somebody who looks at the bar."""
    from cmf.sync import unpushed_bytes

    return unpushed_bytes(repository, remote.heads(repository.site)) if sys.stderr.isatty() else None


def _words(pushed: Pushed, url: str) -> str:
    from cmf.pictures.labels import counted, printable

    if not any(pushed):
        return f"everything is on the server ({printable(url)})"
    there = f", {pushed.duplicates:,} already there" if pushed.duplicates else ""
    return f"{counted(pushed.applied, 'record')} sent to {printable(url)}{there}"
