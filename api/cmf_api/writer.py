"""The one writer of the server's store: pushes queue here, and many share a transaction.

A transaction that waits for the disk costs the same for one push as for many (group commit). Several writers
at once would starve each other on SQLite, and lock each other out on Neo4j.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

from cmf.core.errors import CmfError, StoreUnavailable
from cmf.core.store import Transaction
from cmf_api.archive import Frame, NoArchive, Recorder
from cmf_api.errors import RETRY_AFTER_SECONDS, Busy

T = TypeVar("T")

MAX_GROUP_RECORDS = 10_000
"""How many records a transaction gathers at most, so that none holds the store for long."""


class Writes(Protocol):
    """The writing side of a store."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See `cmf.core.store.Store`."""


class _Job(NamedTuple):
    work: Callable[[Transaction], Any]
    records: int
    outcome: Future[Any]
    news: Callable[[Any], Sequence[Frame]] | None = None
    """What is to be kept of it in the archive, by its result."""


class Writer:
    """Does work on a store, in the order in which it was submitted."""

    def __init__(self, store: Writes, max_waiting: int, archive: Recorder | None = None) -> None:
        self._store = store
        self._archive = archive or NoArchive()
        self._queue: queue.Queue[_Job | None] = queue.Queue(max_waiting)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cmf-writer", daemon=True)
        self._thread.start()

    def do(
        self,
        work: Callable[[Transaction], T],
        records: int,
        news: Callable[[T], Sequence[Frame]] | None = None,
    ) -> T:
        """Do `work` in a transaction and wait until it is committed.

        `work` raises what it refuses before it changes anything: others may share its transaction. `news` says, of
        its result, what the archive keeps; that is on the disk before the transaction is committed.

        Raises:
            Busy: too much is waiting already.
            StoreUnavailable: it could not be committed; nothing was changed.
        """
        outcome: Future[T] = Future()
        if self._closed:
            raise _stopping()
        try:
            self._queue.put_nowait(_Job(work, records, outcome, news))
        except queue.Full:
            raise Busy("too much is waiting for the store; come back in a moment", RETRY_AFTER_SECONDS) from None
        if not self._thread.is_alive() and not outcome.done():
            raise _stopping()
        return outcome.result()

    @property
    def waiting(self) -> int:
        """How many pushes wait their turn."""
        return self._queue.qsize()

    @property
    def is_alive(self) -> bool:
        """Whether it does what it is given."""
        return self._thread.is_alive() and not self._closed

    def close(self) -> None:
        """Finish what is waiting."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._commit(self._group(job)):
                break
        while not self._queue.empty():  # what came behind the sign to stop
            if (late := self._queue.get_nowait()) is not None:
                late.outcome.set_exception(_stopping())

    def _group(self, first: _Job) -> list[_Job | None]:
        group: list[_Job | None] = [first]
        records = first.records
        while records < MAX_GROUP_RECORDS:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            group.append(job)
            if job is None:
                break
            records += job.records
        return group

    def _commit(self, group: list[_Job | None]) -> bool:
        """Do a group of jobs in one transaction; → whether it held the sign to stop."""
        jobs = [job for job in group if job is not None]
        kept: set[int] = set()
        try:
            outcomes = self._store.write(lambda transaction: self._attempt(jobs, transaction, kept))
        except BaseException as exc:
            for job in jobs:
                job.outcome.set_exception(exc)
        else:
            for job, (result, refusal) in zip(jobs, outcomes, strict=True):
                if refusal is None:
                    job.outcome.set_result(result)
                else:
                    job.outcome.set_exception(refusal)
        return None in group

    def _attempt(self, jobs: list[_Job], transaction: Transaction, kept: set[int]) -> list[tuple[Any, CmfError | None]]:
        """Do jobs in a transaction and keep what was news; `kept` are those kept when the store tried before."""
        outcomes = [_attempt(job, transaction) for job in jobs]
        frames: list[Frame] = []
        for index, (job, (result, refusal)) in enumerate(zip(jobs, outcomes, strict=True)):
            if job.news and refusal is None and index not in kept:
                frames += job.news(result)
                kept.add(index)
        try:
            self._archive.keep(frames)
        except BaseException:
            kept.clear()
            raise
        return outcomes


def _stopping() -> StoreUnavailable:
    return StoreUnavailable("the server is stopping; push again when it is back")


def _attempt(job: _Job, transaction: Transaction) -> tuple[Any, CmfError | None]:
    try:
        return job.work(transaction), None
    except StoreUnavailable:
        raise
    except CmfError as refusal:
        return None, refusal
