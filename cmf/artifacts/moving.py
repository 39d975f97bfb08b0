"""Many transfers side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from cmf.core.errors import FileProblem, ObjectProblem

T = TypeVar("T")
Progress = Callable[[int], None]
"""Told how many bytes more were moved."""


def quiet(_: int) -> None:
    """A progress that nobody looks at."""


def each(items: Iterable[T], move: Callable[[T, Progress], None], jobs: int, progress: Progress) -> dict[T, str]:
    """Move each item, up to `jobs` at once; → what is wrong with those that could not be moved.

    Any other error, such as that of a remote that does not answer, ends it: none of what is left is begun, and what
    is on its way is left off.
    """
    stopped = threading.Event()

    def told(count: int) -> None:
        if stopped.is_set():
            raise InterruptedError("left off")
        progress(count)

    problems: dict[T, str] = {}
    with ThreadPoolExecutor(max(1, jobs), "cmf-move") as pool:
        begun = {pool.submit(move, item, told): item for item in items}
        try:
            for done in as_completed(begun):
                try:
                    done.result()
                except (ObjectProblem, FileProblem) as exc:
                    problems[begun[done]] = str(exc)
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return problems


def reason(error: ObjectProblem | FileProblem, of: str) -> str:
    """What is wrong, without the name of what it is said of."""
    if isinstance(error, FileProblem) and error.path.as_posix().endswith(of):
        return error.problem
    return str(error)
