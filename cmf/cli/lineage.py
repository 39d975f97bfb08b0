"""`cmf lineage`: where something comes from and what it touched, in whichever form."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmf.cli.options import AskServerOption, AtLeastOption, JsonOption, KeyArgument, RemoteOption
from cmf.cli.sources import source
from cmf.cli.terminal import console, draw, note, say, say_json

if TYPE_CHECKING:
    from cmf.core.model import Direction, Lineage

EXAMPLE = "Example: cmf lineage model.pkl --up --depth 2\n\nExample: cmf lineage 3f2a91 -o lineage.html"


class Format(StrEnum):
    """The forms that a lineage can be had in."""

    TREE = "tree"
    JSON = "json"
    DOT = "dot"
    MERMAID = "mermaid"
    SVG = "svg"
    HTML = "html"


_BY_SUFFIX = {
    ".json": Format.JSON,
    ".dot": Format.DOT,
    ".gv": Format.DOT,
    ".mmd": Format.MERMAID,
    ".svg": Format.SVG,
    ".html": Format.HTML,
    ".htm": Format.HTML,
}


def lineage(
    asked: KeyArgument,
    up: Annotated[bool, typer.Option("--up", help="Only where it comes from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what it touched.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Both of these; so it is without either.")] = False,
    depth: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Up to so many executions away, not all of it.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many nodes (10,000), nearest first.")
    ] = None,
    include_retracted: Annotated[bool, typer.Option("--include-retracted", help="Also what was retracted.")] = False,
    environment: Annotated[
        bool, typer.Option("--environment", help="Also the environments that it ran in; JSON always has them.")
    ] = False,
    form: Annotated[
        Format | None, typer.Option("--format", "-f", help="Without it: that of the file's name, else a tree.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Write it there.")
    ] = None,
    remote: RemoteOption = False,
    server: AskServerOption = None,
    at_least: AtLeastOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where an artifact or execution comes from, and what it touched."""
    from cmf.core.lineage import DEFAULT_LIMIT

    chosen = _format(form, output, as_json)
    found = source(remote, server, at_least).lineage(
        asked, _direction(up, down, both), depth, limit=limit or DEFAULT_LIMIT, include_retracted=include_retracted
    )
    shown = found if environment or chosen is Format.JSON else _without_environments(found)
    if output is None:
        _print(shown, chosen)
    else:
        _write(shown, chosen, output)
    if chosen is not Format.TREE and not found.complete:
        _note_truncated(found)


def _format(form: Format | None, output: Path | None, as_json: bool) -> Format:
    if as_json and form not in (None, Format.JSON):
        raise typer.BadParameter(f"--json and --format {form} are two forms; say one")
    if form is not None or as_json:
        return form or Format.JSON
    return _BY_SUFFIX.get(output.suffix.lower(), Format.TREE) if output else Format.TREE


def _direction(up: bool, down: bool, both: bool) -> Direction:
    if both or up == down:
        return "both"
    return "upstream" if up else "downstream"


def _without_environments(found: Lineage) -> Lineage:
    """Each execution has one: they would be most of what one sees."""
    from cmf.core.model import ArtifactType
    from cmf.pictures import without

    return without(found, ArtifactType.ENVIRONMENT)


def _print(found: Lineage, form: Format) -> None:
    from cmf.pictures import to_tree

    match form:
        case Format.TREE:
            draw(to_tree(found))
        case Format.JSON:
            say_json(found)
        case _:
            say(_drawn(found, form).removesuffix("\n"))


def _write(found: Lineage, form: Format, file: Path) -> None:
    from cmf.pictures import to_tree
    from cmf.pictures.labels import counted, printable

    with file.open("w", encoding="utf-8") as opened:
        if form is Format.TREE:
            console(opened).print(to_tree(found))
        else:
            opened.write(_drawn(found, form))
    say(f"wrote {printable(str(file))}: {form}, {counted(len(found.nodes), 'node')}")


def _drawn(found: Lineage, form: Format) -> str:
    import msgspec

    from cmf import pictures
    from cmf.core.values import encode

    match form:
        case Format.DOT:
            return pictures.to_dot(found)
        case Format.MERMAID:
            return pictures.to_mermaid(found)
        case Format.SVG:
            return pictures.to_svg(found)
        case Format.HTML:
            return pictures.to_html(found)
        case _:
            return msgspec.json.format(encode(found), indent=2).decode() + "\n"


def _note_truncated(found: Lineage) -> None:
    if (why := found.truncated) is not None:
        note(f"{why.limit:,} of {why.seen:,} nodes, the nearest; ask with --limit {why.seen} for all")
