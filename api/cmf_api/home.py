"""Where a server's files are: its store by default, and what it keeps beside its store."""

from __future__ import annotations

import os
import re
from pathlib import Path


def default_store() -> str:
    """The embedded store in the user's data folder (`XDG_DATA_HOME`)."""
    return f"sqlite:///{_data_folder() / 'server.db'}"


def home_of(store: str) -> Path:
    """The folder of what a server keeps beside the store with this URL.

    Of an embedded store it stands beside its file, `graph` for `graph.db`; of a Neo4j in the user's data folder,
    under the database's address.
    """
    scheme, _, rest = store.partition("://")
    if scheme == "sqlite":
        file = Path(rest[1:])
        return file.with_suffix("") if file.suffix else file.with_name(f"{file.name}.home")
    return _data_folder() / re.sub(r"[^0-9A-Za-z.-]+", "-", rest.rpartition("@")[2]).strip("-.")


def _data_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "cmf"
