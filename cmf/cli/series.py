"""The fine-grained metrics of an execution, a line each; part of `cmf show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cmf.cli.terminal import console, draw, table

if TYPE_CHECKING:
    from cmf.core.model import Point, SeriesSummary
    from cmf.questions import Query

LINES: Final = 20
"""How many series get a line drawn."""

DRAWN_POINTS: Final = 200_000
"""The points of a series that is still drawn: of more, reading them all is felt."""

WIDTH: Final = 24


def draw_series(graph: Query, execution: str, indent: int) -> None:
    """Print each series of an execution: its points, from the first to the last, the least and the greatest."""
    from rich.padding import Padding
    from rich.text import Text

    from cmf.pictures.labels import printable

    made = table("series", "points", "first → last", "least", "greatest", "")
    for number, summary in enumerate(graph.series(execution)):
        drawn = ""
        if number < LINES and summary.total <= DRAWN_POINTS and console().is_terminal:
            drawn = _line(graph, execution, summary.name)
        made.add_row(
            Text(printable(summary.name)),
            Text(_counts(summary)),
            Text(f"{_value(summary.first)} → {_value(summary.last)}"),
            Text(_at(summary.least)),
            Text(_at(summary.greatest)),
            Text(drawn, style="green"),
        )
    draw(Padding(made, (0, 0, 0, indent), expand=False))


def _line(graph: Query, execution: str, name: str) -> str:
    from cmf.pictures.sparkline import sparkline

    return sparkline(graph.points(execution, name, points=7 * WIDTH), WIDTH)


def _counts(summary: SeriesSummary) -> str:
    odd = [f"{summary.nan:,} NaN"] if summary.nan else []
    odd += [f"{summary.infinite:,} infinite"] if summary.infinite else []
    return f"{summary.total:,}" + (f" ({', '.join(odd)})" if odd else "")


def _at(point: Point | None) -> str:
    if point is None:
        return ""
    return _value(point) + ("" if point[0] is None else f" at {point[0]}")


def _value(point: Point) -> str:
    from cmf.pictures.labels import value

    return value(point[2])  # type: ignore[arg-type]  # a dict of texts is one of values
