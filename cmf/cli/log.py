"""`cmf log`: the executions, newest first."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.options import AskServerOption, AtLeastOption, JsonOption, RemoteOption
from cmf.cli.sources import source
from cmf.cli.terminal import draw, note, say, say_json, table

if TYPE_CHECKING:
    from rich.text import Text

    from cmf.core.model import Execution, Node
    from cmf.core.values import Json

EXAMPLE = "Example: cmf log -n 5 --pipeline digits --status failed"
MOST_PAIRS = 5
COLOURS = {"complete": "green", "failed": "bold red", "aborted": "dark_orange", "running": "blue", "unknown": "dim"}


class Status(StrEnum):
    """How an execution stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


def log(
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="At most so many.")] = 20,
    pipeline: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this pipeline.")] = None,
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this stage.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    remote: RemoteOption = False,
    server: AskServerOption = None,
    at_least: AtLeastOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the executions, newest first."""
    from cmf.core.store import Filters

    asked = source(remote, server, at_least)
    filters = Filters(pipeline=pipeline, stage=stage, status=status.value if status else None)
    found = list(islice(asked.executions(filters), number + 1))
    shown = found[:number]
    if as_json:
        say_json(shown)
        return
    _say(shown, asked.metrics(node.key for node in shown))
    if not found:
        say("no execution matches" if filters != Filters() else "no execution is recorded yet")
    if len(found) > number:
        note(f"there are more; say -n {number * 2} to see more of them")


def _say(executions: list[Node], metrics: dict[str, dict[str, Json]]) -> None:
    from rich.text import Text

    from cmf.core.model import Execution
    from cmf.pictures.labels import duration, short_key

    runs = [node for node in executions if isinstance(node, Execution)]
    # Without git there is no column for the commit; the branch tells something where there are several.
    code = any(run.code for run in runs)
    branched = len({run.branch for run in runs}) > 1
    columns = ["started", "run", "status", "took", "parameters", "metrics", *(["commit"] if code else []), "key"]
    made = table(*columns, giving_way=("run", "parameters", "metrics"))
    for node in executions:
        assert isinstance(node, Execution)
        values = map(_cut, (_pairs(node.parameters), _pairs(metrics.get(node.key, {}))))
        last = [*([_commit(node, branched)] if code else []), short_key(node.key)]
        made.add_row(_when(node), _cut(run_of(node)), _status(node), duration(node), *values, *map(Text, last))
    if executions:
        draw(made)


def _cut(text: str) -> Text:
    """A cell that stays one line where its column gives way: `cmf show` has the rest."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _when(execution: Execution) -> str:
    """When it started, or else ended, by this machine's clock and zone."""
    from cmf.core.answers import listed_at

    if not (at := listed_at(execution)):
        return ""
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def run_of(execution: Execution) -> str:
    """Pipeline and stage, or what else it is called."""
    from cmf.pictures.labels import printable, title_of

    names = [printable(part) for part in (execution.pipeline, execution.stage) if part]
    return "/".join(names) or title_of(execution)


def _commit(execution: Execution, branched: bool) -> str:
    """`1a2b3c4d`, perhaps behind the branch, with a `+` where the tree differed from the commit."""
    from cmf.pictures.labels import printable

    code = execution.code
    if code is None:
        return ""
    commit = (code.commit or "")[:8] + ("+" if code.snapshot or code.dirty else "")
    return printable(" ".join(filter(None, (execution.branch if branched else None, commit))))


def _status(execution: Execution) -> Text:
    from rich.text import Text

    retracted = " retracted" if execution.retracted is not None else ""
    return Text(execution.status + retracted, style=COLOURS[execution.status])


def _pairs(values: dict[str, Json]) -> str:
    from cmf.pictures.labels import pairs

    told = pairs(values)
    return " ".join(told[:MOST_PAIRS]) + (f" +{len(told) - MOST_PAIRS}" if len(told) > MOST_PAIRS else "")
