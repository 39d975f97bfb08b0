"""Where a Neo4j is: `neo4j://[user[:password]@]host[:port][/database]`."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from cmf.core.errors import SettingsProblem

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
"""The driver's own; `+s` is encrypted, `+ssc` also trusts self-signed certificates."""

DEFAULT_PORT = 7687


class Address(NamedTuple):
    """A URL taken apart. `uri` is what the driver takes, without credentials; `database` None: the server's default.

    >>> parse_url("neo4j://neo4j:s%40fe@graph.example/lineage")
    Address(uri='neo4j://graph.example:7687', user='neo4j', password='s@fe', database='lineage')
    """

    uri: str
    user: str | None
    password: str
    database: str | None

    @property
    def shown(self) -> str:
        """As it may be shown: without credentials."""
        return f"{self.uri}/{self.database}" if self.database else self.uri


def parse_url(url: str) -> Address:
    """The address that a URL says.

    Raises:
        SettingsProblem: it says none. The message holds no credentials.
    """
    try:
        parts = urlsplit(url)
        return _address(parts, parts.port or DEFAULT_PORT)
    except ValueError:
        # The text of urllib's error may quote the password, so it is neither repeated nor chained.
        raise _problem("its host or port is malformed (is a / or @ in the password written as %2F, %40?)") from None


def _address(parts: SplitResult, port: int) -> Address:
    if parts.scheme not in SCHEMES:
        raise _problem(f"its scheme must be one of {', '.join(SCHEMES)}")
    if not parts.hostname:
        raise _problem("it names no host")
    database = unquote(parts.path.strip("/"))
    if "/" in database:
        raise _problem("behind the host it may name one database")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    routing = f"?{parts.query}" if parts.query else ""
    return Address(
        uri=f"{parts.scheme}://{host}:{port}{routing}",
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        database=database or None,
    )


def _problem(what: str) -> SettingsProblem:
    return SettingsProblem(
        f"the URL of the Neo4j store: {what}. It is written neo4j://[user[:password]@]host[:port][/database]"
    )
