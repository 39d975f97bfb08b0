"""`cmf rebuild`: make the view anew from the journal."""

from __future__ import annotations

from pathlib import Path

from cmf.cli.options import JsonOption
from cmf.cli.status import counts
from cmf.cli.terminal import progress, say, say_json

EXAMPLE = "Example: cmf rebuild && cmf fsck"


def rebuild(as_json: JsonOption = False) -> None:
    """Make the local view anew from the journal.

    It may be in any state, or missing. The journal is only read.
    """
    from cmf import own_process
    from cmf.repository import Repository

    own_process.suit()
    repository = Repository.find(Path.cwd(), catch_up=False)
    with progress("rebuilding", sum(segment.path.stat().st_size for segment in repository.all_segments)) as advance:
        repository.rebuild(advance)
    stats = repository.view.stats()
    if as_json:
        say_json(stats)
    else:
        say(f"made the view anew: {counts(stats)}")
