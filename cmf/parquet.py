"""Rows as Parquet: the same bytes for the same rows, in whatever order they were said."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from cmf.core.errors import InvalidValue, MissingExtra
from cmf.core.values import from_json, to_json

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]

_TYPES: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_EXACT = 2**53


def check_installed(feature: str) -> None:
    """That there is a library for Parquet.

    Raises:
        MissingExtra: there is none.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as exc:
        raise MissingExtra(feature, "pandas") from exc


def cell(value: object, what: str) -> Cell:
    """What a table holds for a value of the user's: text, a number, a truth value or nothing.

    Raises:
        InvalidValue: it is none of these.
    """
    is_plain = _is_cell(value) and (type(value) is not str or value.isascii())
    found = value if is_plain else from_json(to_json(value, what))
    if not _is_cell(found):
        raise InvalidValue(f"{what} is a {type(value).__name__}; an item has text, numbers, true, false or None")
    if type(found) is int and not -(2**63) <= found < 2**63:
        raise InvalidValue(f"{what} is an integer beyond 64 bits; make it text")
    return found


def write(keys: Iterable[str], rows: Mapping[str, Row], fixed: tuple[str, ...]) -> bytes:
    """The rows with these keys, which are texts of theirs, in that order: first the `fixed` columns, then the others.

    A property that a row does not have is null in it.

    Raises:
        InvalidValue: the values of a column are not of one type.
    """
    import pyarrow
    from pyarrow import parquet

    ordered = [(key, rows[key]) for key in keys]
    names = {name for _, row in ordered for name in row}
    columns = {name: _column(name, ordered) for name in (*fixed, *sorted(names - set(fixed)))}
    written = io.BytesIO()
    # Nothing but the rows: what pyarrow notes of its own types says the same in other words in other versions.
    parquet.write_table(pyarrow.table(columns), written, compression="zstd", store_schema=False)
    return written.getvalue()


def read(content: bytes) -> Any:
    """The table (of pyarrow) that was written.

    Raises:
        InvalidValue: it is no Parquet.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(pyarrow.BufferReader(content))
    except (pyarrow.ArrowException, OSError) as exc:
        raise InvalidValue(f"no Parquet that can be read: {exc}") from exc


def _column(name: str, ordered: list[tuple[str, Row]]) -> Any:
    import pyarrow

    values = [row.get(name) for _, row in ordered]
    types = {type(value) for value in values} - {type(None)}
    if types == {int, float}:
        return pyarrow.array([_as_float(name, key, row.get(name)) for key, row in ordered], pyarrow.float64())
    if len(types) > 1:
        first = {type(row[name]): key for key, row in reversed(ordered) if row.get(name) is not None}
        told = ", ".join(sorted(f"{_TYPES[of]} of {key}" for of, key in first.items()))
        raise InvalidValue(f"property {name!r} has values of several types: {told}; a column has one")
    arrow = {str: pyarrow.string(), bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    return pyarrow.array(values, arrow[types.pop()] if types else pyarrow.null())


def _as_float(name: str, key: str, value: Cell) -> float | None:
    if isinstance(value, int) and abs(value) > _EXACT:
        raise InvalidValue(f"property {name!r} of {key} is {value}, which a column with fractions cannot hold exactly")
    return None if value is None else float(value)


def _is_cell(value: object) -> TypeGuard[Cell]:
    return value is None or type(value) in _TYPES
