"""The environment that a program runs in: interpreter, platform, distributions, container; found in this process.

Equal environments are equal bytes, on one machine and across machines: no host's name, no path, no kernel's build.
"""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import FileProblem
from cmf.core.values import Json, canonical
from cmf.scratch import Scratch
from cmf.versioning.distributions import installed
from cmf.versioning.ports import DataVersioning, Versioned
from cmf.versioning.states import TICK_NS

NAME = "environment.json"

IMAGE_VARIABLES = (
    "CONTAINER_IMAGE",
    "DOCKER_IMAGE",
    "CI_JOB_IMAGE",
    "APPTAINER_CONTAINER",
    "SINGULARITY_CONTAINER",
)
"""What names a container's image, where its makers or users say it; the first that is set counts."""


class EnvironmentWarning(UserWarning):
    """An execution was recorded without the environment that it ran in: it could not be kept."""


class Environment(NamedTuple):
    """An environment as it is kept, and what of it stands in the graph."""

    text: bytes
    properties: Mapping[str, Json]


class KeptEnvironment(NamedTuple):
    """An environment that is kept, with what of it stands in the graph."""

    versioned: Versioned
    properties: Mapping[str, Json]


class Environments:
    """The environment of this process, kept once; looked at again when something was installed."""

    def __init__(self, data: DataVersioning, scratch: Scratch, place: Path) -> None:
        self._data = data
        self._scratch = scratch
        self._place = place
        self._last: tuple[Environment, KeptEnvironment] | None = None

    def now(self) -> KeptEnvironment | None:
        """The environment as it is now; None, with a warning, where it cannot be kept."""
        found, last = environment(), self._last
        if last is None or last[0] is not found:
            try:
                last = self._last = (found, KeptEnvironment(self._keep(found.text), found.properties))
            except (OSError, FileProblem) as exc:
                warnings.warn(f"a run is recorded without its environment: {exc}", EnvironmentWarning, stacklevel=6)
                return None
        return last[1]

    def _keep(self, text: bytes) -> Versioned:
        draft = self._scratch.path()
        try:
            draft.write_bytes(text)
            return self._data.keep(draft, self._place / NAME)
        finally:
            draft.unlink(missing_ok=True)


_State = tuple[tuple[str, int], ...]
_known: tuple[_State, Environment] | None = None


def environment() -> Environment:
    """The environment of this process. While no folder of the search path changes, it is the same."""
    global _known
    known, now_ns = _known, time.time_ns()
    state = _state()
    if known is not None and known[0] == state:
        return known[1]
    found = _found()
    if known is not None and known[1].text == found.text:
        found = known[1]
    if all(now_ns - changed_ns > TICK_NS for _, changed_ns in state):  # a second change would show
        _known = (state, found)
    return found


def _state() -> _State:
    """The folders from which it is found, each with the time of its last change."""
    found = []
    for entry in (*_path(), os.path.join(sys.prefix, "conda-meta")):
        try:
            found.append((entry, os.stat(entry or ".").st_mtime_ns))
        except (OSError, ValueError):
            continue
    return tuple(found)


def _path() -> list[str]:
    """The search path, without what is no text there and is skipped by an import too."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def _found() -> Environment:
    distributions = installed(_path())
    python: dict[str, Json] = {
        "version": sys.version.split()[0],
        "implementation": sys.implementation.name,
        "prefix": _prefix(),
    }
    found: dict[str, Json] = {
        "rule": "environment/1",
        "python": python,
        "platform": _platform(),
        "distributions": distributions,
        **_told("conda", _conda()),
        **_told("container", _container()),
    }
    properties: dict[str, Json] = {
        "python": f"{sys.implementation.name} {python['version']}",
        "platform": " ".join(map(str, _platform().values())),
        "distribution_count": len(distributions),
        "distributions": distributions,
        **_told("conda", _conda().get("name")),
        **_told("container", " ".join(map(str, _container().values()))),
    }
    return Environment(canonical(found), properties)


def _prefix() -> str:
    """What kind of installation the interpreter is."""
    if sys.prefix != sys.base_prefix:
        return "venv"
    return "conda" if Path(sys.prefix, "conda-meta").is_dir() else "system"


def _platform() -> dict[str, Json]:
    """The platform, as far as results depend on it: not the kernel, which a machine changes under them all."""
    system, _, _, _, machine = os.uname()
    return {"system": system, **_told("os", _operating_system()), **_told("libc", _libc()), "machine": machine}


def _operating_system() -> str | None:
    if sys.platform == "darwin":
        import platform

        return platform.mac_ver()[0] or None
    try:
        told = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = {name: value.strip("\"'") for name, value in re.findall(r"^(ID|VERSION_ID)=(.*)$", told, re.MULTILINE)}
    return " ".join(filter(None, (fields.get("ID"), fields.get("VERSION_ID")))) or None


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):  # of another maker, which tells no version
        return None


def _conda() -> dict[str, Json]:
    """The conda environment of the interpreter, with what it has beside distributions: compilers, CUDA, BLAS."""
    try:
        names = os.listdir(os.path.join(sys.prefix, "conda-meta"))
    except OSError:
        return {}
    name = os.environ.get("CONDA_DEFAULT_ENV", "")
    packages: dict[str, Json] = {}
    for file in names:
        if file.endswith(".json") and file.count("-") >= 2:
            package, version, build = file.removesuffix(".json").rsplit("-", 2)
            packages[package] = f"{version}={build}"
    # One that is activated by its folder is named by that, which differs between users.
    return {**_told("name", None if os.sep in name else name), "packages": packages}


def _container() -> dict[str, Json]:
    """The container, by what is known of its image."""
    podman = _podman()
    image = next(filter(None, map(os.environ.get, IMAGE_VARIABLES)), None) or podman.get("image")
    if image and image.startswith("/"):  # the file that it was started from
        image = os.path.basename(image)
    runtime = "podman" if podman else "docker" if os.path.exists("/.dockerenv") else None
    return {**_told("runtime", runtime), **_told("image", image), **_told("image_id", podman.get("imageid"))}


def _podman() -> dict[str, str]:
    try:
        told = Path("/run/.containerenv").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {"engine": "podman", **dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', told, re.MULTILINE))}


def _told(name: str, value: Json) -> dict[str, Json]:
    return {name: value} if value else {}
