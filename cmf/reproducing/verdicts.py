"""What a re-run made, beside what was recorded: which outputs are the same, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from cmf.core.errors import FileProblem
from cmf.core.model import ArtifactType, Execution
from cmf.core.recipe import Item, Recipe
from cmf.core.store import Filters
from cmf.core.values import Json, encode
from cmf.places import KEPT
from cmf.questions import Query, StoreSource
from cmf.repository import Repository
from cmf.reproducing.placing import Refused, place_in
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
    places = ((item.path, place_in(base, item.path)) for item in recipe.outputs)
    return {path: state for path, place in places if isinstance(place, Path) and (state := _state(place))}


def compare(recipe: Recipe, again: list[Recipe], repository: Repository, before: Before) -> list[Verdict]:
    """Each recorded output beside what the re-run made of it, in the tree or in its own records (`again`)."""
    made = {item.path: item for run in reversed(again) for item in run.outputs}
    return [
        _unrecorded(item) if not again and _is_record(item) else _verdict(item, made.get(item.path), repository, before)
        for item in recipe.outputs
    ]


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
    place = place_in(repository.root, item.path)
    if item.md5 is None or isinstance(place, Refused):
        why = place.why if isinstance(place, Refused) else "its content is not in the tree"
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
    changed = list(_changes(item.values or {}, made.values or {}))
    judgement: Judgement = "differs" if changed else "identical"
    return Verdict(path=item.path, recorded=item.key, found=made.key, judgement=judgement, why=", ".join(changed))


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
