"""`@cmf.step`: each call of a function is an execution; its arguments and its result say what it used and made."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, overload

from cmf.core.errors import InvalidValue
from cmf.core.values import check_name
from cmf.recording import Run, open_repository, run
from cmf.tracking.found import Found, files_in, is_nothing_but_files
from cmf.tracking.hints import hints_of, of_items
from cmf.tracking.iterating import recorded_async_generator, recorded_generator
from cmf.tracking.names import pipeline_name, stage_of
from cmf.tracking.parameters import described
from cmf.tracking.results import record_inputs, record_result

if TYPE_CHECKING:
    from inspect import BoundArguments, Signature

F = TypeVar("F", bound=Callable[..., Any])


@overload
def step(function: F, /) -> F: ...


@overload
def step(
    *,
    pipeline: str | None = None,
    stage: str | None = None,
    type: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Callable[[F], F]: ...


def step(
    function: Any = None,
    /,
    *,
    pipeline: str | None = None,
    stage: str | None = None,
    type: str | None = None,  # noqa: A002
    root: str | os.PathLike[str] | None = None,
) -> Any:
    """Record each call of a function as an execution: `@cmf.step`, or `@cmf.step(pipeline="digits", stage="train")`.

    The stage is the function's name unless it is given; the pipeline is that of the step around it, else the
    setting `pipeline`, else the name of the clone's folder. `type` and `root` are those of `cmf.run`.

    Arguments are parameters; files among them are inputs: a `cmf.Dataset` or `cmf.Model`, what is annotated so, and
    a `Path` at which something is. Files in the result are outputs, numbers in it that have a name are metrics. The
    function gets what its caller gave, the caller what the function returned; an exception ends the execution as
    failed and goes on. Functions may be async, generators or methods; a step within a step is a part of it.

    Raises:
        InvalidValue: what is decorated is no function, or a name cannot name.

    >>> @step(pipeline="digits", stage="train")
    ... def train(data: cmf.Dataset, C: float = 1.0) -> cmf.Model: ...
    """
    names = Names(pipeline, stage, type, root)
    return partial(_decorated, names) if function is None else _decorated(names, function)


class Names(NamedTuple):
    """What a step is called, as far as that was said, and where it is recorded."""

    pipeline: str | None
    stage: str | None
    type: str | None
    root: str | os.PathLike[str] | None

    def check(self) -> None:
        """That they can name.

        Raises:
            InvalidValue: one cannot.
        """
        for name, what in ((self.pipeline, "pipeline's name"), (self.stage, "stage's name"), (self.type, "type")):
            if name is not None:
                check_name(name, f"the {what}")


def _decorated(names: Names, function: Any) -> Any:
    if isinstance(function, classmethod | staticmethod):
        return function.__class__(_decorated(names, function.__func__))
    if not callable(function) or inspect.isclass(function):
        raise InvalidValue(f"@cmf.step stands before a function or method, not before {function!r}")
    names.check()
    made = Step(function, names)
    if inspect.isasyncgenfunction(function):
        return recorded_async_generator(made)
    if inspect.iscoroutinefunction(function):
        return _coroutine(made)
    if inspect.isgeneratorfunction(function):
        return recorded_generator(made)
    return _function(made)


class Call(NamedTuple):
    """One call: its run, not yet started, and the files among its arguments."""

    run: Run
    inputs: list[Found]


class Step:
    """A function that is a stage."""

    def __init__(self, function: Callable[..., Any], names: Names) -> None:
        self.function = function
        self._names = names
        self._stage = names.stage or stage_of(function)

    @cached_property
    def hints(self) -> dict[str, object]:
        """Its annotations; resolved at the first call, when all that they name is defined."""
        return hints_of(self.function)

    @property
    def returns(self) -> object:
        """What it says of its result; a generator, of what it returns in the end."""
        told = self.hints.get("return")
        if inspect.isgeneratorfunction(self.function):
            return get_args(told)[2] if len(get_args(told)) == 3 else None
        return told

    @property
    def yields(self) -> object:
        """What a generator says of what it hands out."""
        return of_items(self.hints.get("return"))

    def call(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Call:
        """What a call records at its start.

        Raises:
            TypeError: the function cannot be called so; it says that itself.
        """
        arguments = self._arguments(args, kwargs)
        inputs = [
            found
            for name, (value, hint) in arguments.items()
            for found in files_in(value, hint, name)
            if found.declared or found.is_there
        ]
        rest = {name: value for name, (value, hint) in arguments.items() if not is_nothing_but_files(value, hint)}
        _, _, type_, root = self._names
        pipeline = self._names.pipeline or pipeline_name(open_repository(Path(root or ".")))
        return Call(run(pipeline, self._stage, params=described(rest), type=type_, root=root), inputs)

    def _arguments(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, tuple[object, object]]:
        """Each argument's value, and what its annotation says."""
        for signature in self._signatures:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                continue
            bound.apply_defaults()
            return self._named(bound, signature)
        if isinstance(self.function, FunctionType) and len(self._signatures) == 1:
            self.function(*args, **kwargs)  # says what is wrong in its own words
        named = {**{str(number): value for number, value in enumerate(args)}, **kwargs}
        return {name: (value, None) for name, value in named.items()}

    def _named(self, bound: BoundArguments, signature: Signature) -> dict[str, tuple[object, object]]:
        found: dict[str, tuple[object, object]] = {}
        for position, (name, parameter) in enumerate(signature.parameters.items()):
            value, hint = bound.arguments[name], self.hints.get(name)
            if parameter.kind is parameter.VAR_KEYWORD:
                # A positional-only parameter leaves its name to a keyword.
                found.update({(f"{name}.{key}" if key in found else key): (item, hint) for key, item in value.items()})
            elif parameter.kind is parameter.VAR_POSITIONAL:
                found[name] = (list(value), list[hint])  # type: ignore[valid-type]
            elif position or name not in ("self", "cls"):
                found[name] = (value, hint)
        return found

    @cached_property
    def _signatures(self) -> list[Signature]:
        """How it may be called: as the function that decorators wrapped, else as the outermost of them can be."""
        found: list[Signature] = []
        for through in (True, False):
            try:
                signature = _signature(self.function, through)
            except (ValueError, TypeError):  # some that are written in C have none
                continue
            if signature not in found:
                found.append(signature)
        return found


def _signature(function: Callable[..., Any], through: bool) -> Signature:
    if sys.version_info >= (3, 14):  # where looking at an annotation evaluates it
        from annotationlib import Format

        return inspect.signature(function, follow_wrapped=through, annotation_format=Format.FORWARDREF)
    return inspect.signature(function, follow_wrapped=through)


def _function(step: Step) -> Callable[..., Any]:
    @functools.wraps(step.function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        call = step.call(args, kwargs)
        with call.run as run:
            record_inputs(run, call.inputs)
            result = step.function(*args, **kwargs)
            record_result(run, result, step.returns)
        return result

    return recorded


def _coroutine(step: Step) -> Callable[..., Any]:
    @functools.wraps(step.function)
    async def recorded(*args: Any, **kwargs: Any) -> Any:
        call = step.call(args, kwargs)
        with call.run as run:
            record_inputs(run, call.inputs)
            result = await step.function(*args, **kwargs)
            record_result(run, result, step.returns)
        return result

    return recorded
