"""`cmf run`: run a program in any language, and record it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmf.cli.terminal import note, one_line

EXAMPLE = (
    "Example: cmf run -i train.csv -p params.yaml -o model.bin -m metrics.json -- ./train --fast\n\n"
    "Example: cmf run --auto -- python train.py"
)
# The command's own options are not ours, also where nobody wrote `--` before it.
CONTEXT = {"allow_interspersed_args": False}


def _not_empty(paths: list[str] | None) -> list[str]:
    """That each path names something: an unset variable of the shell would not."""
    if "" in (paths or []):
        raise typer.BadParameter("a path is empty; name a file or folder")
    return paths or []


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The program and its arguments.")],
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="NAME", help="The pipeline; by default that of the clone.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="The stage; by default the name of the program.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="PATH", callback=_not_empty, help="What it reads."),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("-o", "--output", metavar="PATH", callback=_not_empty, help="What it writes."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="PATH", callback=_not_empty, help="As -o, a model."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("-m", "--metrics", metavar="FILE", callback=_not_empty, help="As -o, metrics (YAML, JSON, TOML)."),
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("-p", "--params", metavar="FILE", callback=_not_empty, help="Parameters (YAML, JSON, TOML)."),
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="One parameter.")] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Of Python programs: the files they open are inputs and outputs.")
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="PATTERN", help="With --auto: these even if excluded, or code."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="With --auto: not these, as in a .gitignore."),
    ] = None,
) -> None:
    """Run a program in any language, and record it.

    Its exit code is passed on. Options stand before the COMMAND; `--` may separate them. Those for files, parameters
    and patterns may be repeated.
    """
    from cmf.tracking.program import Program, record_program

    if (include or exclude) and not auto:
        raise typer.BadParameter("--include and --exclude narrow --auto; say --auto")
    outcome = record_program(
        Program(
            command=command,
            pipeline=pipeline,
            stage=stage,
            inputs=inputs or [],
            outputs=outputs or [],
            models=models or [],
            metrics=metrics or [],
            parameters=_parameters(params or [], param or []),
            observe=auto,
            include=include or [],
            exclude=exclude or [],
        )
    )
    for told in outcome.notes:
        note(told)
    if outcome.problem:
        typer.echo(f"cmf: {one_line(outcome.problem)}", err=True)
    raise typer.Exit(outcome.exit_code)


def _parameters(files: list[str], assignments: list[str]) -> dict[str, object]:
    """Those of the files, then those of the command line; what is said later counts."""
    from cmf.tracking.value_files import parse_assignment, read_values

    found: dict[str, object] = {}
    for file in files:
        found.update(read_values(Path(file)))
    found.update(map(parse_assignment, assignments))
    return found
