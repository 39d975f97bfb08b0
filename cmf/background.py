"""Work in another thread: SQLite, hashing, compression and the network let others go on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def in_background(work: Callable[[], T]) -> Future[T]:
    """What becomes of some work. Nothing waits for it at the end of the process: who interrupts it need not either."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as exc:
            outcome.set_exception(exc)

    try:
        threading.Thread(target=run, name="cmf-background", daemon=True).start()
    except RuntimeError:  # in a process that is ending none begins
        run()
    return outcome


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made while the one before it is dealt with. What making one raises is raised in its place."""
    item = next(items, None)
    while item is not None:
        following = in_background(partial(next, items, None))
        yield item
        item = following.result()
