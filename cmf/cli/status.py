"""`cmf status`: what the clone holds, and how it stands to its server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmf.cli.options import JsonOption
from cmf.cli.terminal import one_line, say_json, say_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmf.core.model import Stats
    from cmf.repository import Repository
    from cmf.segments import Segment

EXAMPLE = "Example: cmf status --json"
PATIENCE_SECONDS = 10.0
_PUSH_WORDS = {"manual": "with 'cmf push'", "continuous": "at once, while it is recorded"}


def status(as_json: JsonOption = False) -> None:
    """Show what the clone holds, and what its server lacks."""
    from cmf.repository import Repository

    repository = Repository.find(Path.cwd())
    found = {
        "root": _as_text(repository.root),
        "site": repository.site,
        "view": repository.view.stats(),
        "journal": _amount(repository.segments),
        "carried": _amount(repository.carried_segments),
        "pulled": _amount(repository.pulled_segments),
        "push": repository.settings.push,
        "server": _server(repository),
    }
    if as_json:
        say_json(found)
    else:
        say_rows(_rows(found))


def _as_text(path: Path) -> str:
    """A path as text, also where its bytes are none."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def counts(stats: Stats) -> str:
    """How much a store holds, in words."""
    from cmf.pictures.labels import counted

    kinds = [counted(stats.kinds.get(kind, 0), kind) for kind in ("artifact", "execution")]
    return ", ".join(kinds)


def _amount(segments: Iterable[Segment]) -> dict[str, int]:
    sizes = [segment.path.stat().st_size for segment in segments]
    return {"segments": len(sizes), "bytes": sum(sizes)}


def _server(repository: Repository) -> dict[str, Any] | None:
    """The server's address and what it lacks, or why it cannot be said; None when no server is set."""
    from cmf.core.errors import ServerProblem
    from cmf.remote import Remote
    from cmf.sync import unpushed_bytes

    url = repository.settings.server
    if url is None:
        return None
    try:
        unpushed = unpushed_bytes(repository, Remote(url, repository.settings.token, PATIENCE_SECONDS))
    except ServerProblem as exc:
        return {"url": url, "unpushed_bytes": None, "problem": one_line(str(exc))}
    return {"url": url, "unpushed_bytes": unpushed, "problem": None}


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    from cmf.pictures.labels import counted, printable, size

    rows = [("clone", printable(found["root"])), ("site", found["site"]), ("view", counts(found["view"]))]
    for name in ("journal", "carried", "pulled"):
        segments, size_bytes = found[name]["segments"], found[name]["bytes"]
        if segments or name == "journal":
            rows.append((name, f"{counted(segments, 'segment')}, {size(size_bytes)}"))
    rows.append(("push", _PUSH_WORDS[found["push"]]))
    return [*rows, ("server", _server_words(found["server"]))]


def _server_words(server: dict[str, Any] | None) -> str:
    from cmf.pictures.labels import printable, size

    if server is None:
        return "none is set; 'cmf init --server URL' does"
    url = printable(server["url"])
    if server["problem"]:
        return f"{url} · {server['problem']}"
    if server["unpushed_bytes"]:
        return f"{url} · {size(server['unpushed_bytes'])} to push; 'cmf push' sends it"
    return f"{url} · has everything"
