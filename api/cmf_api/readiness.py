"""Whether the server can do its work, found out the way a push would find out, and at most once a second."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from anyio import CapacityLimiter, to_thread

from cmf.core.errors import StoreIncompatible, StoreUnavailable
from cmf.core.store import Store, Transaction
from cmf.stores.sqlite import SqliteStore
from cmf_api.answers import Health
from cmf_api.metrics import Metrics

T = TypeVar("T")

KEPT_SECONDS: Final = 1.0
"""So long an answer is given again: whoever asks, and how often, the store is asked once in this time."""

PATIENCE_SECONDS: Final = 5.0
"""A store that takes longer is as good as one that is not there."""

WRITTEN_SECONDS: Final = 5.0
"""A transaction that was committed so recently shows that the store can be written."""


class Measured:
    """The writing side of a store, with each transaction's time and outcome."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._seconds = metrics.transactions
        self.committed_at: float | None = None

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See the port."""
        began = time.monotonic()
        try:
            result = self._store.write(work)
        except BaseException:
            self.committed_at = None
            self._seconds.labels("failed").observe(time.monotonic() - began)
            raise
        self.committed_at = time.monotonic()
        self._seconds.labels("committed").observe(self.committed_at - began)
        return result


class Readiness:
    """Looks at everything that a push needs, and says what is missing.

    `writer_lives` tells of the thread that merges; `home` and `min_free_bytes` of the room on the disk.
    """

    def __init__(
        self,
        store: Store,
        measured: Measured,
        writer_lives: Callable[[], bool],
        home: Path,
        min_free_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._measured = measured
        self._writer_lives = writer_lives
        self._folders = [home]
        if isinstance(store, SqliteStore):
            self._folders.append(store.path.absolute().parent)
        self._min_free = min_free_bytes
        self._metrics = metrics
        self._limiter = CapacityLimiter(1)
        self._look: asyncio.Task[dict[str, str]] | None = None
        self._known: tuple[float, Health] | None = None
        self.is_stopping = False

    async def told(self) -> Health:
        """What it found last, or now."""
        if self.is_stopping:
            self._metrics.ready.set(0)
            return Health("unavailable", "the server is stopping", {"server": "it is stopping"})
        if self._known is not None and time.monotonic() - self._known[0] < KEPT_SECONDS:
            return self._known[1]
        if self._look is None:
            work = to_thread.run_sync(self._checks, limiter=self._limiter, abandon_on_cancel=True)
            self._look = asyncio.ensure_future(_awaited(work))
        look = self._look
        done, _ = await asyncio.wait({look}, timeout=PATIENCE_SECONDS)
        if done:
            if self._look is look:
                self._look = None
            checks = look.result()
        else:
            # The look goes on; nobody begins another beside it.
            checks = {"store": f"it has not answered for {PATIENCE_SECONDS:g} s"}
        missing = [f"{name}: {said}" for name, said in checks.items() if said != "ok"]
        health = Health("unavailable" if missing else "ready", "; ".join(missing), checks)
        self._known = time.monotonic(), health
        self._metrics.store_up.set(all(checks.get(name, "ok") == "ok" for name in ("store", "write")))
        self._metrics.ready.set(not missing)
        return health

    def _checks(self) -> dict[str, str]:
        found = {"store": _outcome(self._reached)}
        if found["store"] == "ok":
            found["write"] = _outcome(self._written)
        found["writer"] = "ok" if self._writer_lives() else "the thread that merges has ended; restart the server"
        found["disk"] = self._room()
        return found

    def _reached(self) -> None:
        if isinstance(self._store, SqliteStore) and not self._store.path.exists():
            raise StoreUnavailable(f"{self._store.path} is gone; stop the server, put it back, and start again")
        self._store.check()

    def _written(self) -> None:
        at = self._measured.committed_at
        if at is None or time.monotonic() - at > WRITTEN_SECONDS:
            with suppress(_Enough):
                self._store.write(_begun)

    def _room(self) -> str:
        for folder in self._folders:
            there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
            try:
                free = shutil.disk_usage(there).free
            except OSError as exc:
                return f"{there}: {exc.strerror or exc}"
            if free < self._min_free:
                return f"{there} has {free >> 20} MiB left, less than the {self._min_free >> 20} MiB of --min-free"
        return "ok"


class _Enough(Exception):
    """Rolls a transaction back that only had to begin: looking changes nothing, not even the time of the last merge."""


def _begun(_: Transaction) -> NoReturn:
    raise _Enough


async def _awaited(work: object) -> dict[str, str]:
    found: dict[str, str] = await work  # type: ignore[misc]
    return found


def _outcome(look: Callable[[], None]) -> str:
    try:
        look()
    except (StoreUnavailable, StoreIncompatible) as exc:
        return str(exc)
    return "ok"
