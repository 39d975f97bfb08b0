"""How to run an execution again: the last section of `cmf show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cmf.cli.terminal import say_heading, say_rows

if TYPE_CHECKING:
    from cmf.core.model import Node
    from cmf.core.recipe import Environment, Item, Recipe
    from cmf.questions import Query
    from cmf.reproducing.holdings import Holdings

INDENT = 2


def recipe_of(graph: Query, asked: str, node: Node) -> Recipe | None:
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


def places_of(how: Recipe) -> dict[str, str]:
    """Where the bytes of the inputs are on this machine, by path; empty outside of a clone."""
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


def recipe_as_json(how: Recipe, where: dict[str, str]) -> dict[str, object]:
    """A recipe with what is known of it here."""
    import msgspec

    from cmf.reproducing.commits import run_branch

    told: dict[str, object] = msgspec.to_builtins(how)
    branch = run_branch(how, Path.cwd()).name
    return {**told, "branch": branch, "bytes": where, "reproduce": f"cmf reproduce {how.execution}"}


def say_recipe(how: Recipe, where: dict[str, str]) -> None:
    """Print all that it takes."""
    from cmf.pictures.labels import command_line, pairs, printable, short_key

    say_heading("To run it again")
    rows = [("run", f"{how.pipeline}/{how.stage}  {how.execution}"), *_code_rows(how)]
    rows += [("command", command_line(how.command))] if how.command else []
    rows += [("in folder", how.working_folder)] if how.working_folder != "." else []
    rows += [("parameters", "  ".join(pairs(how.parameters)))] if how.parameters else []
    rows += [("environment", _environment(how.environment))] if how.environment else []
    for item in how.inputs:
        told = f"a record {short_key(item.key)}" if item.values is not None else where.get(item.path, "")
        rows.append(("input", f"{item.path}  {short_key(item.key)}{'  ' + told if told else ''}"))
    rows.append(("reproduce", f"cmf reproduce {short_key(how.execution)}"))
    say_rows([(name, printable(text)) for name, text in rows], INDENT, copied=("command", "reproduce"))


def _code_rows(how: Recipe) -> list[tuple[str, str]]:
    from cmf.reproducing.commits import run_branch

    if how.code is None or how.commit is None:
        return [("commit", "none was recorded")]
    kind = "snapshot" if how.code.snapshot else "commit"
    rows = [(kind, how.commit)]
    rows += [("fetch from", how.code.remote)] if how.code.remote else []
    branch = run_branch(how, Path.cwd())
    rows += [("its branch", branch.name + ("" if branch.is_here else "  (not here)"))] if branch.name else []
    return rows


def _environment(of: Environment) -> str:
    from cmf.pictures.labels import counted, short_key

    count = counted(len(of.distributions), "distribution") if of.distributions else None
    return ", ".join(filter(None, (of.python, of.platform, count))) + f"  {short_key(of.key)}"
