"""From a store's URL to the store: `sqlite:///…` is embedded, `neo4j://…` (or `bolt://…`) is a Neo4j."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from cmf.core.errors import SettingsProblem
from cmf.core.store import Store
from cmf.stores.sqlite import SqliteStore


def is_embedded(url: str) -> bool:
    """Whether a URL names a store in a file."""
    return url.startswith("sqlite://")


def path_of(url: str) -> Path:
    """The file of an embedded store.

    Raises:
        SettingsProblem: the URL names none.
    """
    rest = url.partition("://")[2]
    if not rest.startswith("/") or rest == "/":
        raise SettingsProblem(f"{url}: a SQLite store is named sqlite:///<path of its file>")
    # As everywhere: sqlite:///relative.db, sqlite:////absolute.db
    return Path(rest[1:])


def open_store(url: str, secret: str | None = None, read_seconds: float | None = None) -> Store:
    """The store at this URL. `secret` is a Neo4j's `password` or `user/password`, kept out of the URL.

    `read_seconds` is how long a read of an embedded store may take; a Neo4j has its own limit.

    Raises:
        SettingsProblem: the URL names no store.
        StoreUnavailable: the embedded store's file cannot be opened. (A Neo4j may be down at the start.)
    """
    if is_embedded(url):
        return SqliteStore(path_of(url), durable=True, read_seconds=read_seconds)
    scheme = url.partition("://")[0]
    if scheme.split("+")[0] in ("neo4j", "bolt"):
        from cmf_graph.store import Neo4jStore

        return Neo4jStore(_with_secret(url, secret))
    raise SettingsProblem(f"{url}: a store is named sqlite:///<file> or neo4j://<host>[:<port>]")


def _with_secret(url: str, secret: str | None) -> str:
    if secret is None:
        return url
    parts = urlsplit(url)
    user, _, password = secret.rpartition("/")
    user = user or parts.username or "neo4j"
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}").geturl()
