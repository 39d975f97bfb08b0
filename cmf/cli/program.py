"""The program `cmf`: its commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from cmf import __version__
from cmf.cli import (
    artifacts,
    cmflib,
    dvc,
    export,
    fsck,
    import_,
    init,
    lineage,
    log,
    login,
    pull,
    push,
    rebuild,
    relate,
    reproduce,
    retract,
    run,
    show,
    status,
)
from cmf.cli.terminal import note, one_line
from cmf.core.errors import CmfError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

JOINED = "cmf.commands"
"""The entry points by which other packages join a command: a function with Typer's annotations, or a Typer app."""


class Commands(TyperGroup):
    """Our commands, and those that joined: they are looked for when one of them is named, or when all are listed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command's name but for the aliases; the one to begin with comes first."""
        ours: list[str] = [name for name in super().list_commands(ctx) if not self.commands[name].hidden]
        ours.sort(key=lambda name: name != "init")
        return [*ours, *sorted(set(_joined()) - set(ours))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None when there is none."""
        if (ours := super().get_command(ctx, cmd_name)) is not None:
            return ours
        joined = _joined().get(cmd_name)
        return joined and _command(joined)


app = typer.Typer(
    cls=Commands,
    help="Lineage for data and ML pipelines: record anywhere, push like git, ask one graph.",
    epilog="Example: cmf init && python train.py && cmf lineage model.pkl --up",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback is for a bug in cmf, and then it is to be whole
)
app.add_typer(init.app, name="init", epilog=init.EXAMPLE)
app.command(epilog=status.EXAMPLE)(status.status)
app.command(epilog=log.EXAMPLE)(log.log)
app.command(epilog=show.EXAMPLE)(show.show)
app.command(epilog=lineage.EXAMPLE)(lineage.lineage)
app.command(epilog=relate.EXAMPLE)(relate.relate)
app.command(epilog=retract.EXAMPLE)(retract.retract)
app.command(epilog=push.EXAMPLE)(push.push)
app.command(epilog=pull.EXAMPLE)(pull.pull)
app.command(epilog=login.EXAMPLE)(login.login)
app.command(epilog=login.LOGOUT_EXAMPLE)(login.logout)
app.command(epilog=export.EXAMPLE)(export.export)
app.command(epilog=run.EXAMPLE, context_settings=run.CONTEXT)(run.run)
app.command(epilog=fsck.EXAMPLE)(fsck.fsck)
app.command(epilog=rebuild.EXAMPLE)(rebuild.rebuild)
app.command(epilog=reproduce.EXAMPLE)(reproduce.reproduce)
app.add_typer(dvc.app)
app.add_typer(import_.app)
app.add_typer(artifacts.app, name="artifacts")
for group in cmflib.GROUPS:
    app.add_typer(group, hidden=True)


def main() -> int:
    """Run the command that the arguments name; → the exit code. 1 is a failure, 2 a wrong use, 130 an interrupt."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the current folder's path may be no text
    if not all(map(_is_text, sys.argv)):
        return _fail("an argument is not valid UTF-8, which keys and JSON need", 2)
    try:
        app(prog_name="cmf")
    except CmfError as exc:
        return _fail(str(exc))
    except KeyboardInterrupt:
        return 130
    except OSError as exc:
        return _fail(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc))
    return 0


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"cmf {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


def _joined() -> dict[str, EntryPoint]:
    """The commands that joined, by name. Asking every installed package takes a quarter of the start-up."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=JOINED)}


def _command(joined: EntryPoint) -> Any:
    try:
        loaded = joined.load()
    except (ImportError, AttributeError) as exc:
        loaded = _unloadable(joined, exc)
    if isinstance(loaded, typer.Typer):
        group = typer.main.get_command(loaded)
        group.name = joined.name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(joined.name)(loaded)
    return typer.main.get_command(alone)


def _unloadable(joined: EntryPoint, problem: Exception) -> Any:
    """What stands for a command that is installed but broken, so that it does not break `cmf --help`."""

    def broken() -> None:
        raise CmfError(f"cmf {joined.name} ({joined.value}) cannot be loaded: {problem}; reinstall its package")

    broken.__doc__ = "Installed, but cannot be loaded."
    return broken


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fail(message: str, code: int = 1) -> int:
    typer.echo(f"cmf: {one_line(message)}", err=True)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning):
        note(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
