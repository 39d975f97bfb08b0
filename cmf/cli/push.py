"""`cmf push`: send to the server what it does not have yet, and the bytes to DVC's remote first."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.artifacts import push_bytes, tell, words
from cmf.cli.options import JsonOption, ServerOption
from cmf.cli.terminal import note, progress, say, say_json

if TYPE_CHECKING:
    from cmf.artifacts import Pushed as Sent
    from cmf.remote import Remote
    from cmf.repository import Repository
    from cmf.sync import Pushed

EXAMPLE = "Example: cmf push --server https://cmf.example.org"


def push(
    server: ServerOption = None,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="Leave the bytes of artifacts where they are.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send to the server what it does not have yet, and before that the bytes of artifacts to DVC's remote.

    Interrupted anywhere, the next push goes on from there.
    """
    from cmf import own_process, sync
    from cmf.repository import Repository

    own_process.suit()
    with closing(Repository.find(Path.cwd(), catch_up=False)) as repository:
        remote = sync.remote(repository, server)
        until = sync.ends(repository)  # what is recorded meanwhile may have bytes that do not go with this push
        place = not metadata_only and _has_place(repository)
        sent = _push_bytes(repository) if place else None
        with progress("pushing", _total(repository, remote)) as advance:
            pushed = sync.push(repository, remote, advance, until)
    if not place and not metadata_only and repository.settings.data != "none":
        note("no DVC remote is set, so only metadata went; 'cmf init --artifacts URL' sets one for the bytes")
    if as_json:
        bytes_sent = {"remote": sent.remote, "objects": sent.objects, "size_bytes": sent.size_bytes} if sent else None
        found = {"server": remote.url, "applied": pushed.applied, "duplicates": pushed.duplicates}
        found |= {"token": pushed.token}
        say_json(found | {"artifacts": bytes_sent})
        return
    if sent and sent.objects:
        say(words(sent))
    say(_words(pushed, remote.url))


def _has_place(repository: Repository) -> bool:
    from cmf.versioning.dvc_config import default_remote

    return repository.dvc_root is not None and default_remote(repository.dvc_root) is not None


def _push_bytes(repository: Repository) -> Sent | None:
    """Bytes before the names that the metadata gives them.

    What is in no cache any more holds nothing up: it is told, and the metadata goes.
    """
    from cmf.core.errors import CmfError, CorruptRecord, DataRemoteProblem, MissingExtra

    try:
        sent = push_bytes(repository)
    except (DataRemoteProblem, MissingExtra) as exc:
        raise CmfError(f"{exc}; the metadata was not sent, 'cmf push --metadata-only' sends it alone") from exc
    except CorruptRecord:  # the push of the metadata says so, behind what is sound
        return None
    tell(sent.problems)
    return sent


def _total(repository: Repository, remote: Remote) -> int | None:
    """The bytes to send. It costs a request, so it is asked only for somebody who looks at the bar."""
    from cmf.sync import unpushed_bytes

    return unpushed_bytes(repository, remote) if sys.stderr.isatty() else None


def _words(pushed: Pushed, url: str) -> str:
    from cmf.pictures.labels import counted, printable

    if not any(pushed):
        return f"everything is on the server ({printable(url)})"
    there = f", {pushed.duplicates:,} already there" if pushed.duplicates else ""
    return f"{counted(pushed.applied, 'record')} sent to {printable(url)}{there}"
