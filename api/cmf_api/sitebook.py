"""What a server remembers of each site: when it pushed last, how late its records came, what was refused.

It is kept in `sites.db` in the server's home, by all processes of the server together, and written every few seconds:
what a crash takes of it is told again by the next push. The graph does not depend on it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from cmf.clock import microseconds
from cmf.core.errors import StoreUnavailable
from cmf_api.metrics import family

MAX_SITES: Final = 10_000
"""So many sites are remembered at most, those that were heard of last: whoever may push can call itself anything."""

SHOWN_SITES: Final = 100
"""So many sites, those that pushed last, have figures of their own among the metrics."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS site (
    site TEXT PRIMARY KEY,
    heard REAL NOT NULL,
    pushed REAL,
    lag REAL,
    refusals INTEGER NOT NULL,
    refused REAL,
    refusal TEXT
) WITHOUT ROWID
"""
_NOTE: Final = """
INSERT INTO site (site, heard, pushed, lag, refusals, refused, refusal)
VALUES (:site, :heard, :pushed, :lag, :refusals, :refused, :refusal)
ON CONFLICT (site) DO UPDATE SET
    lag = CASE WHEN coalesce(excluded.pushed, 0) >= coalesce(pushed, 0) THEN coalesce(excluded.lag, lag) ELSE lag END,
    refusal = CASE WHEN coalesce(excluded.refused, 0) >= coalesce(refused, 0)
        THEN coalesce(excluded.refusal, refusal) ELSE refusal END,
    heard = max(heard, excluded.heard),
    pushed = max(coalesce(pushed, excluded.pushed), coalesce(excluded.pushed, pushed)),
    refused = max(coalesce(refused, excluded.refused), coalesce(excluded.refused, refused)),
    refusals = refusals + excluded.refusals
"""
_FORGET: Final = "DELETE FROM site WHERE site IN (SELECT site FROM site ORDER BY heard DESC LIMIT -1 OFFSET ?)"


class SiteNote:
    """What is remembered of one site. Times are seconds since 1970."""

    __slots__ = ("heard", "lag", "pushed", "refusal", "refusals", "refused")

    def __init__(self) -> None:
        self.heard = 0.0
        self.pushed: float | None = None
        self.lag: float | None = None
        self.refusals = 0
        self.refused: float | None = None
        self.refusal: str | None = None


class SiteBook:
    """Notes of what sites do. What cannot be written stays in memory, within bounds."""

    def __init__(self, home: Path) -> None:
        self._file = home / "sites.db"
        self._new: dict[str, SiteNote] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def pushed(self, site: str, newest: str | None) -> float | None:
        """Remember that a chunk of a site was merged now; → how many seconds after its newest record's time."""
        at = time.time()
        lag = None if newest is None else max(0.0, at - microseconds(newest) / 1e6)
        with self._lock:
            note = self._of(site, at)
            note.pushed = at
            note.lag = note.lag if lag is None else lag
        return lag

    def refused(self, site: str, code: str) -> None:
        """Remember that a chunk of a site was refused now."""
        at = time.time()
        with self._lock:
            note = self._of(site, at)
            note.refusals += 1
            note.refused, note.refusal = at, code

    def flush(self) -> None:
        """Write what is new.

        Raises:
            StoreUnavailable: it cannot be written; it is kept for the next time.
        """
        with self._writing:
            with self._lock:
                new, self._new = self._new, {}
            if not new:
                return
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with closing(self._open()) as db, db:
                    db.executemany(_NOTE, [_row(site, note) for site, note in new.items()])
                    db.execute(_FORGET, (MAX_SITES,))
            except (sqlite3.Error, OSError) as exc:
                with self._lock:
                    self._new = dict(list(_joined(new, self._new).items())[-MAX_SITES:])
                if isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError):
                    self._file.unlink(missing_ok=True)  # damaged; they are notes, and made anew the next time
                raise StoreUnavailable(f"{self._file}: {exc}; notes of sites are kept in memory") from exc

    def notes(self, sites: Iterable[str] | None = None, after: str = "", limit: int = MAX_SITES) -> dict[str, SiteNote]:
        """What is remembered of these sites, or of up to `limit` behind `after`, by name; in memory or not."""
        found: dict[str, SiteNote] = {}
        asked = None if sites is None else list(sites)
        if self._file.exists():
            try:
                with closing(self._open()) as db:
                    if asked is None:
                        rows = db.execute("SELECT * FROM site WHERE site > ? ORDER BY site LIMIT ?", (after, limit))
                        found = dict(map(_noted, rows))
                    else:
                        for site in asked:
                            found |= map(_noted, db.execute("SELECT * FROM site WHERE site = ?", (site,)))
            except sqlite3.Error:
                found = {}  # only notes: the next flush says in the log what is wrong
        with self._lock:
            new = {site: note for site, note in self._new.items() if (site > after if asked is None else site in asked)}
            found = _joined(found, new)
        return {site: found[site] for site in sorted(found)[:limit]}

    def collect(self) -> Iterable[Any]:
        """Figures of the sites that pushed last, for Prometheus."""
        now = time.time()
        notes = [(site, note) for site, note in self.notes().items() if note.pushed is not None]
        notes.sort(key=lambda noted: -(noted[1].pushed or 0))
        shown = notes[:SHOWN_SITES]
        yield from family(
            "cmf_site_seconds_since_push",
            "Since the last push of a site that was merged.",
            ["site"],
            [([site], now - note.pushed) for site, note in shown if note.pushed is not None],
        )
        yield from family(
            "cmf_site_merge_lag_seconds",
            "From the time that the newest record of a site's last push bears to its merge.",
            ["site"],
            [([site], note.lag) for site, note in shown if note.lag is not None],
        )

    def _of(self, site: str, at: float) -> SiteNote:
        # The one heard of last comes last, so that the first is the one to forget.
        note = self._new.pop(site, None) or SiteNote()
        note.heard = at
        self._new[site] = note
        if len(self._new) > MAX_SITES:
            del self._new[next(iter(self._new))]
        return note

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=2.0)
        db.execute("PRAGMA synchronous = OFF")
        db.execute(_SCHEMA)
        return db


def _row(site: str, note: SiteNote) -> dict[str, Any]:
    return {"site": site} | {name: getattr(note, name) for name in SiteNote.__slots__}


def _noted(row: tuple[Any, ...]) -> tuple[str, SiteNote]:
    note = SiteNote()
    site, note.heard, note.pushed, note.lag, note.refusals, note.refused, note.refusal = row
    return site, note


def _joined(old: Mapping[str, SiteNote], new: Mapping[str, SiteNote]) -> dict[str, SiteNote]:
    """Old notes with what is new of each site."""
    joined = dict(old)
    for site, late in new.items():
        early = joined.pop(site, None)
        if early is not None:
            both = SiteNote()
            both.heard = max(early.heard, late.heard)
            both.pushed = late.pushed if late.pushed is not None else early.pushed
            both.lag = late.lag if late.lag is not None else early.lag
            both.refusals = early.refusals + late.refusals
            both.refused = late.refused if late.refused is not None else early.refused
            both.refusal = late.refusal if late.refusal is not None else early.refusal
            late = both
        joined[site] = late
    return joined
