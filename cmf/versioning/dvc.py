"""Data versioned with DVC: bytes in its cache, a `.dvc` file in the tree, so that DVC's commands work on the result.

The bytes are hashed, copied and named here, in one pass; DVC's own code is the judge of it in the tests.
"""

from __future__ import annotations

import fcntl
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from cmf import documents
from cmf.core.errors import FileProblem
from cmf.places import KEPT
from cmf.scratch import Scratch
from cmf.versioning.contents import Content, Contents
from cmf.versioning.dvc_config import FOLDER
from cmf.versioning.folders import DataWarning
from cmf.versioning.ignoring import Ignoring
from cmf.versioning.pointers import SUFFIX, Pointed, changed_pointer, pointer, stands_for
from cmf.versioning.ports import CodeVersioning, Versioned

_MAX_NAME_BYTES = 255
_KEPT_IGNORES = b"*\n!*/\n!*.dvc\n!.gitignore\n"
_OWN_FILES = frozenset({"dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore"})


class DvcDataVersioning:
    """See `DataVersioning`. `root` is DVC's."""

    def __init__(self, root: Path, contents: Contents, code: CodeVersioning, scratch: Scratch, lock: Path) -> None:
        self._root = root
        self._contents = contents
        self._code = code
        self._scratch = scratch
        self._lock = lock

    def add(self, path: Path) -> Versioned:
        """See the port. A `.dvc` file is written where DVC would write one: not for what git or another `.dvc` has."""
        whole = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links that users name)
        covering = self._covering(whole)
        file = self._pointer_of(whole) if covering is None else None  # read before anything is kept
        content = self._contents.at(path)
        if covering is not None:
            return Versioned(content, self._brought_up_to_date(covering))
        if file is None:
            return Versioned(content, {})
        if content.pointers:
            return Versioned(content, self._in_commits_only(file, whole, content))
        with self._locked():
            files: dict[Path, bytes | None] = {whole: None, file: self._point(file, whole, content)}
            if not self._code.ignores(whole):
                ignore = whole.with_name(".gitignore")
                files[ignore] = _with_line(ignore, whole.name)
                self._write(ignore, files[ignore] or b"")
        return Versioned(content, files)

    def add_former(self, path: Path, source: Path) -> Versioned:
        """See the port. In the tree its `.dvc` file stands for what is there now."""
        whole = Path(os.path.abspath(path))  # noqa: PTH100
        file = self._pointer_of(whole) if self._covering(whole) is None else None
        content = self._contents.at(source)
        return Versioned(content, self._in_commits_only(file, whole, content) if file is not None else {})

    def keep(self, source: Path, path: Path) -> Versioned:
        """See the port."""
        content = self._contents.at(source)
        files: dict[Path, bytes | None] = {path.with_name(path.name + SUFFIX): pointer(_pointed(content), path.name)}
        for folder in path.parents:
            if folder.name == KEPT:  # where it is checked out, git is to see its .dvc file alone
                files[folder / ".gitignore"] = _KEPT_IGNORES
        return Versioned(content, files)

    def _pointer_of(self, path: Path) -> Path | None:
        """The `.dvc` file that is to stand for what is at a path; None where there is to be none."""
        if not self._may_point(path):
            return None
        if "\n" in path.name:
            _warn(f"{path}: there is no .dvc file for a name with a line break, which no .gitignore can hold")
            return None
        file = path.with_name(path.name + SUFFIX)
        if len(os.fsencode(file.name)) > _MAX_NAME_BYTES:
            _warn(f"{path}: there is no .dvc file for so long a name, to which no file system could add '{SUFFIX}'")
            return None
        if (text := _read(file)) is not None and not stands_for(file, text):
            _warn(f"{file}: stands for something else than its name says, and is left as it is")
            return None
        return file

    def _covering(self, path: Path) -> Path | None:
        """The folder above that has a `.dvc` file, which stands for this path too."""
        above = (folder for folder in path.parents if folder.is_relative_to(self._root) and folder != self._root)
        return next((folder for folder in above if _exists(folder.with_name(folder.name + SUFFIX))), None)

    def _brought_up_to_date(self, folder: Path) -> dict[Path, bytes | None]:
        """The `.dvc` file of a folder, made to stand for what is in it now."""
        file = folder.with_name(folder.name + SUFFIX)
        try:
            text = _read(file)
            if folder.is_symlink() or text is None or not stands_for(file, text):
                return {}
            content = self._contents.at(folder)
            with self._locked():
                return {} if content.pointers else {file: self._point(file, folder, content)}
        except FileProblem as exc:
            _warn(f"{file}: is not brought up to date: {exc}")
            return {}

    def _in_commits_only(self, file: Path, path: Path, content: Content) -> dict[Path, bytes | None]:
        """The files that stand for something in commits, while the tree stays: a folder in which things have `.dvc`
        files of their own, or what a file had in it before.
        """
        ignore = path.with_name(".gitignore")
        return {path: None, file: pointer(_pointed(content), path.name), ignore: _with_line(ignore, path.name)}

    def _may_point(self, path: Path) -> bool:
        if not path.is_relative_to(self._root) or path == self._root:
            return False
        if path.name.endswith(SUFFIX) or path.name in _OWN_FILES:
            return False
        above = [folder for folder in path.parents if folder.is_relative_to(self._root) and folder != self._root]
        if any(folder.name in (".git", FOLDER, ".cmf") for folder in (path, *above)):
            return False
        if any(folder.is_symlink() or _exists(folder / ".git") for folder in above):
            return False  # behind a link; in a submodule, whose commits are its own
        if path.is_symlink() and not _is_object(path):
            return False
        if self._is_left_out(path) or self._is_of_a_pipeline(path):
            return False
        return not self._code.tracks(path)

    def _is_left_out(self, path: Path) -> bool:
        patterns = Ignoring(os.fspath(self._root), None)
        *folders, name = path.relative_to(self._root).parts
        for folder in folders:
            if patterns.leaves_out(folder, True):
                return True
            patterns = patterns.below(folder)
        return patterns.leaves_out(name, path.is_dir())

    def _is_of_a_pipeline(self, path: Path) -> bool:
        """Whether a `dvc.yaml` in a folder above has it, or something it lies in or that lies in it, as an output."""
        for folder in path.parents:
            if not folder.is_relative_to(self._root):
                return False
            with suppress(OSError):
                state = (folder / "dvc.yaml").stat()
                for output in _pipeline_outputs(folder / "dvc.yaml", state.st_mtime_ns, state.st_size):
                    if path == output or output in path.parents or path in output.parents:
                        return True
        return False

    def _point(self, file: Path, path: Path, content: Content) -> bytes:
        before = _read(file)
        new = pointer(_pointed(content), path.name)
        text = new if before is None else changed_pointer(file, before, _pointed(content))
        if text != before:
            self._write(file, text)
        return text

    def _write(self, file: Path, text: bytes) -> None:
        try:
            draft = self._scratch.path()
            draft.write_bytes(text)
            if file.exists():
                draft.chmod(file.stat().st_mode & 0o7777)
            try:
                draft.replace(file)
            except OSError:  # another file system is mounted there
                draft.unlink()
                draft = file.with_name(f".{file.name}.cmf-draft")
                draft.write_bytes(text)
                draft.replace(file)
        except OSError as exc:
            raise FileProblem(
                file,
                f"cannot be written ({exc.strerror or exc}); nothing was recorded. Make the folder writable, or set "
                f"CMF_DATA=none to record without .dvc files",
            ) from exc

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes of the clone in changing files of the tree."""
        file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


@lru_cache(maxsize=64)
def _pipeline_outputs(file: Path, _changed_ns: int, _size: int) -> frozenset[Path]:
    """The outputs of a `dvc.yaml`; of one that DVC itself could not read, none."""
    try:
        document = documents.load(file)
    except FileProblem:
        return frozenset()
    return frozenset(_outputs(file.parent, document))


def _outputs(folder: Path, document: object) -> Iterator[Path]:
    stages = document.get("stages") if isinstance(document, dict) else None
    for stage in (stages or {}).values() if isinstance(stages, dict) else ():
        entry = stage.get("do", stage) if isinstance(stage, dict) else {}
        if not isinstance(entry, dict):
            continue
        base = folder / str(entry.get("wdir", "."))
        for kind in ("outs", "metrics", "plots"):
            outs = entry.get(kind)
            for out in outs if isinstance(outs, list) else ():
                named = next(iter(out), None) if isinstance(out, dict) else out
                if isinstance(named, str):
                    yield Path(os.path.normpath(base / named))


def _pointed(content: Content) -> Pointed:
    files = None if content.names is None else len(content.names)
    return Pointed(content.key.partition(":")[2], content.size_bytes, files, content.executable)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except IsADirectoryError as exc:
        raise FileProblem(
            file,
            f"is a folder where a file of {'git' if file.suffix != SUFFIX else 'DVC'}'s belongs; nothing was recorded. "
            f"Rename the folder, or set CMF_DATA=none to record without such files",
        ) from exc
    except OSError as exc:
        raise FileProblem(file, f"cannot be read ({exc.strerror or exc}); nothing was recorded") from exc


def _with_line(file: Path, name: str) -> bytes:
    """The text of a `.gitignore` that hides a file or folder beside it, too."""
    before, line = _read(file) or b"", b"/" + _escaped(name)
    if line in before.splitlines():
        return before
    return before + (b"" if not before or before.endswith(b"\n") else b"\n") + line + b"\n"


def _warn(told: str) -> None:
    warnings.warn(told, DataWarning, stacklevel=6)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _is_object(path: Path) -> bool:
    """Whether a link is DVC's own, into a cache."""
    return re.search(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$", os.path.realpath(path)) is not None


def _escaped(name: str) -> bytes:
    """A name as a pattern of git that matches itself alone."""
    escaped = re.sub(r"[\\\[\]!*#?]| $", r"\\\g<0>", name)
    return escaped.encode(errors="surrogateescape")
