"""`cmf server backup` and `cmf server restore`: an embedded store into one file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

BACKUP_EXAMPLE = "Example: cmf server backup graph-monday.db --store sqlite:////srv/cmf/graph.db"
RESTORE_EXAMPLE = "Example: cmf server restore graph-monday.db --store sqlite:////srv/cmf/graph.db --force"

_Store = Annotated[
    str | None, typer.Option(help="The embedded store, sqlite:///FILE; by default the one in your data folder.")
]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")], store: _Store = None
) -> None:
    """Copy an embedded store into a file, also while its server runs, and check the copy."""
    from cmf.stores.sqlite import copying

    source = _embedded(store)
    counts = copying.backup(source, file)
    typer.echo(f"{file}: {_told(counts)}, checked; of {source}")


def restore(
    file: Annotated[Path, typer.Argument(help="The file that 'cmf server backup' wrote.")],
    store: _Store = None,
    force: Annotated[bool, typer.Option(help="Replace a store that is there; it is kept beside.")] = False,
) -> None:
    """Make an embedded store from a backup, while no server uses it."""
    from cmf.stores.sqlite import copying

    target = _embedded(store)
    counts, before = copying.restore(file, target, force)
    kept = f"; what was there is {before}" if before else ""
    typer.echo(f"{target}: {_told(counts)}, checked{kept}")


def _embedded(url: str | None) -> Path:
    from cmf.core.errors import SettingsProblem
    from cmf_api.home import default_store

    scheme, _, rest = (url or default_store()).partition("://")
    if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
        raise SettingsProblem(
            f"{scheme}://…: this works on embedded stores, sqlite:///FILE; a Neo4j is dumped with its own "
            f"neo4j-admin, see docs/operations.md"
        )
    return Path(rest[1:])


def _told(counts: Mapping[str, int]) -> str:
    return f"{counts['entity']} nodes and uses, {counts['segment']} segments"
