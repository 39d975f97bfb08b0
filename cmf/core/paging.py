"""Cursors of lists: opaque to callers, the sort position of the last item to us."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeVar

import msgspec

from cmf.core.errors import BadQuestion
from cmf.core.values import encode

T = TypeVar("T")
Position = tuple[str, str]
"""What a list is sorted by, and the key."""


def cursor_of(position: Position) -> str:
    """The cursor behind an item at this position."""
    return base64.urlsafe_b64encode(encode(position)).decode()


def position_of(cursor: str) -> Position:
    """The position that a cursor stands for.

    Raises:
        BadQuestion: it is no cursor.
    """
    try:
        position: Position = msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode()), type=Position)
    except (ValueError, msgspec.DecodeError) as exc:
        raise BadQuestion(f"{cursor[:60]!r} is no cursor of this list; take it from 'next' of the page before") from exc
    return position


def after_cursor(items: list[T], cursor: str | None, position: Callable[[T], Position], descending: bool) -> list[T]:
    """The items of a sorted list behind the cursor."""
    if cursor is None:
        return items
    last = position_of(cursor)
    return [item for item in items if (position(item) < last if descending else position(item) > last)]
