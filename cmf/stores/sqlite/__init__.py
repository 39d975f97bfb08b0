"""The store on SQLite: the view of a clone, and a server's embedded default. Its SQL is in `sql/`."""

from cmf.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
