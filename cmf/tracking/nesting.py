"""Which run is open around the code that asks: in this thread or task, or in the process that started this one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cmf.core.errors import InvalidValue, SettingsProblem
from cmf.core.identity import check_key, kind_of
from cmf.core.operations import PutRelation

if TYPE_CHECKING:
    from cmf.recording import Run

PART_OF = "CMF_PART_OF"
"""The variable by which `cmf run` tells the program that it starts which execution it is a part of."""

# Values, not a list: a task or thread that copied its context keeps what it copied, whatever happens elsewhere.
_open: ContextVar[tuple[Run, ...]] = ContextVar("cmf_open_runs", default=())


def current_run() -> Run:
    """The innermost run that is open here: that of the step, or of the `with`, which the calling code runs in.

    It follows the code into tasks of asyncio and into `asyncio.to_thread`; a thread started otherwise begins
    without one, as with every context variable (`contextvars.copy_context().run` takes it along).

    Raises:
        InvalidValue: none is open.

    >>> current_run().metric("loss", 0.12, step=3)     # doctest: +SKIP
    """
    if (run := innermost()) is None:
        raise InvalidValue("no run is open here; call this within a function with @cmf.step or `with cmf.run(...)`")
    return run


def innermost() -> Run | None:
    """The innermost run that is open in this thread or task."""
    around = _open.get()
    return around[-1] if around else None


def part_of(execution: str) -> list[PutRelation]:
    """That a new execution is a part of what is open around it, if anything is.

    Raises:
        SettingsProblem: the environment names something that is no execution.
    """
    run = innermost()
    outer = run.key if run else os.environ.get(PART_OF)
    if not outer:
        return []
    return [PutRelation(kind="part_of", source=execution, target=_checked(outer))]


def enter(run: Run) -> None:
    """From here on the run is the innermost one."""
    _open.set((*_open.get(), run))


def leave(run: Run) -> None:
    """The run is not open here any more. Asked of a context that never had it, this changes nothing."""
    around = _open.get()
    if run in around:
        _open.set(tuple(other for other in around if other is not run))


@contextmanager
def inside(run: Run) -> Iterator[None]:
    """The body runs in a run that was left: a generator's, which is left whenever it yields."""
    enter(run)
    try:
        yield
    finally:
        leave(run)


def _checked(key: str) -> str:
    try:
        if kind_of(check_key(key)) == "execution":
            return key
    except InvalidValue:
        pass
    raise SettingsProblem(f"{PART_OF}: {key[:80]!r} is no key of an execution; unset it")
