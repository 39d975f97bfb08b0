"""`cmf show`: everything about one artifact or execution."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cmf.cli.log import run_of
from cmf.cli.options import AskServerOption, JsonOption, KeyArgument, RemoteOption
from cmf.cli.sources import source
from cmf.cli.terminal import draw, say, say_json, say_rows, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from cmf.core.model import Edge, Node, NodeDetail
    from cmf.core.recipe import Environment, Item, Recipe
    from cmf.questions import Query
    from cmf.reproducing.holdings import Holdings

EXAMPLE = "Example: cmf show model.pkl"
INDENT = 2
RELATIONS_SHOWN = 20
"""Each is asked for by itself, since only it knows its name."""


def show(
    asked: KeyArgument,
    remote: RemoteOption = False,
    server: AskServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything about one artifact or execution."""
    graph = source(remote, server)
    found = graph.show(asked)
    how = _recipe(graph, asked, found.node)
    where = _places(how) if how else {}
    if as_json:
        say_json(_as_json(found, how, where))
        return
    _say_node(found.node)
    _say_series(graph, found.node)
    _say_uses(found, _neighbours(graph, found.node))
    _say_relations(graph, found)
    if how:
        _say_recipe(how, where)


def _say_node(node: Node) -> None:
    from rich.text import Text

    from cmf.pictures.details import details

    told = details(node)
    draw(Text.assemble((str(told["title"]), "bold"), ("  " + str(told["kind"]), "cyan")))
    sections: list[tuple[str, list[tuple[str, str]]]] = told["sections"]  # type: ignore[assignment]
    for heading, rows in sections:
        if heading:
            _say_heading(heading)
        say_rows(rows, INDENT)


def _say_series(graph: Query, node: Node) -> None:
    from cmf.core.model import Execution

    if isinstance(node, Execution) and node.series:
        from cmf.cli.series import draw_series

        _say_heading("Series")
        draw_series(graph, node.key, INDENT)


def _say_heading(heading: str) -> None:
    from rich.text import Text

    say("")
    draw(Text(heading, style="bold"))


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
    _say_heading("Uses")
    made = table("", "path", "", "key", "")
    made.show_header = False
    for use in found.uses:
        made.add_row(*_row(use, found.node.key, neighbours))
    draw(Padding(made, (0, 0, 0, INDENT), expand=False))
    if found.uses_total > len(found.uses):
        draw(Text(f"  … {found.uses_total - len(found.uses):,} more; 'cmf lineage' has them", style="dim"))


def _row(use: Edge, key: str, neighbours: Mapping[str, Node]) -> list[Text]:
    from rich.text import Text

    from cmf.pictures.labels import printable, short_key

    far = use.source if use.target == key else use.target
    verb = _verb(use, whose=key)
    return [
        Text(verb, style="green" if use.kind == "output" else "blue"),
        Text(printable(use.path)),
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
    _say_heading("Relations")
    made = table("", "name", "", "key")
    made.show_header = False
    for relation in found.relations[:RELATIONS_SHOWN]:
        is_ours = relation.source == found.node.key
        far = relation.target if is_ours else relation.source
        said = _SAID.get(relation.kind, (relation.kind, f"{relation.kind}, from"))
        node = graph.show(far, 1).node
        name = "" if node.stub else node.name
        words = (Text(said[0] if is_ours else said[1], style="green" if is_ours else "blue"), Text(printable(name)))
        made.add_row(*words, Text(_called(node), style="cyan"), Text(short_key(far), style="dim"))
    draw(Padding(made, (0, 0, 0, INDENT), expand=False))
    if (more := len(found.relations) - RELATIONS_SHOWN) > 0:
        draw(Text(f"  … {more:,} more; --json has them", style="dim"))


# --- How to run it again ----------------------------------------------------------------------------------------------


def _recipe(graph: Query, asked: str, node: Node) -> Recipe | None:
    """How to run it again, or what wrote it; None for what nothing recorded has made, such as raw data."""
    from cmf.core.errors import NotReproducible
    from cmf.core.identity import kind_of

    if kind_of(node.key) == "context" or node.stub:
        return None
    try:
        found = graph.recipe(asked)
    except NotReproducible:
        return None
    return found if found.command or found.code else None


def _places(how: Recipe) -> dict[str, str]:
    """Where the bytes of the inputs are on this machine, by path; empty outside of a clone."""
    from pathlib import Path

    from cmf.core.errors import NotARepository
    from cmf.repository import Repository
    from cmf.reproducing.holdings import Holdings

    try:
        repository = Repository.find(Path.cwd(), catch_up=False)
    except NotARepository:
        return {}
    try:
        holdings = Holdings(repository)
        return {item.path: _place(holdings, item, how) for item in how.inputs if item.values is None}
    finally:
        repository.close()


def _place(holdings: Holdings, item: Item, how: Recipe) -> str:
    from cmf.reproducing.holdings import Held

    if isinstance(held := holdings.find(item), Held):
        return f"in the {held.place}"
    return "in the commit" if how.commit and holdings.is_in_commit(how.commit, item) else held.why


def _as_json(found: NodeDetail, how: Recipe | None, where: dict[str, str]) -> dict[str, object]:
    import msgspec

    from cmf.reproducing.preparing import run_branch

    made: dict[str, object] = msgspec.to_builtins(found)
    told = None
    if how:
        told = msgspec.to_builtins(how)
        told |= {"branch": run_branch(how), "bytes": where, "reproduce": f"cmf reproduce {how.execution}"}
    return {**made, "recipe": told}


def _say_recipe(how: Recipe, where: dict[str, str]) -> None:
    from cmf.pictures.labels import pairs, printable, short_key

    _say_heading("To run it again")
    rows = [("run", f"{how.pipeline}/{how.stage}  {how.execution}"), *_code_rows(how)]
    rows += [("command", shlex.join(how.command))]
    rows += [("in folder", how.working_folder)] if how.working_folder != "." else []
    rows += [("parameters", "  ".join(pairs(how.parameters)))] if how.parameters else []
    rows += [("environment", _environment(how.environment))] if how.environment else []
    for item in how.inputs:
        told = f"a record {short_key(item.key)}" if item.values is not None else where.get(item.path, "")
        rows.append(("input", f"{item.path}  {short_key(item.key)}{'  ' + told if told else ''}"))
    rows.append(("reproduce", f"cmf reproduce {short_key(how.execution)}"))
    say_rows([(name, printable(text)) for name, text in rows], INDENT)


def _code_rows(how: Recipe) -> list[tuple[str, str]]:
    from cmf.reproducing.preparing import run_branch

    if how.code is None or how.commit is None:
        return [("commit", "none was recorded")]
    kind = "snapshot" if how.code.snapshot else "commit"
    rows = [(kind, how.commit)]
    rows += [("fetch from", how.code.remote)] if how.code.remote else []
    return [*rows, ("its branch", run_branch(how))]


def _environment(of: Environment) -> str:
    from cmf.pictures.labels import counted, short_key

    count = counted(len(of.distributions), "distribution") if of.distributions else None
    return ", ".join(filter(None, (of.python, of.platform, count))) + f"  {short_key(of.key)}"
