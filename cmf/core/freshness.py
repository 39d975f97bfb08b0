"""Freshness: a text that names positions of journals, so that a reader can ask for answers that know of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from cmf.core.errors import BadQuestion
from cmf.core.model import Behind
from cmf.core.store import Head

MAX_POSITIONS: Final = 256
"""How many positions a token names at most: it has to fit into an address."""

MAX_SITES: Final = 16
"""Of how many sites: a server asks its store for each."""

NOTHING: Final = -1
"""The sequence of a segment of which not even the header is there."""

_POSITION = re.compile(r"([0-9A-Za-z_.:-]{1,64})/([0-9A-Za-z_.:-]{1,64}):([0-9]{1,15})", re.ASCII)


class Position(NamedTuple):
    """A record of a segment; everything before it in the segment is meant too."""

    site: str
    segment: str
    sequence: int


def token_of(positions: Iterable[Position]) -> str | None:
    """The token of positions: `<site>/<segment>:<sequence>` joined by commas; None of none.

    Of more than a token may have it names the last ones.
    """
    found = list(positions)[-MAX_POSITIONS:]
    sites = list(dict.fromkeys(position.site for position in reversed(found)))[:MAX_SITES]
    told = [f"{p.site}/{p.segment}:{p.sequence}" for p in found if p.site in sites]
    return ",".join(told) or None


def positions_of(token: str) -> list[Position]:
    """The positions that a token names.

    Raises:
        BadQuestion: it is no such token, or names too many.
    """
    parts = token.split(",", MAX_POSITIONS)
    if len(parts) > MAX_POSITIONS:
        raise BadQuestion(f"at_least names more than {MAX_POSITIONS} positions; name the last ones")
    found: list[Position] = []
    for part in parts:
        match = _POSITION.fullmatch(part)
        if match is None:
            raise BadQuestion(
                f"at_least has {part[:160]!r}, which is no position; it is the token that a push told: "
                f"<site>/<segment>:<sequence>, joined by commas"
            )
        found.append(Position(match[1], match[2], int(match[3])))
    if len({position.site for position in found}) > MAX_SITES:
        raise BadQuestion(f"at_least names more than {MAX_SITES} sites")
    return found


def behind(positions: Iterable[Position], heads: Mapping[str, Mapping[str, Head]]) -> list[Behind]:
    """Which positions are beyond the heads, by site and segment."""
    found = []
    for site, segment, wanted in positions:
        head = heads.get(site, {}).get(segment)
        sequence = head.sequence if head else NOTHING
        if sequence < wanted:
            found.append(Behind(site=site, segment=segment, sequence=sequence, wanted=wanted))
    return found


def words(behind: Behind) -> str:
    """It in one word, as the header has it."""
    return f"{behind.site}/{behind.segment}:{behind.sequence}<{behind.wanted}"
