"""The words on a picture: what is said about a node, an edge and the whole answer, whichever way it is drawn."""

from __future__ import annotations

import json
import math
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime

from cmf.core.model import Artifact, ArtifactType, Edge, Execution, Lineage, Node
from cmf.core.values import Json, from_json

# Characters that are no text: they would break XML, steer a terminal, or turn the reading direction around.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_STEERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C, 0xFEFF}


def printable(text: str) -> str:
    r"""The text with every control character written out, as `\x1b`: it can stand in XML and in a terminal."""
    if text.isprintable():  # true of nothing that is refused below
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    code = ord(character)
    # U+FFFE and U+FFFF are the two that XML 1.0 refuses though they are no controls.
    steering = code in _STEERING or code & 0xFFFE == 0xFFFE or unicodedata.category(character) in _UNPRINTABLE
    if not steering:
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def command_line(arguments: Iterable[str]) -> str:
    r"""A command as it is typed into a shell; no control character is in it, and what it stands for is not lost.

    >>> print(command_line(["python", "-c", "a = 1\nprint(a)"]))
    python -c $'a = 1\nprint(a)'
    """
    return " ".join(map(_quoted, arguments))


def _quoted(argument: str) -> str:
    if printable(argument) == argument:
        return shlex.quote(argument)
    return "$'" + "".join(map(_escaped, argument)) + "'"


def _escaped(character: str) -> str:
    """A character within `$'…'`, as bash, zsh and POSIX (since 2024) read it; bytes in octal, which has one length."""
    known = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\", "'": r"\'"}
    if character in known or printable(character) == character:
        return known.get(character, character)
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogatepass"))


def short_key(key: str) -> str:
    """The first eight digits of a key, without its kind."""
    return printable(key.rpartition(":")[2][:8])


def title_of(node: Node) -> str:
    """What a node is called; one known only by its key is called by that."""
    return printable(node.name) or short_key(node.key)


_FAMILIES = (
    ArtifactType.MODEL,
    ArtifactType.METRICS,
    ArtifactType.STEP_METRICS,
    ArtifactType.ENVIRONMENT,
    ArtifactType.DATASLICE,
    ArtifactType.LABEL,
    ArtifactType.DATASET,
)


def type_of(artifact: Artifact) -> str:
    """The one type that is shown: the most telling known one, else the first of the user's own."""
    known = [family.value for family in _FAMILIES if family in artifact.types]
    return known[0] if known else printable(min(artifact.types, default="Artifact"))


def family_of(artifact: Artifact) -> str:
    """The group of types that share a colour and an icon: dataset, model, metrics, environment, label or other."""
    match type_of(artifact):
        case "Dataset" | "Dataslice":
            return "dataset"
        case "Model":
            return "model"
        case "Metrics" | "StepMetrics":
            return "metrics"
        case "Environment":
            return "environment"
        case "Label":
            return "label"
        case _:
            return "other"


def size(size_bytes: int) -> str:
    """A size for people: `1.2 MB`, in powers of 1000 as disks and networks count."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    scaled = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        scaled /= 1000
        if scaled < 999.5:  # from there on three digits would say 1000
            return f"{scaled:.3g} {unit}"
    return f"{scaled / 1000:,.4g} PB"


def value(content: Json) -> str:
    """A value in a few characters: numbers to four digits, texts bare, the rest as JSON."""
    if isinstance(content, float) and math.isfinite(content):
        exact = repr(content)
        return exact if len(exact) <= 6 else f"{content:.4g}"
    return whole_value(content)


def whole_value(content: Json) -> str:
    """A value in full."""
    told = from_json(content)  # NaN, not {"$number": "NaN"}
    return printable(told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=str))


def pairs(values: Mapping[str, Json]) -> list[str]:
    """`C=1.0`, `accuracy=0.97`: plain values first, lists and objects after them."""
    ordered = sorted(values, key=lambda name: isinstance(values[name], dict | list))
    return [f"{printable(name)}={value(values[name])}" for name in ordered]


def duration(execution: Execution) -> str:
    """How long an execution took, as `12.3 s`; empty when its times do not tell."""
    try:
        start, end = (datetime.fromisoformat(time or "") for time in (execution.started_at, execution.ended_at))
        seconds = (end - start).total_seconds()
    except (ValueError, TypeError):  # absent, not a time, or one of the two without a zone
        return ""
    if seconds < 0:
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def where_from(execution: Execution) -> str:
    """Pipeline and stage; the stage is left out where the execution is named after it."""
    stage = execution.stage if execution.stage != execution.name else None
    return " / ".join(printable(part) for part in (execution.pipeline, stage) if part)


def path_label(edge: Edge, artifact: Node | None) -> str:
    """The path of a use, where it tells more than the artifact's name: another base name than the artifact has."""
    base = edge.path.rstrip("/").rpartition("/")[2]
    return "" if artifact is None or base in ("", artifact.name) else printable(edge.path)


def headline(lineage: Lineage) -> str:
    """What is shown: `Lineage of model.pkl`."""
    names = {node.key: title_of(node) for node in lineage.nodes}
    roots = [names.get(root, short_key(root)) for root in lineage.roots]
    if len(roots) > 2:
        return f"Lineage of {roots[0]} and {len(roots) - 1} more"
    return "Lineage of " + (" and ".join(roots) or "nothing")


def scope(lineage: Lineage) -> str:
    """How far it goes: `upstream · whole depth · 14 nodes`."""
    hops = "whole depth" if lineage.depth is None else counted(lineage.depth, "hop")
    direction = {"both": "upstream and downstream"}.get(lineage.direction, lineage.direction)
    return f"{direction} · {hops} · {counted(len(lineage.nodes), 'node')}"


def state(lineage: Lineage) -> str:
    """Whether the answer is whole, and if not, why and how to go on."""
    if lineage.complete:
        return "complete"
    if lineage.behind:
        return f"the store lacks records of {counted(len(lineage.behind), 'segment')} that were asked for"
    if lineage.truncated is None:
        return "truncated"
    return f"truncated: {lineage.truncated.limit:,} of {lineage.truncated.seen:,} nodes, ask with a higher limit"


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it needs one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
