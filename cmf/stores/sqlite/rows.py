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
    if (text := _json(rows)) is None:
        db.executemany(statement, rows)
    else:
        db.execute(_of_json(statement), (text,))


def put_and_return(db: sqlite3.Connection, statement: str, rows: Sequence[Row], returning: str) -> list[Row]:
    """Do the same; → these columns of what was put in or changed."""
    if not rows:
        return []
    if (text := _json(rows)) is None:
        return [row for each in rows for row in db.execute(f"{statement} RETURNING {returning}", each)]
    return db.execute(f"{_of_json(statement)} RETURNING {returning}", (text,)).fetchall()


def _json(rows: Sequence[Row]) -> str | None:
    """The rows as a list of lists; None where they have a NUL, which SQLite's JSON drops."""
    text = encode(rows)
    return None if b"\\u0000" in text else text.decode()


@cache
def _of_json(statement: str) -> str:
    def selected(values: re.Match[str]) -> str:
        columns = ", ".join(f"json_extract(value, '$[{number}]')" for number in range(values[0].count("?")))
        # With `WHERE`, since ON CONFLICT is read as a join's ON without.
        return f"SELECT {columns} FROM json_each(?) WHERE true"  # noqa: S608 (numbers)

    told, count = _VALUES.subn(selected, statement)
    assert count == 1, statement
    return told
