"""`cmf server migrate`: a store copied into another of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: cmf server migrate --from sqlite:////srv/cmf/graph.db --to neo4j://127.0.0.1:7687"


def migrate(
    source: Annotated[str, typer.Option("--from", help="The store to copy: sqlite:///FILE or neo4j://HOST:PORT.")],
    target: Annotated[str, typer.Option("--to", help="The store to copy it into.")],
    from_password_file: Annotated[
        Path | None, typer.Option("--from-password-file", help="A file with the password of the first, if a Neo4j.")
    ] = None,
    to_password_file: Annotated[
        Path | None, typer.Option("--to-password-file", help="A file with the password of the second, if a Neo4j.")
    ] = None,
) -> None:
    """Copy a grown store into another of any kind, and compare both at the end.

    Interrupted, or when somebody pushed meanwhile, it is run again: what is there is not written again. The files
    that the server keeps beside its store (--home) stay where they are.
    """
    from cmf.cli.terminal import bar, note, say
    from cmf.core.errors import SettingsProblem
    from cmf_api.commands.words import counts, shown
    from cmf_api.migrating import migrate as migrated_by
    from cmf_api.settings import read_secret
    from cmf_api.stores import is_embedded, open_store, path_of

    if source == target:
        raise SettingsProblem("--from and --to are the same store")
    if is_embedded(source) and not path_of(source).is_file():
        raise SettingsProblem(f"{path_of(source)}: there is no such store")
    old = open_store(source, read_secret(from_password_file) if from_password_file else None)
    new = open_store(target, read_secret(to_password_file) if to_password_file else None)
    try:
        with bar("copying", unit="operations") as (total, advance):
            total(sum(count for kind, count in old.stats().kinds.items() if kind != "use"))
            done = migrated_by(old, new, advance)
    finally:
        old.close()
        new.close()
    for side, url in ((done.source, source), (done.target, target)):
        say(
            f"{shown(url)}: {counts(side.stats)}, {side.heads:,} segments; "
            f"{side.digest.facts:,} facts, digest {side.digest.sha256}"
        )
    for difference in done.differences:
        note(difference)
    if done.differences:
        say("the two stores do not hold the same")
        raise typer.Exit(1)
    say(f"the two stores hold the same ({done.nodes:,} nodes; {done.copied:,} pieces were copied)")
