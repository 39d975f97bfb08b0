"""Names that stand twice in one object of JSON: readers differ on which counts, so neither does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cmf.core.errors import BadQuestion, BadRecord
from cmf.core.records import TAIL_BYTES, Record
from cmf.core.values import encode


class _TwiceError(Exception):
    pass


def refuse_in_body(body: bytes) -> None:
    """That no name stands twice in an object of a body, which is JSON.

    Raises:
        BadQuestion: one does.
    """
    try:
        _look(body)
    except _TwiceError as exc:
        raise BadQuestion(f"the body has an object with the name {str(exc)!r} twice; which is meant?") from exc


def refuse_in_lines(lines: Sequence[bytes], records: Sequence[Record]) -> None:
    """That no name stands twice in an object of a chunk's lines; `records` are those of the last of them.

    Raises:
        BadRecord: one does.
    """
    before = len(lines) - len(records)
    for number, line in enumerate(lines, 1):
        # What looks as we would write it has each name once. Most lines do, and this costs a twentieth.
        if number > before and line[:-TAIL_BYTES] == _as_we_write(records[number - before - 1]):
            continue
        try:
            _look(line)
        except _TwiceError as exc:
            raise BadRecord(number, f"an object has the name {str(exc)[:60]!r} twice; which is meant?") from exc


def _as_we_write(record: Record) -> bytes:
    stamp = b',"stamp":"%s"' % record.stamp.encode() if record.stamp else b""
    return b'{"seq":%d,"at":"%s","op":%s%s' % (record.seq, record.at.encode(), encode(record.op), stamp)


def _look(text: bytes) -> None:
    json.loads(text, object_pairs_hook=_expect_once, parse_int=len, parse_float=len)


def _expect_once(pairs: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise _TwiceError(name)
        names.add(name)
