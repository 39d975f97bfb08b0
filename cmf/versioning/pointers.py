"""`.dvc` files: the small text files that stand in git for data, written as DVC writes them."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, NamedTuple

from cmf.core.errors import FileProblem

SUFFIX = ".dvc"
_PLAIN = re.compile(r"(?=[A-Za-z_.][A-Za-z0-9_./-]*[A-Za-z])[A-Za-z0-9_./-]+")
"""Names that YAML takes for text as they are, but for some words and what it folds over two lines."""
_AS_NEW = re.compile(
    rb"outs:\n- md5: \w{32}(\.dir)?\n  size: \d+\n(  nfiles: \d+\n)?(  isexec: true\n)?  hash: md5\n  path: \S+\n"
)
_UNFOLDED = 60
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", ".nan", ".inf"})


class Pointed(NamedTuple):
    """The content that a `.dvc` file stands for: its md5 as in keys, its size, of a folder the number of files."""

    md5: str
    size_bytes: int
    files: int | None = None
    executable: bool = False


def pointer(pointed: Pointed, name: str) -> bytes:
    """The text of a new `.dvc` file for the file or folder of this name beside it."""
    out = _told(pointed) | {"path": name}
    if not _PLAIN.fullmatch(name) or name.lower() in _WORDS or len(name) > _UNFOLDED:
        from ruamel.yaml import YAML

        return _dumped(YAML(), {"outs": [out]})
    rows = "\n  ".join(f"{key}: {'true' if value is True else value}" for key, value in out.items())
    return f"outs:\n- {rows}\n".encode()


def changed_pointer(file: Path, text: bytes, pointed: Pointed) -> bytes:
    """The text of a `.dvc` file that is there, made to stand for other content; all else in it stays.

    One that DVC itself has to keep in step with something elsewhere (`dvc import`) is left as it is.

    Raises:
        FileProblem: it is no `.dvc` file.
    """
    if re.search(rf"^\s*-?\s*md5: {re.escape(pointed.md5)}$".encode(), text, re.MULTILINE):
        return text
    name = file.name.removesuffix(SUFFIX)
    if _AS_NEW.fullmatch(text) and f"  path: {name}\n".encode() in text:
        return pointer(pointed, name)
    yaml, document, out = _parse(file, text)
    if "deps" in document:
        return text
    for name in ("nfiles", "isexec"):
        out.pop(name, None)
    out |= _told(pointed)
    document.pop("md5", None)  # DVC's sum of the whole file, in its old form
    return _dumped(yaml, document)


def stands_for(file: Path, text: bytes) -> bool:
    """Whether a `.dvc` file stands for what it is named after, as nearly all do.

    Raises:
        FileProblem: it cannot be read.
    """
    name = file.name.removesuffix(SUFFIX)
    if _AS_NEW.fullmatch(text) and f"  path: {name}\n".encode() in text:
        return True
    _, document, out = _parse(file, text)
    return bool(out["path"] == name and document.get("wdir", ".") == ".")


def _parse(file: Path, text: bytes) -> tuple[Any, Any, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    try:
        document = yaml.load(text)
        out = document["outs"][0]
        if len(document["outs"]) != 1 or not isinstance(out["path"], str):
            raise ValueError("it does not name one output")
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise FileProblem(
            file, f"is no .dvc file that can be read ({_first_line(exc)}); restore it from git, or delete it"
        ) from exc
    return yaml, document, out


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _told(pointed: Pointed) -> dict[str, Any]:
    files = {"nfiles": pointed.files} if pointed.files is not None else {}
    executable = {"isexec": True} if pointed.executable else {}
    return {"md5": pointed.md5, "size": pointed.size_bytes} | files | executable | {"hash": "md5"}


def _dumped(yaml: Any, document: Any) -> bytes:
    written = io.BytesIO()
    yaml.dump(document, written)
    return written.getvalue()
