"""A remote of DVC: objects by their md5 in a folder, a bucket, on a machine. The edge to DVC's own code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cmf.core.addresses import text_without_secrets, without_secrets
from cmf.core.errors import DataRemoteProblem, MissingExtra, ObjectProblem, SettingsProblem
from cmf.journal import ulid
from cmf.versioning.cache import LAYOUT
from cmf.versioning.dvc_config import FOLDER, RemoteSettings, default_remote, remotes

Advance = Callable[[int], None]
"""Told how many bytes more were moved."""

_BLOCK_BYTES = 4 << 20
_WHOLE_OR_NOTHING = frozenset({"s3", "gs", "azure", "abfs", "adl", "oss", "http", "https", "memory"})
"""Protocols in which an upload that breaks off leaves nothing under its name; in others it gets its name last."""


def remote_settings(root: Path | None, name: str | None = None) -> tuple[Path, RemoteSettings]:
    """The folder that DVC looks after, and its remote of this name, or the default one.

    Raises:
        SettingsProblem: DVC was not set up, has no such remote, or no default one.
    """
    if root is None:
        raise SettingsProblem(
            "DVC is not set up here, so there is no place for the bytes of artifacts; "
            "'cmf init --artifacts URL' sets it up with a remote"
        )
    known = remotes(root)
    asked = (name or default_remote(root) or "").lower()
    if not asked:
        others = f"; it has {', '.join(sorted(known))} (say -r NAME)" if known else ""
        raise SettingsProblem(
            f"{root}: DVC has no default remote{others}; "
            f"'cmf init --artifacts URL' or 'dvc remote add -d NAME URL' sets one"
        )
    if asked not in known:
        listed = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise SettingsProblem(f"{root}: DVC has no remote {asked!r}; {listed}; 'dvc remote add {asked} URL' makes one")
    return root, known[asked]


class DvcRemote:
    """The objects of a remote. Threads may share it."""

    def __init__(self, root: Path, settings: RemoteSettings) -> None:
        """Nothing is asked of the remote yet.

        Raises:
            MissingExtra: DVC's packages are not installed.
            DataRemoteProblem: what it says of itself makes no sense, or its kind needs a package of its own.
        """
        self.shown = settings.shown
        self._name = settings.name
        try:
            from dvc.config import Config
            from dvc.fs import get_cloud_fs
            from dvc_data.hashfile.db import get_odb
        except ImportError as exc:
            raise MissingExtra("moving the bytes of artifacts", "dvc") from exc
        with self._translated():
            make, config, path = get_cloud_fs(Config(str(root / FOLDER)), name=settings.name)
            if config.get("version_aware") or config.get("worktree"):
                raise DataRemoteProblem(
                    f"{self.shown}: a remote with versions of its own (version_aware, worktree) does not keep objects "
                    f"by their content; use 'dvc pull' for it, or name another with -r"
                )
            self._fs = make(**config)
            self._objects: Any = get_odb(  # type: ignore[no-untyped-call]
                self._fs, self._fs.join(path, *LAYOUT.parts), hash_name="md5"
            )
            self._folder = Path(path) if self._fs.protocol == "local" else None
            self._made: set[str] = set()

    @property
    def jobs(self) -> int:
        """How many transfers at once its kind bears."""
        return int(self._fs.jobs)

    def among(self, md5s: Collection[str], jobs: int | None = None) -> set[str]:
        """Which of these objects it has.

        Raises:
            DataRemoteProblem: it does not say.
        """
        if not md5s:
            return set()
        with self._translated():
            if self._folder is not None:  # (DVC would read and check each)
                return {md5 for md5 in md5s if Path(self._objects.oid_to_path(md5)).is_file()}
            return set(self._objects.oids_exist(list(md5s), jobs=jobs))

    def send(self, source: Path, md5: str, advance: Advance) -> None:
        """Give it an object; interrupted anywhere, it has it whole or not.

        Raises:
            DataRemoteProblem: it does not take it.
        """
        with self._translated():
            place = self._objects.oid_to_path(md5)
            self._make_folder(self._fs.parent(place))
            if self._folder is not None:
                _copy(source, Path(place), advance)
            elif self._fs.protocol in _WHOLE_OR_NOTHING:
                _moved(self._fs.put_file, str(source), place, source, advance)
            else:
                self._send_and_name(source, place, advance)
            self._objects.protect(place)

    def fetch(self, md5: str, to: Path, advance: Advance) -> None:
        """Bring what it has under a name into a file, unchecked.

        Raises:
            ObjectProblem: it has no such object.
            DataRemoteProblem: it does not give it.
        """
        with self._translated():
            try:
                _moved(self._fs.get_file, self._objects.oid_to_path(md5), str(to), to, advance)
            except FileNotFoundError as exc:
                self.expect_folder()
                raise ObjectProblem(f"{self.shown} has no object {md5}; push it where it was recorded") from exc

    def expect_folder(self) -> None:
        """That a remote that is a folder is there.

        Raises:
            DataRemoteProblem: it is not.
        """
        if self._folder is not None and not self._folder.is_dir():
            raise DataRemoteProblem(f"{self.shown}: there is no such folder; is something not mounted?")

    def expect_answers(self, md5: str) -> None:
        """That a remote behind HTTP, which was found not to have an object, does not merely refuse to say.

        DVC's file system takes every other answer for "is not there".

        Raises:
            DataRemoteProblem: it does, or cannot be reached.
        """
        if self._fs.protocol in ("http", "https"):
            with self._translated(), suppress(FileNotFoundError):
                self._fs.fs.cat_file(self._objects.oid_to_path(md5), start=0, end=1)

    def _make_folder(self, folder: str) -> None:
        if folder not in self._made:
            self._fs.makedirs(folder, exist_ok=True)
            self._made.add(folder)

    def _send_and_name(self, source: Path, place: str, advance: Advance) -> None:
        from dvc_objects.fs.utils import as_atomic

        with as_atomic(self._fs, place) as draft:
            _moved(self._fs.put_file, str(source), draft, source, advance)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Each kind of remote has errors of its own, of packages that may not even be installed."""
        from dvc_objects.fs.errors import RemoteMissingDepsError

        try:
            yield
        except (DataRemoteProblem, ObjectProblem):
            raise
        except RemoteMissingDepsError as exc:
            kind = getattr(exc, "protocol", "")
            raise DataRemoteProblem(
                f"{self.shown}: this kind of remote needs a package that is not installed: pip install 'dvc[{kind}]'"
            ) from exc
        except Exception as exc:
            raise DataRemoteProblem(f"{self.shown}: {_words(exc)}{self._hint(exc)}") from exc

    def _hint(self, error: Exception) -> str:
        if getattr(error, "status", None) not in (401, 403):
            return ""
        return (
            f"; it wants credentials, or others: 'dvc remote modify --local {self._name} auth basic' "
            f"and so on for user and password"
        )


def fetch_address(address: str, to: Path, advance: Advance) -> None:
    """Bring what is at an address into a file, unchecked: with DVC's file systems, so whatever those reach.

    Raises:
        MissingExtra, DataRemoteProblem
    """
    try:
        from dvc.fs import get_cloud_fs
    except ImportError as exc:
        raise MissingExtra("fetching content from elsewhere", "dvc") from exc
    shown = without_secrets(address)
    try:
        make, config, path = get_cloud_fs(None, url=address.removeprefix("file://"))
        _moved(make(**config).get_file, path, str(to), to, advance)
    except FileNotFoundError as exc:
        raise DataRemoteProblem(f"{shown}: nothing is there any more") from exc
    except Exception as exc:  # as above
        raise DataRemoteProblem(f"{shown}: {_words(exc)}") from exc


def _copy(source: Path, place: Path, advance: Advance) -> None:
    """Into a folder, whole or not at all."""
    draft = place.with_name(f".{ulid()}.tmp")
    try:
        with source.open("rb") as bytes_from, draft.open("xb") as bytes_to:
            while block := bytes_from.read(_BLOCK_BYTES):
                bytes_to.write(block)
                advance(len(block))
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def _moved(move: Callable[..., None], start: str, end: str, local: Path, advance: Advance) -> None:
    """Move a file, and tell of its bytes: as they go where the file system says so, else when they are there."""
    from fsspec.callbacks import Callback

    class Told(Callback):  # type: ignore[misc]
        told = 0

        def call(self, *_: object, **__: object) -> None:
            self.told, more = max(self.told, self.value), self.value - self.told
            if more > 0:
                advance(more)

    callback = Told()
    move(start, end, callback=callback)
    advance(max(0, local.stat().st_size - callback.told))


def _words(error: Exception) -> str:
    """What a foreign error says, without what an address in it may hold."""
    said = " ".join(str(error).split()) or type(error).__name__
    with suppress(AttributeError):
        said = error.strerror or said  # type: ignore[attr-defined]
    return text_without_secrets(said)
