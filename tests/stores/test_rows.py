"""Rows that go to SQLite at once come back as they were, whatever they hold."""

from __future__ import annotations

import sqlite3

import pytest

from cmf.stores.sqlite.rows import put_and_return, put_rows

_PUT = """INSERT INTO fact (id, said, size) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET said = excluded.said WHERE excluded.said > said"""
_TEXTS = [
    "",
    "a",
    'x"}) DELETE //',
    "[1, 2]",
    "null",
    "1.0",
    "é\u2028😀",
    "a\\u0000b",
    "\t\n\x01\x7f",
    '{"a": [1, "b"]}',
]


@pytest.fixture
def db() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:")
    made.execute("CREATE TABLE fact (id INTEGER PRIMARY KEY, said TEXT NOT NULL, size INTEGER) STRICT")
    return made


@pytest.mark.parametrize("more", [[], ["a\0b", "\0"]], ids=["in JSON", "with a NUL, row by row"])
def test_what_is_put_is_there_and_what_changed_is_told(db: sqlite3.Connection, more: list[str]) -> None:
    rows = [(number, text, 2**53 + number if number % 2 else None) for number, text in enumerate([*_TEXTS, *more])]
    put_rows(db, _PUT, rows)
    assert db.execute("SELECT id, said, size FROM fact ORDER BY id").fetchall() == rows
    again = [(0, "later", None), (1, "A", None), (99, "new", 7)]
    again += [(100 + number, text, None) for number, text in enumerate(more)]
    returned = put_and_return(db, _PUT, again, "id, size")
    assert sorted(returned) == [(0, None), (99, 7)] + [(100 + number, None) for number in range(len(more))]
    put_rows(db, _PUT, [])
    assert put_and_return(db, _PUT, [], "id") == []
