"""The one writer of a process to the store: pushes queue here, and many share a transaction.

A transaction that waits for the disk costs the same for one push as for many (group commit). Several writers
at once would starve each other on SQLite, and lock each other out on Neo4j. Sites take turns in what is gathered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

from cmf.core.errors import CmfError, StoreUnavailable
from cmf.core.store import Transaction
from cmf_api.archive import Frame, NoArchive, Recorder
from cmf_api.errors import RETRY_AFTER_SECONDS, Busy
from cmf_api.fairness import FairQueue

T = TypeVar("T")

MAX_GROUP_RECORDS = 10_000
"""How many records a transaction gathers at most, so that none holds the store for long."""

BYTES_OF_A_RECORD = 4_096
"""What is longer counts as several records: some hold thousands of points."""

CREDIT_RECORDS = 1_000
"""How many records a site is given in a turn."""


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
    """Does work on a store: of one site in the order in which it was submitted, of several in turns."""

    def __init__(self, store: Writes, max_waiting: int, archive: Recorder | None = None) -> None:
        self._store = store
        self._archive = archive or NoArchive()
        self._max_waiting = max_waiting
        self._queue: FairQueue[_Job] = FairQueue(CREDIT_RECORDS)
        self._changed = threading.Condition()
        """Guards the queue and what follows."""
        self._closed = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="cmf-writer", daemon=True)
        self._thread.start()

    def do(
        self,
        work: Callable[[Transaction], T],
        records: int,
        news: Callable[[T], Sequence[Frame]] | None = None,
        site: str = "",
    ) -> T:
        """Do `work` in a transaction and wait until it is committed.

        `work` raises what it refuses before it changes anything: others may share its transaction. `news` says, of
        its result, what the archive keeps; that is on the disk before the transaction is committed.

        Raises:
            Busy: too much is waiting already.
            StoreUnavailable: it could not be committed; nothing was changed.
        """
        return self.submit(work, records, news, site).result()

    def submit(
        self,
        work: Callable[[Transaction], T],
        records: int,
        news: Callable[[T], Sequence[Frame]] | None = None,
        site: str = "",
    ) -> Future[T]:
        """Let `work` wait for a transaction; → what tells what became of it. See `do`, whose result raises the rest.

        Raises:
            Busy: too much is waiting already.
            StoreUnavailable: the server is stopping.
        """
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()  # whoever no longer waits for it does not stop it
        with self._changed:
            if self._closed or self._ended:
                raise _stopping()
            if len(self._queue) >= self._max_waiting:
                raise Busy("too many pushes are waiting for the store; push again in a moment", RETRY_AFTER_SECONDS)
            self._queue.put(site, max(1, records), _Job(work, records, outcome, news))
            self._changed.notify()
        return outcome

    @property
    def waiting(self) -> int:
        """How many pushes wait."""
        return len(self._queue)

    @property
    def is_alive(self) -> bool:
        """Whether it does what it is given."""
        return self._thread.is_alive() and not self._closed

    @property
    def is_full(self) -> bool:
        """Whether as much is waiting as the next transaction takes."""
        return self._queue.cost >= MAX_GROUP_RECORDS

    def close(self) -> None:
        """Finish what is waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while group := self._group():
                self._commit(group)
        finally:
            with self._changed:
                self._ended = True
                while (job := self._queue.take()) is not None:
                    job.outcome.set_exception(_stopping())

    def _group(self) -> list[_Job]:
        """Wait for work; → what the next transaction does, nothing when all is done and no more comes."""
        group: list[_Job] = []
        records = 0
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            while records < MAX_GROUP_RECORDS and (job := self._queue.take()) is not None:
                group.append(job)
                records += job.records
        return group

    def _commit(self, jobs: list[_Job]) -> None:
        """Do a group of jobs in one transaction."""
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
