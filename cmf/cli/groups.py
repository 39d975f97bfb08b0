"""Groups of commands, and commands that are particular about how they are called."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def group(name: str, help_: str, example: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """A group of commands, which stays one when it has a single command: Typer would take the group for it."""
    app = typer.Typer(name=name, cls=cls, help=help_, epilog=f"Example: cmf {example}", no_args_is_help=True)
    app.callback()(lambda: None)
    return app


class Once(TyperCommand):
    """A command that refuses an option of one value that is given twice, instead of forgetting the first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command does, but for what is given twice."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            given: Counter[Any] = Counter(order)
            for option, times in given.items():
                if times > 1 and not getattr(option, "multiple", True) and not getattr(option, "is_flag", False):
                    raise typer.BadParameter(f"is given {times} times, and has one value", ctx=ctx, param=option)
        return list(super().parse_args(ctx, args))
