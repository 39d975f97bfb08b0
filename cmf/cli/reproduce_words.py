"""What `cmf reproduce` tells people: how a folder was prepared, the command, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmf.cli.terminal import draw, note, say, say_heading, say_rows, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmf.core.recipe import Recipe
    from cmf.reproducing.environments import Difference
    from cmf.reproducing.preparing import Prepared
    from cmf.reproducing.verdicts import Verdict

SHOWN = 8
"""So many differences of the environment are named."""


def say_prepared(prepared: Prepared, differing: Sequence[Difference], *, is_ours: bool) -> None:
    """Print how a new folder was prepared."""
    from cmf.pictures.labels import printable

    recipe = prepared.recipe
    rows = [("run", f"{name_of(recipe)}  {recipe.execution}"), ("commit", prepared.commit)]
    rows += [("without", prepared.lacks)] if prepared.lacks else []
    rows += [("folder", str(prepared.folder))]
    say_rows([(name, printable(text)) for name, text in rows])
    if prepared.inputs:
        say_heading("Inputs")
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
    say_heading("The environment differs")
    made = table("", "recorded", "here", giving_way=("recorded", "here"))
    for part in differing[:SHOWN]:
        made.add_row(*(Text(printable(text)) for text in (part.name, part.recorded, part.here or "not installed")))
    draw(Padding(made, (0, 0, 0, 2), expand=False))
    if len(differing) > SHOWN:
        say(f"  … and {len(differing) - SHOWN} more")


def say_command(prepared: Prepared, variables: dict[str, str]) -> None:
    """Print the command, to be pasted into a shell."""
    from cmf.pictures.labels import command_line

    say_heading("Command")
    set_ = "".join(f"{name}={command_line([value])} " for name, value in variables.items())
    say(f"  {command_line(['cd', str(prepared.at)])}")
    say(f"  {set_}{command_line(prepared.command.arguments)}")
    if prepared.missing:
        note("inputs are missing: put them at their paths in the clone, or push them from where they are; repeat this")


def say_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print what came out."""
    from cmf.pictures.labels import printable

    say_heading("Outputs")
    say_rows([(_state(found.judgement), printable(_line(found.path, found.why))) for found in verdicts], 2)
    compared = [found for found in verdicts if found.judgement != "not compared"]
    same = sum(found.judgement == "identical" for found in compared)
    if compared:
        say(f"\nreproduced: {same} of {len(compared)} outputs are identical")
    else:
        say("\nit recorded no output that can be compared")


def _state(state: str) -> str:
    return {"code": "in the commit", "cache": "from the cache", "tree": "from a tree"}.get(state, state)


def _line(path: str, why: str) -> str:
    return f"{path}  ({why})" if why else path


def name_of(recipe: Recipe) -> str:
    """What an execution is called: pipeline and stage, if it has them."""
    from cmf.pictures.labels import printable

    return "/".join(printable(part) for part in (recipe.pipeline, recipe.stage) if part) or recipe.execution
