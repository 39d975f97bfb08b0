"""The SQL of the SQLite store, read from `sql/*.sql`: statements under `-- name:` headers."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements(family: str) -> dict[str, str]:
    """The statements of `sql/<family>.sql` by name."""
    parts = _HEADER.split(script(family))
    return {name: text.strip().removesuffix(";") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def script(family: str) -> str:
    """The whole text of `sql/<family>.sql`."""
    return resources.files("cmf.stores.sqlite").joinpath("sql", f"{family}.sql").read_text(encoding="utf-8")
