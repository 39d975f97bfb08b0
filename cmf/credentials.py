"""The tokens that `cmf login` keeps, one for each server: in the user's keyring, or a file of the user's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import urlsplit

import msgspec

from cmf import private_files
from cmf.core.errors import SettingsProblem

_SERVICE: Final = "cmf"
_PORTS: Final = {"http": 80, "https": 443}


def tokens_file() -> Path:
    """The file of the tokens (`XDG_CONFIG_HOME`)."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder, "cmf", "tokens.json")


def kept_token(url: str) -> str | None:
    """The token that is kept for this server.

    Raises:
        SettingsProblem: the file is damaged, or others may read it.
    """
    file = tokens_file()
    server = _server(url)
    kept = _read(file)
    if server not in kept:
        return None
    if (token := kept[server]) is not None:
        return token
    if (ring := _keyring()) is None:
        raise SettingsProblem(f"the token for {server} is in a keyring that is not there; run 'cmf login {server}'")
    found = _asked(ring, server)
    if found is None:
        raise SettingsProblem(f"the keyring has no token for {server} any more; run 'cmf login {server}'")
    return found


def keep_token(url: str, token: str) -> str:
    """Keep a token for a server, in the place of an earlier one; → where it is, in words.

    Raises:
        SettingsProblem: it cannot be kept.
    """
    server, file = _server(url), tokens_file()
    ring = _keyring()
    with _changing(file) as kept:
        if ring is not None and _put(ring, server, token):
            kept[server] = None
            return "the keyring"
        kept[server] = token
    return str(file)


def forget_token(url: str) -> bool:
    """Keep a server's token no more; → whether there was one.

    Raises:
        SettingsProblem: the file cannot be read or written.
    """
    server, file = _server(url), tokens_file()
    if server not in _read(file):
        return False
    with _changing(file) as kept:
        in_ring = kept.pop(server, "") is None
    if in_ring and (ring := _keyring()) is not None:
        try:
            ring.delete_password(_SERVICE, server)
        except Exception as exc:  # each backend has its own
            raise SettingsProblem(f"the keyring did not let go of the token for {server}: {exc}") from exc
    return True


def _server(url: str) -> str:
    """One spelling of a server's address."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return url
    host = f"[{host}]" if ":" in host else host
    shown = "" if port is None or port == _PORTS.get(parts.scheme) else f":{port}"
    return f"{parts.scheme}://{host}{shown}{parts.path.rstrip('/')}"


def _read(file: Path) -> dict[str, str | None]:
    """Server → token; None for one that the keyring holds."""
    try:
        with file.open("rb") as opened:
            there = os.fstat(opened.fileno())
            if stat.S_IMODE(there.st_mode) & 0o077:
                raise SettingsProblem(f"{file}: others may read the tokens in it; run 'chmod 600 {file}'")
            if there.st_uid != os.geteuid():
                raise SettingsProblem(f"{file}: it belongs to somebody else, so its tokens are not used")
            return msgspec.json.decode(opened.read(), type=dict[str, str | None])
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise SettingsProblem(f"{file}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SettingsProblem(f"{file}: this is no file of tokens; remove it and run 'cmf login URL' again") from exc


@contextmanager
def _changing(file: Path) -> Iterator[dict[str, str | None]]:
    """What is kept, to be changed: it is put in the file's place whole, one process after another."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_files.alone(file):
            kept = _read(file)
            yield kept
            private_files.replace(file, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    except OSError as exc:
        raise SettingsProblem(f"{exc.filename or file}: {exc.strerror}; nothing was changed") from exc


def _keyring() -> ModuleType | None:
    """The package `keyring`, where it is installed and finds a keyring that can be used."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        return keyring if keyring.get_keyring().priority >= 1 else None
    except Exception:  # no desktop, no bus: each backend says it in its own way
        return None


def _asked(ring: ModuleType, server: str) -> str | None:
    try:
        found: str | None = ring.get_password(_SERVICE, server)
    except Exception as exc:  # locked, or gone meanwhile
        raise SettingsProblem(f"the keyring did not give the token for {server}: {exc}; set CMF_TOKEN") from exc
    return found


def _put(ring: ModuleType, server: str, token: str) -> bool:
    try:
        ring.set_password(_SERVICE, server, token)
    except Exception:  # locked: the file will do
        return False
    return True
