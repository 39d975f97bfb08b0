"""From what a person types to a key: any unique prefix, with or without its kind, as with git."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmf.core.errors import AmbiguousKey, PrunedKey, UnknownKey
from cmf.core.store import Store

SHOWN = 10
"""How many candidates or near matches an error names."""

MAX_KEY = 233
"""The greatest length of a key."""

_PREFIX = re.compile(r"([a-z0-9][a-z0-9-]*:)?[0-9A-Za-z._=+/-]*")
_LAST = "\x7f"
"""Sorts behind every character of a key."""


def resolve(store: Store, asked: str) -> str:
    """The key that `asked` is, or is the only one to begin with; else the artifact last used under that path.

    Raises:
        UnknownKey: none begins so, and nothing was used under such a path.
        PrunedKey: the only one that began so was pruned.
        AmbiguousKey: several do.
    """
    candidates = list(_beginning_with(store, asked))
    if asked in candidates or len(candidates) == 1:
        return asked if asked in candidates else candidates[0]
    if not candidates:
        if (at_path := store.at_path(asked)) is not None:
            return at_path
        raise unknown(store, asked)
    raise AmbiguousKey(asked, tuple(candidates[:SHOWN]))


def unknown(store: Store, asked: str) -> UnknownKey:
    """The error that says of a key or a prefix of one that no node has it, or that it was pruned."""
    if _PREFIX.fullmatch(asked) and asked:
        schemes = ("",) if ":" in asked else ("execution:", "md5:", "sha256:")
        found = [tomb for scheme in schemes for tomb in store.pruned(scheme + asked, scheme + asked + _LAST, 2)]
        if len(found) == 1:
            return PrunedKey(asked, found[0].key, found[0].at)
    return UnknownKey(asked, nearest(store, asked))


def nearest(store: Store, asked: str) -> tuple[str, ...]:
    """Keys that begin as `asked` does, as far as any does, but with at least three digits of it."""
    scheme, colon, digest = asked.rpartition(":")
    nearest: tuple[str, ...] = ()
    # What begins with more of it begins with less of it too, so halving finds the most that any begins with.
    enough, most = 3, min(len(digest), MAX_KEY) - 1
    while enough <= most:
        length = (enough + most) // 2
        if found := list(_beginning_with(store, scheme + colon + digest[:length])):
            nearest, enough = tuple(found[:3]), length + 1
        else:
            most = length - 1
    return nearest


def _beginning_with(store: Store, asked: str) -> Iterator[str]:
    if not 0 < len(asked) <= MAX_KEY or not _PREFIX.fullmatch(asked):
        return
    if ":" in asked:
        yield from store.keys(asked, asked + _LAST, SHOWN + 1)
        return
    # A bare prefix means an artifact or an execution: pipelines and stages have names.
    for scheme in (scheme for scheme in _schemes(store) if scheme != "context"):
        yield from store.keys(f"{scheme}:{asked}", f"{scheme}:{asked}{_LAST}", SHOWN + 1)


def _schemes(store: Store) -> Iterator[str]:
    """The kinds and algorithms that keys in the store have: one index seek each, however many keys there are."""
    after = ""
    while found := store.keys(after, _LAST, 1):
        scheme = found[0].partition(":")[0]
        yield scheme
        after = scheme + ";"  # the character after the colon
