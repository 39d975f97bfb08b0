"""How wide a text is drawn, so that it can be cut before it leaves its card.

No font can be measured here, and readers have different ones. The widths are those of Helvetica and its metric
equals in thousandths of the font size, with a margin for somewhat wider fonts; cards clip what still would not fit.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_WIDTHS = {
    222: "'ijl|",
    278: ' !,./:;I[\\]ft"',
    350: "()-r`{}*",
    500: "Jckvsxyz^",
    556: "#$0123456789?L_abdeghnopqu",
    611: "+<=>FTZ~",
    680: "&ABEKPSVXY",
    740: "CDHNRUw",
    800: "GOQ",
    860: "Mm%",
    1000: "W@",
}
_WIDTH = {character: width for width, characters in _WIDTHS.items() for character in characters}
_MARGIN = 1.07
_BOLD = 1.07
_MONOSPACE = 0.62


@lru_cache(maxsize=4096)
def _em(character: str) -> float:
    known = _WIDTH.get(character)
    if known is not None:
        return known / 1000
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    wide = unicodedata.east_asian_width(character) in "WF" or ord(character) >= 0x1F000
    return 1.25 if wide else 0.75


def width_of(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """The width in pixels of a text of that font size."""
    if mono and text.isascii():
        return len(text) * size * _MONOSPACE
    width = sum(map(_em, text)) * size * _MARGIN
    return width * _BOLD if bold else width


def px(length: float) -> str:
    """A length as an attribute: a tenth of a pixel is as fine as a picture needs, in plain digits at any size."""
    return f"{length:.1f}".removesuffix(".0")


def elide(text: str, width: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """The text, or as much of its beginning as fits with an ellipsis."""
    # No character is narrower than a sixth of the size: a huge text need not be measured whole.
    most = int(width / size * 6) + 1
    if len(text) <= most and width_of(text, size, bold=bold, mono=mono) <= width:
        return text
    room = width - width_of("…", size, bold=bold)
    end = 0
    for character in text[:most]:
        room -= width_of(character, size, bold=bold, mono=mono)
        if room < 0:
            break
        end += 1
    return text[:end].rstrip(" \u200d") + "…"


def fill(words: list[str], width: float, size: float, lines: int) -> list[str]:
    """Words set in at most so many lines, two spaces between them; what is left over ends in an ellipsis."""
    rows: list[str] = []
    for index, word in enumerate(words):
        joined = f"{rows[-1]} · {word}" if rows else word
        if rows and width_of(joined, size) <= width:
            rows[-1] = joined
        elif len(rows) < lines:
            rows.append(elide(word, width, size))
        else:
            rows[-1] = elide(f"{rows[-1]} · +{len(words) - index}", width, size)
            break
    return rows
