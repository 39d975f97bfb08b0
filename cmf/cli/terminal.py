"""What is written to the terminal, or to the pipe in its place: text, one JSON document, notices, progress.

Names in the graph are anybody's text: they are made `printable` and never read as rich's markup.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import IO, TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.progress import ProgressColumn
    from rich.table import Table

UNBOUNDED = 1_000_000_000
"""Columns of what is no terminal: there a line is never cut or broken."""

Advance = Callable[[int], None]
Unit = Literal["bytes", "operations", "executions"]


def console(file: IO[str] | None = None) -> Console:
    """A console on standard output, or on a file."""
    from rich.console import Console

    to = file or sys.stdout
    bounded = to.isatty() or "COLUMNS" in os.environ
    return Console(file=to, width=None if bounded else UNBOUNDED, highlight=False, markup=False, emoji=False)


def draw(renderable: RenderableType) -> None:
    """Print what rich draws; on a pipe without the blanks that fill its lines up."""
    out = console()
    if out.is_terminal:
        out.print(renderable)
        return
    with out.capture() as captured:
        out.print(renderable)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def one_line(text: str) -> str:
    """A message on one line, whatever it quotes."""
    from cmf.pictures.labels import printable

    return printable(" ".join(part.strip() for part in text.splitlines()))


def say(text: str) -> None:
    """Print a line as it is."""
    typer.echo(text)


def note(text: str) -> None:
    """Tell something beside the answer, on standard error."""
    typer.echo(f"cmf: note: {one_line(text)}", err=True)


def say_json(value: object) -> None:
    """Print one JSON document."""
    import msgspec

    from cmf.core.values import encode

    typer.echo(msgspec.json.format(encode(value), indent=2).decode())


def say_heading(heading: str) -> None:
    """Print a heading over what comes next."""
    from rich.text import Text

    say("")
    draw(Text(heading, style="bold"))


def table(*headings: str, giving_way: Collection[str] = ()) -> Table:
    """An empty table without lines, whose cells hold text, not markup.

    Where it is wider than the terminal, the columns `giving_way` become narrower before any other does: text in them
    is broken, a `PathCell` shortened.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        gives = heading in giving_way
        shown = Text(heading, no_wrap=True, overflow="ellipsis")
        # rich measures an empty column as none wide, but draws it one wide: another would have to give way for it.
        made.add_column(shown, no_wrap=not gives, overflow="fold" if gives else "ellipsis", min_width=1)
    return made


class PathCell:
    """A path in a table, on one line: shortened in the middle where there is no room, since its ends tell most."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.cells import cell_len
        from rich.measure import Measurement

        return Measurement(1, max(cell_len(self._text), 1)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(_shortened(self._text, options.max_width), no_wrap=True, overflow="crop")


def _shortened(text: str, width: int) -> str:
    """A text in a number of columns: a third of them for its beginning, the rest for its end."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    end = text[-width:]
    while cell_len(end) > width - 1 - width // 3:
        end = end[1:]
    return set_cell_size(text, max(width - 1 - cell_len(end), 0)) + "…" + end


def say_rows(rows: Iterable[tuple[str, str]], indent: int = 0, copied: Collection[str] = ()) -> None:
    """Print names and what they stand for in two columns; a long text is broken, not cut.

    Rows that are named in `copied` are not broken: a line that the terminal itself wraps can be copied from it whole.
    """
    from rich.cells import cell_len
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    told = list(rows)
    width = max((cell_len(name) for name, _ in told), default=0)
    for is_copied, group in groupby(told, key=lambda row: row[0] in copied):
        made = Table.grid(padding=(0, 2, 0, 0))
        made.add_column(no_wrap=True, style="dim", min_width=width)
        made.add_column(overflow="fold")
        for name, text in group:
            if is_copied:
                label = Text(name.ljust(width), "dim")
                console().print(Text(" " * indent) + label + Text("  " + text), soft_wrap=True)
            else:
                made.add_row(Text(name), Text(text))
        if made.row_count:
            draw(Padding(made, (0, 0, 0, indent), expand=False))


@contextmanager
def progress(what: str, total: int | None, unit: Unit = "bytes") -> Iterator[Advance]:
    """A bar on standard error while long work is done, told how much more is done; nothing where nobody looks."""
    with bar(what, total, unit) as (_, advance):
        yield advance


@contextmanager
def bar(what: str, total: int | None = None, unit: Unit = "bytes") -> Iterator[tuple[Advance, Advance]]:
    """A bar as `progress` makes; → what is told how much there is to do, once that is known, and how much more is."""
    if not sys.stderr.isatty():
        yield lambda total: None, lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = [TextColumn("{task.description}"), BarColumn(), *_amounts(unit)]
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(what, total=total)
        yield lambda total: drawn.update(task, total=total), lambda done: drawn.advance(task, done)


def _amounts(unit: str) -> list[ProgressColumn]:
    from rich.progress import DownloadColumn, TextColumn, TimeRemainingColumn

    if unit == "bytes":
        return [DownloadColumn(), TimeRemainingColumn()]
    return [TextColumn("{task.completed:,.0f} " + unit)]
