"""Things dealt with some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of up to `size`, none of them empty; no more of them are taken than are in a list."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
