"""What a step read and returned, as the uses and metrics of its run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cmf.core.errors import FileProblem, InvalidValue
from cmf.core.model import ArtifactType, UseKind
from cmf.core.values import to_json
from cmf.tracking.found import Found, files_in, members
from cmf.tracking.parameters import described, name_of
from cmf.tracking.typed import Metrics

if TYPE_CHECKING:
    from cmf.recorder import Recorder
    from cmf.recording import Run

_DEEPEST = 8


def record_inputs(run: Run, files: Iterable[Found]) -> None:
    """Record files as inputs, each with the argument that named it."""
    _record(run, "input", files)


def record_result(run: Run, result: object, hint: object) -> None:
    """Record what a step returned: files as outputs, numbers that have a name as metrics."""
    _record(run, "output", (file for file in files_in(result, hint) if file.declared or file.is_there))
    names: dict[str, int] = {}
    for name, values in metrics_in(result, hint):
        names[name] = names.get(name, 0) + 1
        told = name if names[name] == 1 else f"{name}-{names[name]}"
        run.metrics(told, **described(values))


def record_yielded(run: Run, item: object, hint: object) -> None:
    """Record the files that a generator hands out, where a class or annotation says that they are its own."""
    _record(run, "output", (file for file in files_in(item, hint) if file.declared))


def metrics_in(
    value: object, hint: object, label: str = "", depth: int = _DEEPEST
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The metrics in a result, by name: `Metrics`, and the numbers of dicts, named tuples and dataclasses."""
    if isinstance(value, Metrics):
        if value:
            yield value.name, value
        return
    inner = members(value, hint) if depth and not isinstance(value, str) else []
    named = _has_names(value)
    if named and (numbers := {name: item for name, item, _ in inner if _is_number(item)}):
        yield name_of(label) if label else ArtifactType.METRICS.lower(), numbers
    for name, item, told in inner:
        yield from metrics_in(item, told, _joined(label, name) if named else label, depth - 1)


def _joined(label: str, name: str) -> str:
    return f"{label}.{name}" if label else name


def _record(run: Run, direction: UseKind, files: Iterable[Found]) -> None:
    known: set[tuple[str, str | None]] = set()
    problems: dict[str, str] = {}
    for file in files:
        if (file.path, file.version) in known:
            continue
        known.add((file.path, file.version))
        try:
            _use(run.recorder, direction, file)
        except (FileProblem, InvalidValue) as exc:
            if file.declared:
                raise
            problems[name_of(file.label)] = str(exc)
    if problems:
        run.set(**{f"unrecorded_{direction}s": problems})


def _use(recorder: Recorder, direction: UseKind, file: Found) -> None:
    types = file.input_types if direction == "input" else file.output_types
    properties = described(file.properties)
    label = {_LABELS[direction]: name_of(file.label)} if file.label else None
    if file.version is None:
        recorder.use(direction, file.path, types, properties, use_properties=label)
    else:
        recorder.refer(direction, file.path, file.version, types, properties, use_properties=label)


_LABELS = {"input": "argument", "output": "result"}
"""The property of a use that says where among the arguments or results the file stood."""


def _has_names(value: object) -> bool:
    return not isinstance(value, list | set | frozenset) and (not isinstance(value, tuple) or hasattr(value, "_fields"))


def _is_number(value: object) -> bool:
    if isinstance(value, bool | int | float):
        return True
    if value is None or isinstance(value, str | Mapping | list | tuple | set | frozenset):
        return False
    try:
        shown = to_json(value)
    except Exception:  # a value of the user's may do anything when it is looked at
        return False
    return isinstance(shown, int | float | dict) and (not isinstance(shown, dict) or "$number" in shown)
