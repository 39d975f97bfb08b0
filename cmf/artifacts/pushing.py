"""Push: the objects of what was recorded here, to a remote that lacks them.

What a remote was given is noted in `.cmf/pushed/<remote>.json`: how far each segment of the journal was dealt with.
So a push costs by what was recorded since the last one. The note may be deleted; then the remote is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from cmf import journal
from cmf.artifacts.moving import Progress, each, quiet, reason
from cmf.core.errors import CorruptRecord, FileProblem, ObjectProblem
from cmf.core.operations import PutUse
from cmf.core.records import parse_record
from cmf.core.store import Head
from cmf.repository import Repository
from cmf.versioning.cache import Cache, CacheSettings
from cmf.versioning.content import read_file
from cmf.versioning.contents import Contents
from cmf.versioning.dvc_config import RemoteSettings
from cmf.versioning.dvc_remote import DvcRemote, remote_settings
from cmf.versioning.manifests import check_place, parse_manifest


class Pushed(NamedTuple):
    """What a push did: objects and bytes sent, to which remote; the paths of what it could not send, and why.

    `lost` counts what earlier pushes could not send, and told, and what is in no cache still.
    """

    remote: str
    objects: int
    size_bytes: int
    problems: tuple[tuple[str, str], ...] = ()
    lost: int = 0


class _Note(msgspec.Struct):
    """How far each segment was dealt with, and what could not be sent: paths by md5."""

    remote: str
    segments: dict[str, Head] = {}
    waiting: dict[str, str] = {}


class _Plan(NamedTuple):
    """What to send: first the files, then the manifests of folders (with their files), and what cannot be sent."""

    files: list[str]
    folders: dict[str, set[str]]
    problems: dict[str, str]


_NOT_KEPT = "its bytes are not in the cache"


def push(
    repository: Repository,
    remote: str | None = None,
    *,
    jobs: int | None = None,
    recheck: bool = False,
    total: Progress = quiet,
    progress: Progress = quiet,
) -> Pushed:
    """Send the objects of the artifacts that were used here and that the remote lacks.

    `remote` is its name in DVC's settings, None the default one. With `recheck` it is asked for everything again.
    `total` is told once how many bytes there are to send. Interrupted anywhere, the next push goes on from there.

    Raises:
        SettingsProblem: DVC was not set up, or has no such remote.
        DataRemoteProblem: the remote cannot be used.
        CorruptRecord: a line of the journal is damaged; all that is named elsewhere was sent.
    """
    root, settings = remote_settings(repository.dvc_root, remote)
    file = repository.folder / "pushed" / f"{settings.id}.json"
    note = _Note(settings.name) if recheck else _read(file, settings)
    is_known = bool(note.segments)
    used, damage = _news(repository, note)
    again = {md5: path for md5, path in note.waiting.items() if recheck or is_whole(repository.cache, md5)}
    wanted = again | used
    lost = {md5: path for md5, path in note.waiting.items() if md5 not in wanted}
    sent: dict[str, int] = {}
    problems: dict[str, str] = {}
    if wanted:
        there = DvcRemote(root, settings)
        if is_known:  # it was given something before: an empty place of that name is not it
            there.expect_folder()
        sent, problems = _send(there, _Objects(repository), wanted, jobs, total, progress)
    note.waiting = lost | {md5: wanted[md5] for md5 in problems}
    _write(repository, file, note)
    if damage:
        raise damage
    told = tuple(sorted((wanted[md5], problem) for md5, problem in problems.items()))
    return Pushed(settings.shown, len(sent), sum(sent.values()), told, len(lost))


def _news(repository: Repository, note: _Note) -> tuple[dict[str, str], CorruptRecord | None]:
    """What was used since the last push: paths by md5. The note is taken forward to the journal's end."""
    found: dict[str, str] = {}
    damage: CorruptRecord | None = None
    for segment in repository.segments:
        head = note.segments.get(segment.name, journal.START)
        if segment.path.stat().st_size == head.offset:
            continue
        if head.offset and journal.sum_before(segment.path, head.offset) != head.sum:
            head = journal.START
        try:
            for line, after in journal.read(segment.path, head):
                if after.sequence > 0 and b'"PutUse"' in line and (use := _use(line)):
                    found[use.artifact.partition(":")[2]] = use.path
                note.segments[segment.name] = after
        except CorruptRecord as exc:
            damage = damage or exc
    return found, damage


def _use(line: bytes) -> PutUse | None:
    """The use that a line tells of, if it is of content that is kept."""
    use = parse_record(line).op
    return use if isinstance(use, PutUse) and use.artifact.startswith("md5:") and use.url is None else None


def _send(
    remote: DvcRemote,
    objects: _Objects,
    wanted: Mapping[str, str],
    jobs: int | None,
    total: Progress,
    progress: Progress,
) -> tuple[dict[str, int], dict[str, str]]:
    """Send what the remote lacks; → the sizes of the objects sent, and what is wrong with those that were not."""
    plan = _plan(remote, objects, wanted, jobs)
    sizes = {md5: objects.path(md5).stat().st_size for md5 in (*plan.files, *plan.folders)}
    total(sum(sizes.values()))

    def send(md5: str, told: Progress) -> None:
        objects.check(md5)
        remote.send(objects.path(md5), md5, told)

    failed = each(plan.files, send, jobs or remote.jobs, progress)
    whole = []
    for folder, files in plan.folders.items():
        if lost := failed.keys() & files:
            plan.problems[folder] = failed[min(lost)]
        else:
            whole.append(folder)
    failed |= each(whole, send, jobs or remote.jobs, progress)
    problems = {md5: problem for md5, problem in (plan.problems | failed).items() if md5 in wanted}
    return {md5: sizes[md5] for md5 in (*plan.files, *whole) if md5 not in failed}, problems


def _plan(remote: DvcRemote, objects: _Objects, wanted: Mapping[str, str], jobs: int | None) -> _Plan:
    plan = _Plan([], {}, {})
    for md5 in wanted.keys() - remote.among(wanted, jobs):
        try:
            objects.expect(md5, wanted[md5])
            if md5.endswith(".dir"):
                plan.folders[md5] = objects.files(md5)
            else:
                plan.files.append(md5)
        except (ObjectProblem, FileProblem) as exc:
            plan.problems[md5] = reason(exc, wanted[md5])
    files = set().union(*plan.folders.values()) - set(plan.files)
    files -= remote.among(files, jobs)
    missing = {md5 for md5 in files if not objects.has(md5)}
    plan.files.extend(sorted(files - missing))
    for folder in [folder for folder, listed in plan.folders.items() if listed & missing]:
        listed = plan.folders.pop(folder)
        plan.problems[folder] = f"{_NOT_KEPT}: {len(listed & missing)} of {len(listed)} files of the folder"
    return plan


def is_whole(cache: Cache, md5: str) -> bool:
    """Whether a cache has an object, and of a folder all its files."""
    if not cache.has(md5) or not md5.endswith(".dir"):
        return cache.has(md5)
    try:
        return all(map(cache.has, parse_manifest(cache.path(md5).read_bytes(), md5).values()))
    except (ObjectProblem, FileProblem):
        return False


class _Objects:
    """The objects of a clone's cache."""

    def __init__(self, repository: Repository) -> None:
        self._root = repository.root
        self._before = Cache(CacheSettings(repository.folder / "cache"))
        self._found = Contents(repository.states, root=repository.dvc_root)
        self._keeping = Contents(repository.states, repository.cache, root=repository.dvc_root)
        self.path = repository.cache.path
        self.has = repository.cache.has

    def expect(self, md5: str, path: str) -> None:
        """That an object is here.

        One recorded before DVC was set up is taken from the tree, if it is still there, or from where cmf kept its own.
        """
        if self.has(md5):
            return
        with suppress(FileProblem):
            if (kept := self._before.path(md5)).is_file():
                self._keeping.at(kept)
            check_place(path)
            if self._found.at(self._root / path).key == f"md5:{md5}":
                self._keeping.at(self._root / path)
        if not self.has(md5):
            raise ObjectProblem(_NOT_KEPT)

    def files(self, md5: str) -> set[str]:
        """The objects of a folder's files."""
        return set(parse_manifest(self.path(md5).read_bytes(), md5).values())

    def check(self, md5: str) -> None:
        """That an object is what its name says: one that can be written may have been, through a link in the tree."""
        place = self.path(md5)
        if place.stat().st_mode & 0o222 and read_file(place, sha256=False)[0].md5 != md5.removesuffix(".dir"):
            raise ObjectProblem(f"its object in the cache was changed; delete {place}, and record it again")


def _read(file: Path, settings: RemoteSettings) -> _Note:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Note)
    except (OSError, msgspec.DecodeError):  # then the remote is asked
        return _Note(settings.name)


def _write(repository: Repository, file: Path, note: _Note) -> None:
    """Keep the note. Without it the next push asks the remote again, which costs time and nothing else."""
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        draft = repository.scratch.path()
        draft.write_bytes(msgspec.json.encode(note))
        draft.replace(file)
