"""The options that several commands below `cmf server` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    str | None, typer.Option("--store", help="The server's store; by default the one in your data folder.")
]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The folder of the files that the server keeps beside its store.")
]
StorePasswordOption = Annotated[
    Path | None, typer.Option("--store-password-file", help="A file with a Neo4j's password, or user/password.")
]
