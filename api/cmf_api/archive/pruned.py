"""From a prune to the frame that the archive keeps of it, and from that frame to what it does to a store."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from cmf.core.delta import Delta, fold
from cmf.core.errors import BadRecord
from cmf.core.operations import Key, Operation, check
from cmf.core.pruning import Taken
from cmf.core.records import Stamp, Stamped
from cmf.core.store import Transaction
from cmf.core.values import encode
from cmf_api.archive.frames import Frame, PruneFrame, pack_lines


class Pruning(NamedTuple):
    """Nodes that go, and what stands for them, in one change."""

    keys: Collection[str]
    stands: Delta


class _PrunedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pruned: Key


_KEYS = msgspec.json.Decoder(_PrunedLine)
_STATED = msgspec.json.Decoder(Stamped)


def frame_of_prune(keys: Collection[str], stated: Iterable[tuple[Stamp, Operation]]) -> Frame:
    """The frame of a prune."""
    lines = [encode(Stamped(*one)) for one in stated] + [encode(_PrunedLine(key)) for key in sorted(keys)]
    return Frame(PruneFrame(at="", bytes=0, count=len(keys)), pack_lines(lines))


def read(body: bytes) -> Pruning:
    """What a frame says.

    Raises:
        BadRecord, InvalidValue: it says nothing valid.
    """
    keys: set[str] = set()
    stated: list[tuple[Stamp, Operation]] = []
    # The limits of pushes are none for it: it is this server's own, and one execution may have any number of uses.
    try:
        lines = gzip.decompress(body).splitlines()
    except (OSError, EOFError, zlib.error) as exc:
        raise BadRecord(1, f"it cannot be unpacked: {exc}") from exc
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith(b'{"pruned"'):
                keys.add(_KEYS.decode(line).pruned)
            else:
                one = _STATED.decode(line)
                check(one.op)
                stated.append((Stamp(one.stamp), one.op))
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BadRecord(number, str(exc)) from exc
    return Pruning(keys, fold(stated))


def take(transaction: Transaction, pruning: Pruning, at: str) -> Taken:
    """Do it, inside a transaction: what stands for the rest is there before that goes."""
    if pruning.stands:
        transaction.merge(pruning.stands)
    return transaction.prune(pruning.keys, at)
