"""DVC's settings, as far as they matter here: where its cache is, where its remotes are.

Read here and not by DVC's own code, whose import takes longer than most of what cmf does.
"""

from __future__ import annotations

import configparser
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cmf.core.addresses import is_address, without_secrets
from cmf.core.errors import SettingsProblem
from cmf.versioning.cache import CacheSettings

FOLDER = ".dvc"


class RemoteSettings(NamedTuple):
    """A remote by its name in DVC's settings; `url` as it is written in `file`."""

    name: str
    url: str
    file: Path

    @property
    def shown(self) -> str:
        """Its name and address, for people."""
        if is_address(self.url) or self.url.startswith("~"):
            return f"{self.name} ({without_secrets(self.url)})"
        return f"{self.name} ({os.path.normpath(self.file.parent / self.url)})"

    @property
    def id(self) -> str:
        """What tells it from other remotes, also from one that had this name before."""
        return hashlib.sha256("\n".join((self.name, self.url, str(self.file.parent))).encode()).hexdigest()[:16]


def dvc_root(root: Path) -> Path | None:
    """The folder from which DVC looks after a clone: its root, or the nearest above it in the same git repository.

    None: DVC was not set up there.
    """
    in_git = any((folder / ".git").exists() for folder in (root, *root.parents))
    for folder in (root, *root.parents):
        if (folder / FOLDER / "config").is_file():
            return folder
        if (folder / ".git").exists() or not in_git:
            return None
    return None


def cache_settings(root: Path) -> CacheSettings:
    """Where DVC's cache is, and how it is used: system, user's, repository's and local settings, the last counts.

    Raises:
        SettingsProblem: a file of settings cannot be read.
    """
    found = CacheSettings(root / FOLDER / "cache")
    for file, settings in _all(root):
        section = _section(settings, "cache")
        if "dir" in section:
            found = found._replace(folder=(file.parent / Path(section["dir"]).expanduser()).resolve())
        if "type" in section:
            found = found._replace(links=tuple(kind.strip() for kind in section["type"].split(",")))
        if "shared" in section:
            found = found._replace(shared=section["shared"] == "group")
    return found


def remotes(root: Path) -> dict[str, RemoteSettings]:
    """DVC's remotes by their name.

    Raises:
        SettingsProblem: a file of settings cannot be read.
    """
    found: dict[str, RemoteSettings] = {}
    for file, settings in _all(root):
        for title in settings.sections():
            name = title.strip("'").removeprefix("remote ").strip().strip('"').lower()
            if title.strip("'").startswith("remote ") and (url := _section(settings, title).get("url")):
                found[name] = RemoteSettings(name, url, file)
    return found


def default_remote(root: Path) -> str | None:
    """The name of the remote that is used when none is named.

    Raises:
        SettingsProblem: a file of settings cannot be read.
    """
    named = [_section(settings, "core").get("remote") for _, settings in _all(root)]
    return next((name.lower() for name in reversed(named) if name), None)


def _all(root: Path) -> Iterator[tuple[Path, configparser.ConfigParser]]:
    for file in (*_shared_files(), root / FOLDER / "config", root / FOLDER / "config.local"):
        yield file, _parsed(file)


def _shared_files() -> list[Path]:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 (no error without a home)
    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or "/etc/xdg/dvc"
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or Path(home, "dvc")
    return [Path(system, "config"), Path(user, "config")]


def _parsed(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), allow_no_value=True)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, UnicodeDecodeError, configparser.Error) as exc:
        raise SettingsProblem(f"{file}: {exc}") from exc
    return parser


def _section(settings: configparser.ConfigParser, name: str) -> dict[str, str]:
    section = settings[name] if settings.has_section(name) else {}
    return {name: value.strip("\"'") for name, value in section.items() if value}
