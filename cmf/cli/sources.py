"""Whom a question is put to: the clone's own view, its server, or another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmf.questions import Query
    from cmf.settings import Settings


def source(remote: bool, server: str | None, at_least: str | None = None) -> Query:
    """What answers.

    Raises:
        NotARepository: neither a server was named nor does the folder lie in a clone.
        BadQuestion: `at_least` is no token of a push, or no server is asked.
        SettingsProblem: the clone's server is asked for, and it has none.
    """
    from cmf.core.errors import SettingsProblem
    from cmf.questions import query

    if server is None and not remote:
        return query(at_least=at_least)
    settings = _settings()
    address = server or settings.server
    if address is None:
        raise SettingsProblem("no server is set; run 'cmf init --server URL', set CMF_SERVER, or say --server URL")
    return query(address, token=settings.token, at_least=at_least)


def _settings() -> Settings:
    """The settings of the clone here, or outside of one the environment's."""
    from cmf.core.errors import NotARepository
    from cmf.places import FOLDER
    from cmf.repository import Repository
    from cmf.settings import load

    try:
        return Repository.find(Path.cwd(), catch_up=False).settings
    except NotARepository:
        return load(Path(FOLDER) / "config.toml")
