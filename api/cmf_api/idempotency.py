"""`Idempotency-Key`: a request that is repeated with its key has one effect and the same answer.

After the draft of the IETF (draft-ietf-httpapi-idempotency-key-header). What was answered is kept in the store, by the
transaction that has the effect: so it holds across crashes, restarts and all servers of one store.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Final

import msgspec
from fastapi import Request

from cmf.clock import written
from cmf.core.store import Transaction
from cmf_api.answers import Stated, Taken
from cmf_api.errors import BadIdempotencyKey, KeyUsedAgain

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
"""An answer that was given before bears it."""

KEPT_SECONDS: Final = 24 * 3_600
MAX_KEY: Final = 255

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of a request: what it said, by its digest, and what was answered."""

    said: str
    answer: Taken


class Once:
    """One request with a key. `said` are the bytes that mean what its body does."""

    def __init__(self, owner: str, key: str, said: bytes) -> None:
        # Whoever shows another token has keys of its own.
        self._name = "idempotency/" + hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()
        self._said = hashlib.sha256(said).hexdigest()
        self._key = key

    def answered(self, transaction: Transaction) -> Taken | None:
        """What was answered before.

        Raises:
            KeyUsedAgain: to another request.
        """
        content = transaction.kept(self._name)
        if content is None:
            return None
        kept = msgspec.json.decode(content, type=_Kept)
        if kept.said != self._said:
            raise KeyUsedAgain(
                f"{HEADER} {self._key!r} was used for another request; nothing was taken. Take a new key for new "
                f"operations, or repeat the first request as it was"
            )
        return kept.answer

    def keep(self, transaction: Transaction, answer: Taken) -> None:
        """Answer so from now on, if the transaction is committed."""
        until = written((time.time_ns() // 1_000) + KEPT_SECONDS * 1_000_000)
        transaction.keep(self._name, msgspec.json.encode(_Kept(self._said, answer)).decode(), until)


def key_of(request: Request) -> str | None:
    """The key that a request shows: a string in quotes, as the draft has it, or just its characters.

    Raises:
        BadIdempotencyKey: it is none.
    """
    shown = request.headers.getlist(HEADER)
    if not shown:
        return None
    key = shown[0].strip()
    if quoted := _QUOTED.fullmatch(key):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif '"' in key:
        key = ""
    if len(shown) > 1 or not 0 < len(key) <= MAX_KEY or not (key.isascii() and key.isprintable()):
        raise BadIdempotencyKey(f"{HEADER} must be there once, with 1 to {MAX_KEY} printable ASCII characters")
    return key


def once(request: Request, stated: Stated, said: bytes) -> Once | None:
    """What a request with a key is to be asked and told; None for one without."""
    key = key_of(request)
    if key is None:
        return None
    return Once(request.headers.get("authorization", ""), key, said + (stated.at or "").encode())
