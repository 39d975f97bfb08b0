"""Generators that are steps: the run lasts as long as the iteration, and whoever iterates is not in it."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from inspect import GEN_RUNNING, getgeneratorstate
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cmf.tracking import nesting
from cmf.tracking.results import record_inputs, record_result, record_yielded

if TYPE_CHECKING:
    from cmf.recording import Run
    from cmf.tracking.step import Step


def recorded_generator(step: Step) -> Callable[..., Any]:
    """The generator function, recording."""

    @functools.wraps(step.function)
    def recorded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = step.call(args, kwargs)
        with _Iteration(call.run) as iteration:
            record_inputs(call.run, call.inputs)
            iteration.generator = generator = step.function(*args, **kwargs)
            resume: Callable[[], Any] = partial(next, generator)
            while True:
                with nesting.inside(call.run):
                    try:
                        item = resume()
                    except StopIteration as end:
                        record_result(call.run, end.value, step.returns)
                        return end.value
                    record_yielded(call.run, item, step.yields)
                try:
                    resume = partial(generator.send, (yield item))
                except GeneratorExit:
                    iteration.leave_early()
                    return None
                except BaseException as exc:
                    resume = partial(generator.throw, exc)

    return recorded


def recorded_async_generator(step: Step) -> Callable[..., Any]:
    """The async generator function, recording."""

    @functools.wraps(step.function)
    async def recorded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = step.call(args, kwargs)
        with _Iteration(call.run) as iteration:
            record_inputs(call.run, call.inputs)
            generator = step.function(*args, **kwargs)
            resume: Callable[[], Any] = generator.__anext__
            while True:
                with nesting.inside(call.run):
                    try:
                        item = await resume()
                    except StopAsyncIteration:
                        return
                    record_yielded(call.run, item, step.yields)
                try:
                    resume = partial(generator.asend, (yield item))
                except GeneratorExit:
                    with nesting.inside(call.run):
                        await generator.aclose()
                    iteration.leave_early()
                    return
                except BaseException as exc:
                    resume = partial(generator.athrow, exc)

    return recorded


class _Iteration:
    """The run of one iteration. It also ends with the process, if nobody closes the generator before."""

    def __init__(self, run: Run) -> None:
        self.generator: Generator[Any, Any, Any] | None = None
        self._run = run
        self._process = os.getpid()

    def __enter__(self) -> Self:
        self._run.__enter__()
        nesting.leave(self._run)
        _iterations.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self in _iterations:
            _iterations.discard(self)
            self._run.__exit__(kind, error, trace)

    def leave_early(self) -> None:
        """Close the generator: who iterated had enough, which is no failure."""
        if self not in _iterations:
            return  # the process is ending, and this run has ended
        if self.generator is not None:
            with nesting.inside(self._run):
                self.generator.close()
        self._run.set(closed_early=True)

    def end_with_process(self) -> None:
        """Leave it while there still is something to record with: generators are closed when modules are gone."""
        if self._process != os.getpid():
            return  # a forked child, and the run is its parent's
        if self.generator is not None and getgeneratorstate(self.generator) == GEN_RUNNING:
            return  # a thread is in it
        try:
            self.leave_early()
        except BaseException as exc:  # the generator's own, for which nobody is there any more
            self.__exit__(type(exc), exc, exc.__traceback__)
        else:
            self.__exit__(None, None, None)


_iterations: set[_Iteration] = set()


@atexit.register
def _end_all() -> None:
    for iteration in list(_iterations):
        iteration.end_with_process()
