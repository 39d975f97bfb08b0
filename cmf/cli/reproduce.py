"""`cmf reproduce`: run a recorded execution again, in a folder of its own, and see whether the same comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmf.cli.options import JsonOption, KeyArgument
from cmf.cli.reproduce_words import name_of, say_command, say_prepared, say_verdicts
from cmf.cli.terminal import draw, note, say, say_heading, say_json, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmf.core.recipe import Recipe
    from cmf.repository import Repository
    from cmf.reproducing.environments import Difference
    from cmf.reproducing.preparing import Prepared

EXAMPLE = "Example: cmf reproduce model.pkl --run\n\nExample: cmf reproduce 3f2a91 -o ../again"
DIFFERS = 3
"""The exit code of a re-run that made something else."""


def reproduce(
    asked: KeyArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Prepare it there; without it: below .cmf/reproduced."),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the command there, and compare what it makes.")] = False,
    env: Annotated[
        bool, typer.Option("--env", help="Install the distributions that differ, as recorded, for this run alone.")
    ] = False,
    chain: Annotated[
        bool, typer.Option("--chain", help="With all that led to it, in order; without --run only say what that is.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare a recorded execution to be run again, from its code, inputs and command, in a new folder; or run it.

    An artifact stands for the execution that wrote it. With --run it exits with 3 if an output differs.
    """
    from cmf.questions import Query, StoreSource
    from cmf.repository import Repository

    repository = Repository.find(Path.cwd())
    graph = Query(StoreSource(repository.view), repository.root)
    if not chain:
        told = [_reproduce(repository, graph.recipe(asked), output, (), run=run, env=env, quiet=as_json)]
    elif run:
        told = _reproduce_all(repository, graph.recipes(asked), output, env=env, quiet=as_json)
    else:
        told = _list(graph.recipes(asked), quiet=as_json)
    if as_json:
        say_json(told if chain else told[0])
    if any(verdict["judgement"] in ("differs", "missing") for step in told for verdict in step.get("outputs", ())):
        raise typer.Exit(DIFFERS)


def _reproduce(
    repository: Repository,
    recipe: Recipe,
    folder: Path | None,
    earlier: Sequence[Path],
    *,
    run: bool,
    env: bool,
    quiet: bool,
) -> dict[str, Any]:
    from cmf.reproducing.preparing import default_folder, prepare
    from cmf.reproducing.running import check_runnable, judge, run_again
    from cmf.reproducing.verdicts import files_before

    prepared = prepare(repository, recipe, folder or default_folder(repository, recipe), earlier)
    differing, variables = _environment(prepared, env)
    told = _told(prepared, differing)
    if not quiet:
        say_prepared(prepared, differing, is_ours=_is_ours(repository, recipe.execution))
    if not run:
        if not quiet:
            say_command(prepared, variables)
        return told
    check_runnable(prepared)
    if not quiet:
        say_command(prepared, variables)
    before = files_before(recipe, prepared.base)
    run_again(prepared, variables, quiet=quiet)
    verdicts = judge(prepared, before)
    if not quiet:
        say_verdicts(verdicts)
    return {**told, "outputs": [_as_dict(verdict) for verdict in verdicts]}


def _reproduce_all(
    repository: Repository, recipes: list[Recipe], output: Path | None, *, env: bool, quiet: bool
) -> list[dict[str, Any]]:
    """Each step by itself, from what was recorded; what an earlier one made again serves where nothing else has it."""
    from cmf.reproducing.preparing import default_folder

    told: list[dict[str, Any]] = []
    trees: list[Path] = []
    for number, recipe in enumerate(recipes, start=1):
        folder = output / f"{number}-{default_folder(repository, recipe).name}" if output else None
        if output:
            output.mkdir(parents=True, exist_ok=True)
        if not quiet:
            say_heading(f"{number}/{len(recipes)} {name_of(recipe)}")
        done = _reproduce(repository, recipe, folder, trees, run=True, env=env, quiet=quiet)
        trees.append(Path(done["base"]))
        told.append(done)
    return told


def _list(recipes: list[Recipe], *, quiet: bool) -> list[dict[str, Any]]:
    from rich.text import Text

    from cmf.pictures.labels import command_line, short_key

    made = table("step", "run", "key", "commit", "command", giving_way=("command",))
    for number, recipe in enumerate(recipes, start=1):
        cells = (str(number), name_of(recipe), short_key(recipe.execution), (recipe.commit or "")[:8])
        made.add_row(*map(Text, cells), Text(command_line(recipe.command)))
    if not quiet:
        draw(made)
        say("\n--run runs them in this order, each in a folder of its own")
    return [{"execution": recipe.execution, "command": recipe.command, "commit": recipe.commit} for recipe in recipes]


def _environment(prepared: Prepared, env: bool) -> tuple[list[Difference], dict[str, str]]:
    from cmf.core.errors import NotReproducible
    from cmf.reproducing.environments import default_interpreter, differences, environment_of, install
    from cmf.reproducing.preparing import discard

    recorded = prepared.recipe.environment
    if recorded is None:
        return [], {}
    interpreter = prepared.command.interpreter or default_interpreter()
    here = environment_of(interpreter)
    if here is None:
        note(f"{interpreter} cannot say what environment it is; differences to the recorded one are not known")
        return [], {}
    found = differences(recorded, here)
    if not env:
        return found, {}
    try:
        return found, install(found, interpreter, prepared.base / ".cmf" / "distributions")
    except NotReproducible:
        discard(prepared)
        raise


def _is_ours(repository: Repository, execution: str) -> bool:
    """Whether an execution was recorded in this clone, not pulled."""
    fact = repository.view.state([execution]).executions.get(execution)
    return fact is not None and fact.first.split(" ")[1] in {segment.name for segment in repository.segments}


def _told(prepared: Prepared, differing: Sequence[Difference]) -> dict[str, Any]:
    return {
        "execution": prepared.recipe.execution,
        "folder": str(prepared.folder),
        "base": str(prepared.base),
        "at": str(prepared.at),
        "commit": prepared.commit,
        "lacks": prepared.lacks,
        "command": prepared.command.arguments,
        "inputs": [_as_dict(laid) for laid in prepared.inputs],
        "environment": [_as_dict(part) for part in differing],
    }


def _as_dict(value: Any) -> dict[str, Any]:
    import msgspec

    made: dict[str, Any] = msgspec.to_builtins(value)
    return made
