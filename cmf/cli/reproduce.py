"""`cmf reproduce`: run a recorded execution again, in a folder of its own, and see whether the same comes out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmf.cli.options import JsonOption, KeyArgument
from cmf.cli.terminal import draw, note, say, say_json, say_rows, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmf.core.recipe import Recipe
    from cmf.repository import Repository
    from cmf.reproducing.environments import Difference
    from cmf.reproducing.preparing import Prepared
    from cmf.reproducing.verdicts import Before, Verdict

EXAMPLE = "Example: cmf reproduce model.pkl --run\n\nExample: cmf reproduce 3f2a91 -o ../again"
DIFFERS = 3
"""The exit code of a re-run that made something else."""
SHOWN = 8


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
    from cmf.reproducing.verdicts import files_before

    prepared = prepare(repository, recipe, folder or default_folder(repository, recipe), earlier)
    differing, variables = _environment(prepared, env)
    told = _told(prepared, differing)
    if not quiet:
        _say_prepared(prepared, differing, is_ours=_is_ours(repository, recipe.execution))
    if not run:
        if not quiet:
            _say_command(prepared, variables)
        return told
    _check_runnable(prepared)
    if not quiet:
        _say_command(prepared, variables)
    before = files_before(recipe, prepared.base)
    _run(prepared, variables, quiet=quiet)
    verdicts = _judge(prepared, before)
    if not quiet:
        _say_verdicts(verdicts)
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
            _say_heading(f"{number}/{len(recipes)} {_name(recipe)}")
        done = _reproduce(repository, recipe, folder, trees, run=True, env=env, quiet=quiet)
        trees.append(Path(done["base"]))
        told.append(done)
    return told


def _list(recipes: list[Recipe], *, quiet: bool) -> list[dict[str, Any]]:
    from rich.text import Text

    from cmf.pictures.labels import printable, short_key

    made = table("step", "run", "key", "commit", "command")
    for number, recipe in enumerate(recipes, start=1):
        cells = (str(number), _name(recipe), short_key(recipe.execution), (recipe.commit or "")[:8])
        made.add_row(*map(Text, cells), Text(printable(shlex.join(recipe.command))))
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


def _check_runnable(prepared: Prepared) -> None:
    from cmf.core.errors import NotReproducible

    if missing := prepared.missing:
        raise NotReproducible(
            f"{len(missing)} of {len(prepared.inputs)} inputs are missing, first {missing[0].path} ({missing[0].why}); "
            f"the folder is prepared: put them there, and run the command in it"
        )
    if outside := [item.path for item in prepared.recipe.outputs if item.path.startswith("/") and not item.url]:
        raise NotReproducible(
            f"it writes outside of the tree, to {outside[0]}, and would overwrite what is there now; the folder is "
            f"prepared: run the command in it yourself if that is meant"
        )


def _run(prepared: Prepared, variables: dict[str, str], *, quiet: bool) -> None:
    """Run the command as a shell in the folder would, with this process's variables but those that steer git."""
    from cmf.core.errors import NotReproducible

    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = kept | variables | {"PWD": str(prepared.at)}
    sys.stdout.flush()
    try:
        done = subprocess.run(
            prepared.command.arguments,
            cwd=prepared.at,
            env=environment,
            stdout=sys.stderr if quiet else None,
            check=False,
        )
    except OSError as exc:
        raise NotReproducible(f"{prepared.command.arguments[0]}: {exc.strerror or exc}; it cannot be run here") from exc
    if done.returncode:
        raise NotReproducible(f"the command ended with exit code {done.returncode}, in {prepared.at}")


def _judge(prepared: Prepared, before: Before) -> list[Verdict]:
    from cmf.repository import Repository
    from cmf.reproducing.preparing import mark
    from cmf.reproducing.verdicts import compare, reruns

    repository = Repository.find(prepared.base)
    try:
        again = reruns(repository, prepared.recipe)
        return compare(prepared.recipe, again, repository, before)
    finally:
        repository.close()
        mark(prepared, again)


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


# --- For people -------------------------------------------------------------------------------------------------------


def _say_prepared(prepared: Prepared, differing: Sequence[Difference], *, is_ours: bool) -> None:
    from cmf.pictures.labels import printable

    recipe = prepared.recipe
    rows = [("run", f"{_name(recipe)}  {recipe.execution}"), ("commit", prepared.commit)]
    rows += [("without", prepared.lacks)] if prepared.lacks else []
    rows += [("folder", str(prepared.folder))]
    say_rows([(name, printable(text)) for name, text in rows])
    if prepared.inputs:
        _say_heading("Inputs")
        say_rows([(_state(laid.state), printable(_line(laid.path, laid.why))) for laid in prepared.inputs], 2)
    _say_differences(differing)
    for replaced in prepared.command.replaced:
        note(f"the command has another path here: {replaced}")
    for path in prepared.command.outside:
        note(f"the command names a path outside of the folder: {path}")
    if not is_ours:
        note("this was recorded at another site: read the command and the code before you run them")
    if (prepared.folder / ".gitmodules").exists():
        note("submodules are not checked out; if it needs them: git submodule update --init, in the folder")


def _say_differences(differing: Sequence[Difference]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from cmf.pictures.labels import printable

    if not differing:
        return
    _say_heading("The environment differs")
    made = table("", "recorded", "here")
    for part in differing[:SHOWN]:
        made.add_row(*(Text(printable(text)) for text in (part.name, part.recorded, part.here or "not installed")))
    draw(Padding(made, (0, 0, 0, 2), expand=False))
    if len(differing) > SHOWN:
        say(f"  … and {len(differing) - SHOWN} more")


def _say_command(prepared: Prepared, variables: dict[str, str]) -> None:
    from cmf.pictures.labels import printable

    _say_heading("Command")
    set_ = "".join(f"{name}={shlex.quote(value)} " for name, value in variables.items())
    say(f"  cd {printable(shlex.quote(str(prepared.at)))}")
    say(f"  {printable(set_ + shlex.join(prepared.command.arguments))}")
    if prepared.missing:
        note("inputs are missing: put them at their paths in the clone, or push them from where they are; repeat this")


def _say_verdicts(verdicts: Sequence[Verdict]) -> None:
    from cmf.pictures.labels import printable

    _say_heading("Outputs")
    say_rows([(_state(found.judgement), printable(_line(found.path, found.why))) for found in verdicts], 2)
    compared = [found for found in verdicts if found.judgement != "not compared"]
    same = sum(found.judgement == "identical" for found in compared)
    if compared:
        say(f"\nreproduced: {same} of {len(compared)} outputs are identical")
    else:
        say("\nit recorded no output that can be compared")


def _say_heading(heading: str) -> None:
    from rich.text import Text

    say("")
    draw(Text(heading, style="bold"))


def _state(state: str) -> str:
    return {"code": "in the commit", "cache": "from the cache", "tree": "from a tree"}.get(state, state)


def _line(path: str, why: str) -> str:
    return f"{path}  ({why})" if why else path


def _name(recipe: Recipe) -> str:
    from cmf.pictures.labels import printable

    return "/".join(printable(part) for part in (recipe.pipeline, recipe.stage) if part) or recipe.execution
