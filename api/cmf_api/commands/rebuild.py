"""`cmf server rebuild`: the store made anew from the archive."""

from __future__ import annotations

from typing import Annotated

import typer

from cmf_api.commands.options import HomeOption, StoreOption, StorePasswordOption

EXAMPLE = "Example: cmf server rebuild --store sqlite:////srv/cmf/graph.db"


def rebuild(
    store: StoreOption = None,
    home: HomeOption = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Make this store, which is empty, and leave the server's as it is.")
    ] = None,
    store_password_file: StorePasswordOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where the archive lacks what the store holds; or add to a Neo4j.")
    ] = False,
) -> None:
    """Make the server's store anew from its archive.

    The server is stopped meanwhile, unless --to names another store. An embedded store is made beside the old one and
    takes its place when it is whole; the old one is kept under another name. A Neo4j has to be empty.
    """
    from cmf.cli.terminal import bar, note, say
    from cmf_api.archive.reading import Reading
    from cmf_api.archive.writing import folder_of
    from cmf_api.commands.words import counts, shown
    from cmf_api.home import default_store, home_of
    from cmf_api.rebuilding import rebuild as rebuilt_by
    from cmf_api.settings import ServerSettings, read_secret

    url = store or default_store()
    settings = ServerSettings(home=home or home_of(url))
    secret = read_secret(store_password_file) if store_password_file else None
    with bar("rebuilding") as (total, advance):
        total(Reading(folder_of(settings.home)).bytes)
        made = rebuilt_by(settings, url, to, secret, force, advance)
    told = made.replayed
    for problem in (*told.problems, *made.lacks):
        note(problem)
    say(f"made {shown(to or url)} from {told.frames:,} frames of the archive: {told.records:,} records")
    if told.waiting or told.refused:
        say(f"not taken: {told.waiting:,} frames whose predecessors are missing, {told.refused:,} that are not valid")
    say(f"it holds {counts(made.stats)}; {made.digest.facts:,} facts, digest {made.digest.sha256}")
    if made.kept:
        say(f"the store before it is {made.kept}; delete it when you do not need it any more")
