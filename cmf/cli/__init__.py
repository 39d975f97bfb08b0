"""The command line: one module a command group. `main` is the command `cmf`."""

from cmf.cli.program import main

__all__ = ["main"]
