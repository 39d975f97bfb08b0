"""`cmf show`: everything about one artifact or execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmf.cli.log import run_of
from cmf.cli.options import AskServerOption, AtLeastOption, JsonOption, KeyArgument, RemoteOption
from cmf.cli.show_recipe import places_of, recipe_as_json, recipe_of, say_recipe
from cmf.cli.sources import source
from cmf.cli.terminal import PathCell, draw, say_heading, say_json, say_rows, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from cmf.core.model import Edge, Node, NodeDetail
    from cmf.questions import Query

EXAMPLE = "Example: cmf show model.pkl"
INDENT = 2
RELATIONS_SHOWN = 20
"""Each is asked for by itself, since only it knows its name."""


def show(
    asked: KeyArgument,
    remote: RemoteOption = False,
    server: AskServerOption = None,
    at_least: AtLeastOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything about one artifact or execution."""
    from msgspec import to_builtins

    graph = source(remote, server, at_least)
    found = graph.show(asked)
    how = recipe_of(graph, asked, found.node)
    where = places_of(how) if how else {}
    if as_json:
        say_json({**to_builtins(found), "recipe": recipe_as_json(how, where) if how else None})
        return
    _say_node(found.node)
    _say_series(graph, found.node)
    _say_uses(found, _neighbours(graph, found.node))
    _say_relations(graph, found)
    if how:
        say_recipe(how, where)


def _say_node(node: Node) -> None:
    from rich.text import Text

    from cmf.pictures.details import details

    told = details(node)
    draw(Text.assemble((str(told["title"]), "bold"), ("  " + str(told["kind"]), "cyan")))
    sections: list[tuple[str, list[tuple[str, str]]]] = told["sections"]  # type: ignore[assignment]
    for heading, rows in sections:
        if heading:
            say_heading(heading)
        say_rows(rows, INDENT)


def _say_series(graph: Query, node: Node) -> None:
    from cmf.core.model import Execution

    if isinstance(node, Execution) and node.series:
        from cmf.cli.series import draw_series

        say_heading("Series")
        draw_series(graph, node.key, INDENT)


def _neighbours(graph: Query, node: Node) -> Mapping[str, Node]:
    """The nodes at the other end of its uses, as far as there are not too many."""
    from cmf.core.identity import kind_of
    from cmf.questions import USES_SHOWN

    if kind_of(node.key) == "context":
        return {}
    near = graph.lineage(node.key, "both", 1, limit=USES_SHOWN + 1, include_retracted=True)
    return {other.key: other for other in near.nodes}


def _say_uses(found: NodeDetail, neighbours: Mapping[str, Node]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    if not found.uses:
        return
    say_heading("Uses")
    made = table("verb", "path", "who", "key", "more", giving_way=("path", "more"))
    made.show_header = False
    for use in found.uses:
        made.add_row(*_row(use, found.node.key, neighbours))
    draw(Padding(made, (0, 0, 0, INDENT), expand=False))
    if found.uses_total > len(found.uses):
        draw(Text(f"  … {found.uses_total - len(found.uses):,} more; 'cmf lineage' has them", style="dim"))


def _row(use: Edge, key: str, neighbours: Mapping[str, Node]) -> list[Text | PathCell]:
    from rich.text import Text

    from cmf.pictures.labels import printable, short_key

    far = use.source if use.target == key else use.target
    verb = _verb(use, whose=key)
    return [
        Text(verb, style="green" if use.kind == "output" else "blue"),
        PathCell(printable(use.path)),
        Text(_called(neighbours.get(far)), style="cyan"),
        Text(short_key(far), style="dim"),
        Text(_more(use)),
    ]


def _verb(use: Edge, whose: str) -> str:
    if whose.startswith("execution:"):
        return "read" if use.kind == "input" else "wrote"
    return "read by" if use.kind == "input" else "written by"


def _called(node: Node | None) -> str:
    """What tells most of a neighbour beside the path: the type of an artifact, the run of an execution."""
    from cmf.core.model import Artifact, Execution
    from cmf.pictures.labels import type_of

    match node:
        case Artifact():
            return type_of(node)
        case Execution():
            return run_of(node)
        case _:
            return ""


def _more(use: Edge) -> str:
    from cmf.pictures.labels import pairs, printable

    told = [f"commit {use.commit[:10]}"] if use.commit else []
    told += [f"at {use.url}"] if use.url and use.url != use.path else []
    told += [f"retracted: {use.retracted}"] if use.retracted is not None else []
    return "  ".join([*map(printable, told), *pairs(use.properties)])


_SAID = {
    "derived_from": ("derived from", "source of"),
    "version_of": ("version of", "has version"),
    "slice_of": ("slice of", "has slice"),
    "labels": ("labels", "labelled by"),
    "part_of": ("part of", "has part"),
    "ran_in": ("ran in", "ran"),
}
"""Each relation as its source says it, and as its target does."""


def _say_relations(graph: Query, found: NodeDetail) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from cmf.pictures.labels import printable, short_key

    if not found.relations:
        return
    say_heading("Relations")
    made = table("verb", "name", "who", "key", giving_way=("name",))
    made.show_header = False
    for relation in found.relations[:RELATIONS_SHOWN]:
        is_ours = relation.source == found.node.key
        far = relation.target if is_ours else relation.source
        said = _SAID.get(relation.kind, (relation.kind, f"{relation.kind}, from"))
        node = graph.show(far, 1).node
        name = "" if node.stub else node.name
        words = (Text(said[0] if is_ours else said[1], style="green" if is_ours else "blue"), PathCell(printable(name)))
        made.add_row(*words, Text(_called(node), style="cyan"), Text(short_key(far), style="dim"))
    draw(Padding(made, (0, 0, 0, INDENT), expand=False))
    if (more := len(found.relations) - RELATIONS_SHOWN) > 0:
        draw(Text(f"  … {more:,} more; --json has them", style="dim"))
