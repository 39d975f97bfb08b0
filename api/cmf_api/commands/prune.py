"""`cmf server prune`: old or unwanted executions taken out of the server's store."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cmf.cli.options import JsonOption
from cmf_api.commands.options import HomeOption, StoreOption, StorePasswordOption

if TYPE_CHECKING:
    from cmf.core.retention import Wanted
    from cmf_api.dependents import Report

EXAMPLE = (
    "Example: cmf server prune --older-than 365d --keep-type Model\n\nExample: cmf server prune --status failed --yes"
)

_UNITS: Final = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def prune(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]…", help="Executions and artifacts, by key or prefix.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Executions that started before: 2026-01-31, or RFC 3339.")
    ] = None,
    older_than: Annotated[str | None, typer.Option(metavar="SPAN", help="The same: 12h, 365d, 52w ago.")] = None,
    pipeline: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only of this pipeline; repeat.")] = None,
    status: Annotated[list[str] | None, typer.Option(metavar="STATUS", help="Only with this status; repeat.")] = None,
    retracted: Annotated[bool, typer.Option("--retracted", help="Only what is retracted.")] = False,
    keep_type: Annotated[
        list[str] | None, typer.Option(metavar="TYPE", help="Artifacts of this type stay, such as Model; repeat.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is only said what would go.")] = False,
    store: StoreOption = None,
    home: HomeOption = None,
    store_password_file: StorePasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take executions out of the store, with the artifacts that nothing else uses; what stays remains joined.

    Without --yes it only says what would go, and what depends on it. The server may run meanwhile; interrupted, the
    same command goes on. What is pruned does not come back by late pushes.
    """
    from cmf.cli.terminal import bar, say, say_json
    from cmf.core.errors import SettingsProblem
    from cmf.core.retention import Wanted
    from cmf_api.audit import AUDIT_FILE, AuditLog
    from cmf_api.home import default_store, home_of
    from cmf_api.pruning import alone, archive_at, prepare, prune_prepared
    from cmf_api.settings import read_secret
    from cmf_api.stores import is_embedded, open_store, path_of

    if before is not None and older_than is not None:
        raise typer.BadParameter("--before and --older-than say the same; give one")
    wanted = Wanted(
        keys=tuple(dict.fromkeys(keys or ())),
        before=_time(before) if before is not None else _ago(older_than) if older_than is not None else None,
        pipelines=tuple(dict.fromkeys(pipeline or ())),
        statuses=tuple(dict.fromkeys(_status(one) for one in status or ())),
        retracted=retracted,
    )
    url = store or default_store()
    if is_embedded(url) and not path_of(url).is_file():
        raise SettingsProblem(f"{path_of(url)}: there is no such store")
    at = home or home_of(url)
    opened = open_store(url, read_secret(store_password_file) if store_password_file else None)
    try:
        opened.check()
        if not yes:
            prepared = prepare(opened, wanted, keep_type or ())
            _report(prepared.report(opened), as_json)
            return
        with alone(at), archive_at(at) as archive:
            prepared = prepare(opened, wanted, keep_type or ())
            log = AuditLog(at / AUDIT_FILE)
            log.add(_audited(wanted, keep_type or ()))
            with bar("pruning", total=len(prepared.plan.executions), unit="executions") as (_, advance):
                done = prune_prepared(opened, prepared, archive, advance)
            log.add(_audited(wanted, keep_type or ()) | {"executions": done.executions, "artifacts": done.artifacts})
    finally:
        opened.close()
    if as_json:
        say_json(
            {
                "executions": done.executions,
                "artifacts": done.artifacts,
                "uses": done.uses,
                "contractions": done.contractions,
                "left": sorted(prepared.left),
            }
        )
        return
    say(f"pruned {done.executions:,} executions and {done.artifacts:,} artifacts, with {done.uses:,} uses")
    if done.contractions:
        say(f"what stays is joined by {done.contractions:,} contractions that stand for them")
    if prepared.left:
        say(_of_left(len(prepared.left)))


def _audited(wanted: Wanted, keep_types: Collection[str]) -> dict[str, Any]:
    """A line of the audit log: who prunes what."""
    import getpass

    from cmf.clock import now

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return {"at": now(), "name": user, "method": "prune", **wanted._asdict(), "keep_types": list(keep_types)}


def _report(found: Report, as_json: bool) -> None:
    from cmf.cli.terminal import say, say_json, say_rows
    from cmf.pictures.labels import printable

    if as_json:
        say_json(found)
        return
    say(
        f"would prune {len(found.executions):,} executions of {found.sites:,} sites and {len(found.artifacts):,} "
        f"artifacts, with {found.uses:,} uses"
    )
    say_rows([(f"{count:,}", printable(name)) for name, count in found.stages.items()], 2)
    say_rows([(f"{count:,}", f"artifacts of type {printable(name)}") for name, count in found.types.items()], 2)
    if found.first:
        say(f"they ran from {found.first} to {found.last}")
    say(
        f"artifacts at them that stay: {len(found.inputs):,} that they read, {len(found.outputs):,} that they wrote"
        + (f"; {found.contractions:,} contractions of before are contracted anew" if found.contractions else "")
    )
    down, up = found.downstream, found.upstream
    say(
        f"depend on it and stay: {down.executions:,} executions and {down.artifacts:,} artifacts downstream, "
        f"of {down.sites:,} sites"
    )
    say(f"it depends on: {up.executions:,} executions and {up.artifacts:,} artifacts that stay, of {up.sites:,} sites")
    if found.running:
        say(f"{found.running:,} executions that still run are left; --status running means them too")
    if found.left:
        say(_of_left(len(found.left)))
    for key in found.used:
        say(f"{key} stays, since executions use it that stay")
    say("nothing was changed; with --yes it is done" if found.executions or found.artifacts else "nothing to do")


def _of_left(count: int) -> str:
    return f"{count:,} executions stay, since more would have to stand for them than they are"


_SPAN = re.compile(r"([1-9]\d{0,5})([hdw])")


def _ago(text: str) -> str:
    from cmf.clock import written

    if not (span := _SPAN.fullmatch(text.strip())):
        raise typer.BadParameter(f"{text!r} is no span of time; write 12h, 365d or 52w", param_hint="--older-than")
    return written(max(0, int((time.time() - int(span[1]) * _UNITS[span[2]]) * 1_000_000)))


def _time(text: str) -> str:
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text.strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise typer.BadParameter(f"{text!r} is no time; write 2026-01-31, or RFC 3339", param_hint="--before") from exc
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _status(text: str) -> str:
    from typing import get_args

    from cmf.core.model import Status

    if text not in get_args(Status):
        raise typer.BadParameter(f"{text!r} is no status; there are {', '.join(get_args(Status))}")
    return text
