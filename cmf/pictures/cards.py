"""What stands on a card, and how a card is drawn: its size is known before it is placed."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from cmf.core.model import Artifact, Execution, Node
from cmf.pictures.labels import (
    counted,
    duration,
    family_of,
    pairs,
    printable,
    short_key,
    size,
    title_of,
    type_of,
    value,
    where_from,
)
from cmf.pictures.layout import Box
from cmf.pictures.palette import ICONS
from cmf.pictures.widths import elide, fill, px, width_of

WIDTH = 236.0
_PAD = 14.0
_LINE = 17.0
_MOST_VALUES = 4
_INK, _SOFT = "ink", "soft"


@dataclass(frozen=True, slots=True)
class Face:
    """A card ready to be placed: what it is (its classes), how tall, what is on it, and its text in full."""

    key: str
    classes: str
    height: float
    inside: str
    tags: tuple[tuple[str, str], ...]
    full: str


def face_of(node: Node, *, root: bool) -> Face:
    """The card of a node."""
    if isinstance(node, Execution):
        classes, inside, height = _execution(node)
    elif isinstance(node, Artifact):
        classes, inside, height = _artifact(node)
    else:
        classes, inside, height = _context(node)
    tags, marks = [], []
    if root:
        tags.append(("root", "root"))
    if node.retracted is not None:
        tags.append(("gone", "retracted"))
        marks.append("retracted")
    if node.stub:
        tags.append(("gone", "stub"))
        marks.append("stub")
    every = " ".join(["card", classes, *marks, *(["root"] if root else [])])
    return Face(node.key, every, height, inside, tuple(tags), _in_full(node))


def _artifact(node: Artifact) -> tuple[str, str, float]:
    family = family_of(node)
    kind = type_of(node)
    details = [kind] if node.size_bytes is None else [f"{kind} · {size(node.size_bytes)}", kind]
    parts = [
        '<rect class="tint" x="11" y="13" width="32" height="32" rx="8"/>',
        f'<path class="icon" transform="translate(17 19)" d="{ICONS[family]}"/>',
        *_two_lines(node, 52.0, details, beside_name=0.0),
    ]
    rows = list((node.values or {}).items())
    shown = rows if len(rows) <= _MOST_VALUES else rows[: _MOST_VALUES - 1]
    y = 66.0
    for name, content in shown:
        number = elide(value(content), 96, 11.5, bold=True)
        left = WIDTH - 2 * _PAD - width_of(number, 11.5, bold=True) - 8
        parts.append(_text(_PAD, y, elide(printable(name), left, 11.5), _SOFT))
        parts.append(_text(WIDTH - _PAD, y, number, f"{_INK} end strong"))
        y += _LINE
    if len(shown) < len(rows):
        parts.append(_text(_PAD, y, f"and {counted(len(rows) - len(shown), 'value')} more", _SOFT))
        y += _LINE
    return f"artifact {family}", "".join(parts), 58.0 if not rows else y - 5


def _execution(node: Execution) -> tuple[str, str, float]:
    pill = width_of(node.status, 10.5, bold=True) + 16
    detail = " · ".join(part for part in (where_from(node), duration(node)) if part) or "execution"
    parts = [
        f'<rect class="tint" x="{px(WIDTH - 12 - pill)}" y="12" width="{px(pill)}" height="18" rx="9"/>',
        _text(WIDTH - 12 - pill / 2, 24.8, node.status, "hue status mid"),
        *_two_lines(node, 18.0, [detail, where_from(node)], beside_name=pill),
    ]
    y = 66.0
    for row in fill(pairs(node.parameters or node.properties), WIDTH - 18 - _PAD, 11.5, lines=2):
        parts.append(_text(18, y, row, _INK))
        y += _LINE
    if node.error:
        parts.append(_text(18, y, elide(printable(node.error), WIDTH - 18 - _PAD, 11.5), "error"))
        y += _LINE
    height = 58.0 if y == 66.0 else y - 5
    # The bar in the status's colour follows the card's rounded corners.
    parts.append(
        f'<path class="hue" d="M10 0A10 10 0 0 0 0 10V{px(height - 10)}A10 10 0 0 0 10 {px(height)}'
        f'A5 10 0 0 1 5 {px(height - 10)}V10A5 10 0 0 1 10 0Z"/>'
    )
    return f"execution {node.status}", "".join(parts), height


def _context(node: Node) -> tuple[str, str, float]:
    return "other", "".join(_two_lines(node, 18.0, [type(node).__name__.lower()], beside_name=0.0)), 58.0


def _two_lines(node: Node, x: float, details: list[str], *, beside_name: float) -> list[str]:
    """Name, and under it the first of the details that fits, with the key."""
    name_width = WIDTH - x - 12 - (beside_name + 8 if beside_name else 0)
    key = short_key(node.key)
    detail_width = WIDTH - x - 12 - width_of(key, 10, mono=True) - 8
    detail = next((detail for detail in details if width_of(detail, 11) <= detail_width), details[0])
    return [
        _text(x, 25.5, elide(title_of(node), name_width, 13.5, bold=True), f"{_INK} name"),
        _text(x, 43.5, elide(detail, detail_width, 11), f"{_SOFT} detail"),
        _text(WIDTH - 12, 43.5, key, f"{_SOFT} key end"),
    ]


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{px(x)}" y="{px(y)}">{escape(text)}</text>'


def _in_full(node: Node) -> str:
    """The hover text: everything the card had to cut."""
    rows = [title_of(node), printable(node.key)]
    if isinstance(node, Artifact):
        rows.append(", ".join(map(printable, node.types)) or "Artifact")
        rows += pairs(node.values or {})[:20]
    elif isinstance(node, Execution):
        rows += [where_from(node), node.status, *pairs(node.parameters)[:20], printable(node.error or "")]
    if node.retracted is not None:
        rows.append(f"retracted: {printable(node.retracted)}")
    return "\n".join(row for row in rows if row)


def draw_card(face: Face, box: Box) -> str:
    """A placed card. The clip is a net for fonts wider than any we reckoned with."""
    w, h = px(box.width), px(box.height)
    halo = f'<rect class="halo" x="-3" y="-3" width="{px(box.width + 6)}" height="{px(box.height + 6)}" rx="13"/>'
    return (
        f'<g class="{face.classes}" data-key={quoteattr(printable(face.key))} '
        f'transform="translate({px(box.x)} {px(box.y)})">'
        f"<title>{escape(face.full)}</title>"
        f"{halo if 'root' in face.classes.split() else ''}"
        f'<rect class="sheet" width="{w}" height="{h}" rx="10"/>'
        f'<svg class="inside" width="{w}" height="{h}" overflow="hidden">{face.inside}</svg>'
        f'<rect class="edge-line" width="{w}" height="{h}" rx="10"/>'
        f"{_tags(face)}</g>"
    )


def _tags(face: Face) -> str:
    """Small pills on the upper border: root, retracted, stub."""
    drawn, x = [], 14.0
    for kind, word in face.tags:
        width = width_of(word, 10.5, bold=True) + 14
        drawn.append(
            f'<g class="tag tag-{kind}"><rect class="pill" x="{px(x)}" y="-8" width="{px(width)}" height="16" rx="8"/>'
            f'<text class="mid" x="{px(x + width / 2)}" y="3.8">{word}</text></g>'
        )
        x += width + 6
    return "".join(drawn)
