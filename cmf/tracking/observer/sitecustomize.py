"""Tells `cmf run --auto` which files of the repository this Python opens, renames and deletes.

Python imports a module of this name when it starts, from the first folder of the path, and this folder is put there.
So it runs in the program's own Python, of any version from 3.8 and any environment: it imports nothing but what is
loaded anyway, and touches nothing of the program's.

What it sees it appends, once for each file, to one log that all processes of a run share. A record is four fields,
each ended by a NUL: what happened, the path, the state of the file then (see `_state`), and one thing more.

    p                   a Python started
    r  path state       it opens a file to read
    w  path state       it opens a file to write, or gives a file this name
    k  path state md5   a file that was read is about to be changed or deleted: this was its content
    m  path - source    a folder gets a new name

Of what a `k` tells of, a copy is left beside the log under its md5, as long as all of them have room (`_ROOM_BYTES`).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's own is not loaded for this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ORDER = "CMF_OBSERVE"
"""The variable that holds, a line each, the log, the repository's root, and another path to that, perhaps empty."""

_SKIPPED = ("/.git/", "/.dvc/", "/.cmf/", "/__pycache__/", "/site-packages/", "/dist-packages/")
_MAY_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ROOM_BYTES = 256 << 20
"""What the log and all copies beside it may have together: a run is not to fill the disk because it is watched."""
_NO_CONTENT = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)


class Observer:
    """Looks at the events of this process; a forked child goes on where its parent was."""

    def __init__(self, log: str, root: str, alias: str) -> None:
        from _thread import _local, get_ident

        self._log = log
        self._folder = log.rpartition("/")[0]
        self._thread = get_ident
        self._root = root.rstrip("/") + "/"
        self._alias = alias and alias.rstrip("/") + "/"
        self._seen: set[tuple[str, str]] = set()
        self._here = _local()
        self._complained = False
        prefixes = {prefix.rstrip("/") + "/" for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
        self._environments = tuple(p for p in prefixes if p.startswith(self._root) and p != self._root)
        self._events: dict[str, Callable[..., None]] = {
            "open": self._open,
            "os.rename": self._rename,
            "os.remove": self._remove,
            "os.truncate": self._truncate,
            "os.link": self._link,
            "os.symlink": self._link,
        }

    def start(self) -> None:
        """From here on every event is looked at, until the process ends."""
        self._tell("p", sys.executable or "python")
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        look = self._events.get(event)
        if look is None or getattr(self._here, "busy", False):
            return
        self._here.busy = True  # what is done here are events too
        try:
            look(*args)
        except FileNotFoundError:
            pass  # the file, or the log of a run that has ended without this process
        except Exception as exc:  # a program is never to fail because it is watched
            self._complain(exc)
        finally:
            self._here.busy = False

    def _open(self, path: Any, mode: object, flags: int) -> None:
        if isinstance(path, int) or flags & _NO_CONTENT:
            return
        whole = self._inside(path)
        if whole is None:
            return
        writes = flags & _MAY_WRITE
        if not writes or (flags & os.O_RDWR and not flags & os.O_TRUNC):
            self._read(whole)
        if writes:
            self._write(whole)

    def _rename(self, source: Any, target: Any, source_folder: int, target_folder: int) -> None:
        before, after = self._inside(source, source_folder), self._inside(target, target_folder)
        if before is not None:
            self._keep(before)
        if after is None:
            return
        if before is not None and os.path.isdir(before):  # noqa: PTH112 (pathlib may not be loaded)
            self._tell("m", after, "", before)
        else:
            self._write(after)
        self._seen.clear()  # what the names stand for from now on has not been seen yet

    def _remove(self, path: Any, folder: int = -1) -> None:
        whole = self._inside(path, folder)
        if whole is not None:
            self._keep(whole)
            self._seen.difference_update([("r", whole), ("w", whole)])

    def _truncate(self, path: Any, length: int) -> None:
        whole = None if isinstance(path, int) else self._inside(path)
        if whole is not None:
            self._read(whole)
            self._write(whole)

    def _link(self, source: Any, target: Any, *folders: int) -> None:
        whole = self._inside(target, folders[-1] if folders else -1)
        if whole is not None:
            self._write(whole)

    def _read(self, path: str) -> None:
        if ("r", path) not in self._seen:
            state = _state(path)
            if state:
                self._seen.add(("r", path))
                self._tell("r", path, state)

    def _write(self, path: str) -> None:
        if ("w", path) not in self._seen:
            self._keep(path)
            self._seen.add(("w", path))
            self._tell("w", path, _state(path))

    def _keep(self, path: str) -> None:
        """Tell the content of a file that a process of this run has read, before it changes."""
        state = _state(path)
        if not state:
            return
        with open(self._log, "rb") as log:  # noqa: PTH123
            told = log.read()
        name = b"\0" + os.fsencode(path) + b"\0"
        if b"\0r" + name in told and b"\0k" + name not in told and b"\0w" + name not in told:
            self._tell("k", path, state, self._kept(path))

    def _kept(self, path: str) -> str:
        """The md5 of a file, of which a copy is left if there is room for one."""
        copy = f"{self._folder}/{os.getpid()}-{self._thread()}"
        try:
            if _size(path) + sum(_size(entry.path) for entry in os.scandir(self._folder)) <= _ROOM_BYTES:
                _copy(path, copy)
                md5 = _md5(copy)
                os.replace(copy, f"{self._folder}/{md5}")  # noqa: PTH105
                return md5
        except OSError:  # the disk is full, say: then it is told without a copy
            try:  # noqa: SIM105 (contextlib may not be loaded)
                os.remove(copy)  # noqa: PTH107
            except OSError:
                pass
        return _md5(path)

    def _inside(self, path: Any, folder: int = -1) -> str | None:
        """The whole path of what lies in the repository and is the program's own; None of everything else."""
        text = os.fsdecode(path)
        if not text.startswith("/"):
            below = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH109, PTH115
            text = below + "/" + text
        if "//" in text or "/." in text:
            text = os.path.normpath(text)
        if self._alias and text.startswith(self._alias):
            text = self._root + text[len(self._alias) :]
        if not text.startswith(self._root) or text.startswith(self._environments):
            return None
        for part in _SKIPPED:
            if part in text:
                return None
        return text

    def _complain(self, problem: Exception) -> None:
        if not self._complained:
            self._complained = True
            sys.stderr.write(f"cmf: note: not all files that this program uses are seen: {problem}\n")

    def _tell(self, kind: str, path: str, state: str = "", more: str = "") -> None:
        # Opened each time: a program may close every file there is, and give the number to one of its own. Told in
        # one write behind the end of the file, so records of several processes do not mix; the first NUL ends nothing.
        record = os.fsencode("\0".join((kind, path, state, more, "")))
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
        try:
            os.write(log, record)
        finally:
            os.close(log)


def _state(path: str) -> str:
    """What changes when a file is written, last what also changes without that; empty where there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return ""
    is_file = found.st_mode & 0o170000 == 0o100000
    return f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}:{found.st_ctime_ns}" if is_file else ""


def _size(path: str) -> int:
    """The size of a file; none where it has just gone."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0


def _copy(path: str, copy: str) -> None:
    with open(path, "rb") as file, open(copy, "wb") as to:  # noqa: PTH123
        for block in iter(lambda: file.read(1 << 20), b""):
            to.write(block)
    os.chmod(copy, os.stat(path).st_mode & 0o777 | 0o600)  # noqa: PTH101, PTH116 (a program may be, and stays one)


def _md5(path: str) -> str:
    import hashlib

    # The identity of content, as DVC has it; Python 3.8 knows no such keyword.
    digest = hashlib.new("md5", **({"usedforsecurity": False} if sys.version_info >= (3, 9) else {}))  # type: ignore[arg-type]  # noqa: S324
    with open(path, "rb") as file:  # noqa: PTH123
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _start() -> None:
    order = os.environ.get(_ORDER, "").split("\n")
    if len(order) == 3 and hasattr(sys, "addaudithook") and os.path.exists(order[0]):  # noqa: PTH110
        try:
            Observer(*order).start()
        except Exception as exc:
            sys.stderr.write(f"cmf: note: this Python is not observed: {exc}\n")


def _go_on() -> None:
    """Import the module of this name that would have been imported without us, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [folder for folder in sys.path if folder != here]
    ours = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as exc:
        if getattr(exc, "name", None) != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault(__name__, ours)


if __name__ == "sitecustomize":
    _start()
    _go_on()
