"""Many rows in one statement: SQLite takes them as JSON and works without Python, while other threads go on.

`executemany` lets others go on with every row, and then waits until they let it go on in turn.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from cmf.core.values import encode

Row = tuple[Any, ...]

_VALUES = re.compile(r"VALUES \(\?(?:, \?)*\)")


def put_rows(db: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    """Do a statement that inserts `VALUES (?, …)` for each of the rows."""
    if not rows:
        return
    text = encode(rows)
    if b"\\u0000" in text:  # SQLite's JSON drops it
        db.executemany(statement, rows)
    else:
        db.execute(_of_json(statement), (text.decode(),))


@cache
def _of_json(statement: str) -> str:
    def selected(values: re.Match[str]) -> str:
        columns = ", ".join(f"value ->> {number}" for number in range(values[0].count("?")))
        # With `WHERE`, since ON CONFLICT is read as a join's ON without.
        return f"SELECT {columns} FROM json_each(?) WHERE true"  # noqa: S608 (numbers)

    told, count = _VALUES.subn(selected, statement)
    assert count == 1, statement
    return told
