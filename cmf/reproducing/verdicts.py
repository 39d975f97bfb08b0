"""What a re-run made, beside what was recorded: which outputs are the same, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from cmf.core.errors import FileProblem, InvalidValue
from cmf.core.model import ArtifactType, Execution
from cmf.core.recipe import Item, Recipe
from cmf.core.store import Filters
from cmf.core.values import Json, encode, to_json
from cmf.places import KEPT
from cmf.questions import Query, StoreSource
from cmf.repository import Repository
from cmf.reproducing.holdings import within
from cmf.tracking.value_files import read_values
from cmf.versioning.content import Version, version_of

Before = dict[str, tuple[Version, ...]]
Judgement = Literal["identical", "differs", "missing", "not compared"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one output: `found` is the key of what is there now, `why` says more."""

    path: str
    recorded: str
    found: str | None
    judgement: Judgement
    why: str = ""


def reruns(repository: Repository, recipe: Recipe) -> list[Recipe]:
    """The executions of the same stage that a clone made for the re-run has recorded."""
    graph = Query(StoreSource(repository.view))
    found = graph.executions(Filters(pipeline=recipe.pipeline, stage=recipe.stage))
    return [graph.recipe(node.key) for node in found if isinstance(node, Execution)]


def files_before(recipe: Recipe, base: Path) -> Before:
    """The states of what is at the paths of outputs before a command runs: the commit may have them already."""
    places = ((item.path, within(base, item.path)) for item in recipe.outputs)
    return {path: state for path, place in places if place and (state := _state(place))}


def compare(recipe: Recipe, again: list[Recipe], repository: Repository, before: Before) -> list[Verdict]:
    """Each recorded output beside what the re-run made of it, in the tree or in its own records (`again`).

    Values that were read from a file that is an output itself are judged with the file.
    """
    made = {(item.path, item.values is None): item for run in reversed(again) for item in run.outputs}
    files = {item.path for item in recipe.outputs if item.values is None}
    read = {item.path: item for item in recipe.outputs if item.values is not None and item.path in files}

    def judged(item: Item) -> Verdict:
        if not again and _is_record(item):
            return _unrecorded(item)
        verdict = _verdict(item, made.get((item.path, item.values is None)), repository, before)
        if (record := read.get(item.path)) is None:
            return verdict
        return _with_values(verdict, record, made.get((item.path, False)), repository)

    return [judged(item) for item in recipe.outputs if item is not read.get(item.path)]


def _is_record(item: Item) -> bool:
    return item.values is not None or item.path.startswith(f"{KEPT}/")


def _unrecorded(item: Item) -> Verdict:
    """Of a program that records nothing itself, `cmf run` did; it is run again without that."""
    why = "the command recorded nothing"
    return Verdict(path=item.path, recorded=item.key, found=None, judgement="not compared", why=why)


def _verdict(item: Item, made: Item | None, repository: Repository, before: Before) -> Verdict:
    if item.values is not None:
        return _of_values(item, made)
    if item.path.startswith(f"{KEPT}/"):
        return _of_kept(item, made)
    place = within(repository.root, item.path)
    if item.md5 is None or place is None:
        why = "its content is not in the tree" if place else "its path is not in the tree"
        return Verdict(path=item.path, recorded=item.key, found=None, judgement="not compared", why=why)
    if before.get(item.path, ()) == _state(place) != ():
        why = "it was in the tree before, and was not written again"
        return Verdict(path=item.path, recorded=item.key, found=None, judgement="missing", why=why)
    found = _key_at(place, repository)
    judgement: Judgement = "identical" if found == item.key else "differs" if found else "missing"
    return Verdict(path=item.path, recorded=item.key, found=found, judgement=judgement)


def _of_values(item: Item, made: Item | None) -> Verdict:
    """Metrics are records of one execution, so their keys always differ: it is their values that can be the same."""
    if made is None:
        return Verdict(path=item.path, recorded=item.key, found=None, judgement="missing", why="nothing was recorded")
    changed = _changes(item.values or {}, made.values or {})
    judgement: Judgement = "differs" if changed else "identical"
    return Verdict(path=item.path, recorded=item.key, found=made.key, judgement=judgement, why=", ".join(changed))


def _with_values(file: Verdict, record: Item, made: Item | None, repository: Repository) -> Verdict:
    """The verdict on a file whose values were recorded too: which of them differ, where something does."""
    if made is None and file.judgement != "differs":
        return file
    values = made.values if made else _values_at(repository.root / file.path)
    if values is None:
        return file
    if changed := _changes(record.values or {}, values):
        return msgspec.structs.replace(file, judgement="differs", why=", ".join(changed))
    return msgspec.structs.replace(file, why="other bytes, the same values") if file.judgement == "differs" else file


def _values_at(file: Path) -> dict[str, Json] | None:
    try:
        return {name: to_json(value) for name, value in read_values(file).items()}
    except (FileProblem, InvalidValue):
        return None


def _of_kept(item: Item, made: Item | None) -> Verdict:
    if made is not None and made.key == item.key:
        return Verdict(path=item.path, recorded=item.key, found=made.key, judgement="identical")
    found = made.key if made else None
    if ArtifactType.STEP_METRICS in item.types:
        why = "steps are recorded with their times"
        return Verdict(path=item.path, recorded=item.key, found=found, judgement="not compared", why=why)
    return Verdict(path=item.path, recorded=item.key, found=found, judgement="differs" if made else "missing")


def _changes(recorded: dict[str, Json], made: dict[str, Json]) -> list[str]:
    return [
        f"{name}: {_shown(recorded, name)} → {_shown(made, name)}"
        for name in sorted(recorded.keys() | made.keys())
        if name not in made or name not in recorded or encode(recorded[name]) != encode(made[name])
    ]


def _shown(values: dict[str, Json], name: str) -> str:
    return encode(values[name]).decode() if name in values else "nothing"


def _state(place: Path) -> tuple[Version, ...]:
    """The versions of all files at a place; empty where there is none."""
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    return tuple(version_of(file.stat()) for file in files if file.is_file())


def _key_at(place: Path, repository: Repository) -> str | None:
    try:
        return repository.contents.at(place).key
    except FileProblem:
        return None
