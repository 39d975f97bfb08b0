"""`dvc.yaml`: what is known of stages beside what the lock holds of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmf.core.errors import FileProblem
from cmf.core.values import Json
from cmf.documents import load
from cmf.ingest.dvc.templates import Unresolved, Values, expanded, resolved, values_of
from cmf.ingest.statements import json_object

_OF_STAGE = ("frozen", "always_changed", "desc", "meta")


@dataclass
class Definition:
    """One stage, its `foreach` or `matrix` resolved."""

    folder: str
    """Where it runs, from the folder of `dvc.yaml`."""
    facts: dict[str, Json] = field(default_factory=dict)
    outs: dict[str, dict[str, Json]] = field(default_factory=dict)
    """What is said of its outputs, by path as the lock has it; `kind` is `metrics` or `plots` for those."""


@dataclass
class Definitions:
    """The stages of a file, and notes of what could not be understood."""

    stages: dict[str, Definition] = field(default_factory=dict)
    types: dict[str, dict[str, Json]] = field(default_factory=dict)
    """What the file's `artifacts` say, by path from its folder."""
    notes: list[str] = field(default_factory=list)


def read(path: Path) -> Definitions:
    """The definitions of a file.

    Raises:
        FileProblem: it cannot be read, or is malformed.
    """
    content = load(path)
    if content is None:
        content = {}
    if not isinstance(content, dict) or not isinstance(stages := content.get("stages") or {}, dict):
        raise FileProblem(path, "malformed: it is no DVC pipeline; nothing was recorded")
    values = values_of(path.parent, content.get("vars"))
    found = Definitions()
    metrics = {_name_of(item) for item in _list(content.get("metrics"))}
    for name, stage in stages.items():
        if not isinstance(stage, dict):
            raise FileProblem(path, f"malformed: stage {name!r} is no mapping; nothing was recorded")
        _take(found, str(name), stage, values, metrics, path)
    artifacts = content.get("artifacts")
    for artifact in artifacts.values() if isinstance(artifacts, dict) else ():
        if isinstance(artifact, dict) and isinstance(artifact.get("path"), str):
            found.types[artifact["path"]] = json_object({k: v for k, v in artifact.items() if k != "path"}, "artifacts")
    return found


def _take(found: Definitions, name: str, stage: Values, values: Values, metrics: set[str], path: Path) -> None:
    try:
        for made, definition, named in expanded(name, stage, values):
            own = {**named, **values_of(path.parent, definition.get("vars"))} if "vars" in definition else named
            found.stages[made] = _definition(found, made, definition, own, metrics)
    except (Unresolved, AttributeError, TypeError) as exc:
        found.notes.append(f"{path}: stage {name!r}: {exc}; its entries in the lock were left out")


def _definition(found: Definitions, name: str, stage: Values, values: Values, metrics: set[str]) -> Definition:
    made = Definition(folder=str(resolved(stage.get("wdir") or ".", values)))
    made.facts = json_object({fact: stage[fact] for fact in _OF_STAGE if stage.get(fact)}, f"stage {name!r}")
    if made.folder != ".":
        made.facts["wdir"] = made.folder
    for kind in ("outs", "metrics", "plots"):
        for item in _list(stage.get(kind)):
            try:
                out = str(resolved(_name_of(item), values))
                said = {} if kind == "outs" else {"kind": kind}
                made.outs[out] = json_object(said | resolved(_flags(item), values), f"stage {name!r}: {out}")
            except Unresolved as exc:
                found.notes.append(
                    f"stage {name!r}: {exc}; what is said of that output beside its content was left out"
                )
    for out in metrics & made.outs.keys():
        made.outs[out].setdefault("kind", "metrics")
    return made


def _name_of(item: object) -> str:
    return next(iter(map(str, item)), "") if isinstance(item, dict) else str(item)


def _flags(item: object) -> Mapping[str, Any]:
    flags = next(iter(item.values()), None) if isinstance(item, dict) else None
    return flags if isinstance(flags, dict) else {}


def _list(value: object) -> Iterator[object]:
    """The items of a list; DVC also takes one item alone."""
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield value
