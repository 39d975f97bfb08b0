"""Pull: the objects of artifacts into the cache, checked as they arrive, and from there into the working tree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cmf.artifacts.moving import Progress, each, quiet, reason
from cmf.artifacts.places import Wanted, is_in_tree, is_kept
from cmf.core.errors import DataRemoteProblem, FileProblem, ObjectProblem
from cmf.core.identity import folder_sha256
from cmf.places import KEPT
from cmf.repository import Repository
from cmf.versioning.cache import Cache
from cmf.versioning.checkout import Checkout
from cmf.versioning.content import read_file
from cmf.versioning.contents import Contents
from cmf.versioning.dvc_remote import DvcRemote, fetch_address, remote_settings
from cmf.versioning.manifests import check_place, parse_manifest, steers


class Pulled(NamedTuple):
    """What a pull did: objects and bytes fetched, from which remote (None: there was no need of one), the paths put
    into the tree, and those that were as they should be.

    `elsewhere` are artifacts whose bytes no DVC remote keeps, though nobody named them, `problems` those that could
    not be pulled: each by what it is called, with why.
    """

    remote: str | None
    objects: int
    size_bytes: int
    placed: tuple[str, ...]
    unchanged: tuple[str, ...]
    elsewhere: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()


def pull(
    repository: Repository,
    wanted: Sequence[Wanted],
    remote: str | None = None,
    *,
    checkout: bool = True,
    force: bool = False,
    jobs: int | None = None,
    progress: Progress = quiet,
) -> Pulled:
    """Bring artifacts into the cache, and each to its path in the working tree unless there is to be no `checkout`.

    What was changed in the tree and is in no cache is left as it is, unless `force`. `remote` is its name in DVC's
    settings, None the default one; where everything is in the cache, none is needed.

    Raises:
        SettingsProblem: a remote is needed, and DVC was not set up or has none.
        DataRemoteProblem: the remote cannot be used.
    """
    fetching = _Fetching(repository, remote, jobs, progress)
    told = _Told({}, [])
    objects = [one for one in wanted if one.md5 is not None]
    told.without_bytes(one for one in wanted if one.md5 is None)
    told.problems.update(fetching.bring([(one, str(one.md5)) for one in objects]))
    files: dict[Wanted, Mapping[str, str]] = {}
    for one in objects:
        if one.is_folder and one not in told.problems:
            with told.about(one):
                files[one] = fetching.manifest(str(one.md5))
    told.problems.update(fetching.bring([(one, md5) for one, listed in files.items() for md5 in listed.values()]))
    told.problems.update(_disproved(repository.cache, files, told.problems, fetching.fetched))
    whole = [one for one in objects if one not in told.problems]
    placed, unchanged = _place(repository, whole, files, told, force=force) if checkout else ([], [])
    return Pulled(
        fetching.used,
        len(fetching.fetched),
        sum(fetching.fetched.values()),
        tuple(placed),
        tuple(unchanged),
        tuple(told.elsewhere),
        tuple((one.shown, problem) for one, problem in told.problems.items()),
    )


def fetch(repository: Repository, one: Wanted, *, force: bool = False, progress: Progress = quiet) -> Pulled:
    """Bring content that is elsewhere from its address to its path in the tree, where its version proves it.

    Raises:
        MissingExtra, DataRemoteProblem, ObjectProblem, FileProblem: nothing was put there.
    """
    assert one.address is not None and one.path is not None
    check_place(one.path)  # before anything is fetched
    algorithm, _, digest = one.key.partition(":")
    if algorithm not in _PROVING:
        raise ObjectProblem(
            f"{one.key} is no digest that can be checked here, so what {one.address} gives now cannot be told from "
            f"what was used; fetch it by hand if that is what you want"
        )
    draft = repository.scratch.path()
    try:
        fetch_address(one.address, draft, progress)
        found = _digest(draft, algorithm)
        if found != digest:
            raise ObjectProblem(f"{one.address} has other content now: its {algorithm} is {found}, not {digest}")
        md5, size = (digests := read_file(draft, sha256=False)[0]).md5, digests.size_bytes
        repository.cache.receive(md5, lambda to: _move(draft, to), sha256=False)
    finally:
        draft.unlink(missing_ok=True)
    tree = Checkout(repository.root, repository.cache, _contents(repository), repository.scratch)
    changes = tree.compare(one.path, f"md5:{md5}", None, force=force)
    tree.apply(changes)
    paths = (one.path,)
    return Pulled(one.address, 1, size, paths if changes else (), () if changes else paths)


class _Told(NamedTuple):
    """What has to be told of artifacts: as in `Pulled`."""

    problems: dict[Wanted, str]
    elsewhere: list[tuple[str, str]]

    def without_bytes(self, of: Iterable[Wanted]) -> None:
        """Tell of those whose bytes no remote has."""
        for one in of:
            if one.is_named:
                self.problems[one] = _why_none(one)
            elif not one.is_record:
                self.elsewhere.append((one.shown, _why_none(one)))

    @contextmanager
    def about(self, one: Wanted) -> Iterator[None]:
        """What goes wrong is told of an artifact, and the others are gone on with."""
        try:
            yield
        except (ObjectProblem, FileProblem) as exc:
            self.problems[one] = reason(exc, one.shown)


def _place(
    repository: Repository,
    whole: Sequence[Wanted],
    files: Mapping[Wanted, Mapping[str, str]],
    told: _Told,
    *,
    force: bool,
) -> tuple[list[str], list[str]]:
    """Put artifacts whose objects are all in the cache into the tree; → the paths put there, and those unchanged."""
    tree = Checkout(repository.root, repository.cache, _contents(repository), repository.scratch)
    placed: list[str] = []
    unchanged: list[str] = []
    for one in whole:
        if one.path is None:
            continue
        if not one.is_named and not is_in_tree(one.path):
            told.elsewhere.append((one.path, "is no place in the working tree; its bytes are in the cache only"))
            continue
        if not one.is_named and steers(one.path):
            told.elsewhere.append((one.path, "steers git or DVC; it is put in place only when asked for itself"))
            continue
        with told.about(one):
            changes = tree.compare(one.path, one.key, files.get(one), force=force)
            if is_kept(one.path) and not repository.code.ignores(repository.root / one.path):
                tree.hide(KEPT)  # recording left nothing of it in the tree, so it is not to show up there as new
            tree.apply(changes, executable=not one.is_folder and tree.is_executable(one.path, one.key))
            (placed if changes else unchanged).append(one.path)
    return placed, unchanged


_PROVING = frozenset({"md5", "sha1", "sha256", "sha512"})


class _Fetching:
    """Brings what the cache lacks from a remote, which is opened when something does."""

    def __init__(self, repository: Repository, name: str | None, jobs: int | None, progress: Progress) -> None:
        self._repository = repository
        self._cache = repository.cache
        self._name = name
        self._jobs = jobs
        self._progress = progress
        self._remote: DvcRemote | None = None
        self.fetched: dict[str, int] = {}
        """The sizes of what was fetched."""

    @property
    def used(self) -> str | None:
        """The remote that was needed."""
        return self._remote.shown if self._remote else None

    def bring(self, objects: Sequence[tuple[Wanted, str]]) -> dict[Wanted, str]:
        """Bring objects, each for an artifact; → what is wrong with the artifacts whose object cannot be had."""
        lacking = {md5 for _, md5 in objects if not self._cache.has(md5)}
        if not lacking:
            return {}
        if self._remote is None:
            self._remote = DvcRemote(*remote_settings(self._repository.dvc_root, self._name))
        sha256s = {md5: one.sha256 for one, md5 in objects if not one.is_folder}
        remote = self._remote

        def fetch(md5: str, told: Progress) -> None:
            def bring(draft: Path) -> None:
                remote.fetch(md5, draft, told)
                _expect_sha256(draft, sha256s.get(md5))
                if md5.endswith(".dir"):
                    parse_manifest(draft.read_bytes(), md5)  # one that says what it must not is not even kept

            self.fetched[md5] = self._cache.receive(md5, bring, sha256=False).size_bytes

        problems = each(sorted(lacking), fetch, self._jobs or remote.jobs, self._progress)
        return {one: problems[md5] for one, md5 in objects if md5 in problems}

    def manifest(self, md5: str) -> Mapping[str, str]:
        """The files of a folder."""
        return parse_manifest(self._cache.path(md5).read_bytes(), md5)


def _expect_sha256(file: Path, sha256: str | None) -> None:
    if sha256 is not None and (found := _digest(file, "sha256")) != sha256:
        raise ObjectProblem(
            f"its bytes have another sha256 than was recorded: {found}, not {sha256}; they are not kept"
        )


def _disproved(
    cache: Cache,
    files: Mapping[Wanted, Mapping[str, str]],
    problems: Mapping[Wanted, str],
    fetched: Mapping[str, int],
) -> dict[Wanted, str]:
    """The folders of which something was fetched and whose sha256 is another than was recorded."""
    found: dict[Wanted, str] = {}
    for one, listed in files.items():
        if one in problems or one.sha256 is None or not fetched.keys() & {one.md5, *listed.values()}:
            continue
        if folder_sha256((name, _digest(cache.path(md5), "sha256")) for name, md5 in listed.items()) != one.sha256:
            found[one] = "its files have another sha256 than was recorded; they are not put into the tree"
    return found


def _digest(file: Path, algorithm: str) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as exc:
        raise DataRemoteProblem(f"{file}: {exc.strerror or exc}") from exc


def _move(draft: Path, to: Path) -> None:
    import shutil

    shutil.move(draft, to)


def _contents(repository: Repository) -> Contents:
    return Contents(repository.states, root=repository.dvc_root)


def _why_none(one: Wanted) -> str:
    if one.address is not None:
        return (
            f"its bytes are not ours, they are at {one.address}; "
            f"'cmf artifacts pull {one.key[:24]} --output FILE' fetches and checks them"
        )
    if one.is_record:
        return f"is a record of values, without bytes; 'cmf show {one.key[:24]}' prints it"
    return f"{one.key} is no content that a DVC remote keeps"
