"""The servers that a server takes the archive of: which they are, and how far each was taken.

<home>/upstreams.json           which they are, as `cmf server upstream` writes it
<home>/upstreams/<name>.json    how far each was taken
<home>/upstreams/<name>.lock    locked by the process that takes
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cmf import journal
from cmf.clock import microseconds, now
from cmf.core.errors import SettingsProblem
from cmf.core.model import UpstreamLag
from cmf_api.settings import check_secret, read_secret

T = TypeVar("T")

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}(?!\n)")
_SPAN: Final = re.compile(r"(\d{1,9})([smhd]?)(?!\n)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server to take from; `every_seconds` 0 is on demand only. Its token is in a file or the environment."""

    url: str
    every_seconds: int = 60
    token_file: str | None = None
    token_env: str | None = None

    def token(self) -> str | None:
        """The token to show it.

        Raises:
            SettingsProblem: there is none where it should be.
        """
        if self.token_file is not None:
            return read_secret(Path(self.token_file))
        if self.token_env is not None:
            return check_secret(os.environ.get(self.token_env, "").strip(), f"the environment's {self.token_env}")
        return None


class State(msgspec.Struct, kw_only=True):
    """How far an upstream was taken: its cursor, when it was last tried, and last taken to its end; what is wrong."""

    cursor: str = ""
    tried_at: str | None = None
    reached_at: str | None = None
    frames: int = 0
    """News taken from it, ever."""
    problem: str = ""
    gaps: dict[str, int] = {}
    """Segments (`<site>/<segment>`) of which its archive lacks records, before that sequence."""


def upstreams(home: Path) -> dict[str, Upstream]:
    """The upstreams of a server, by name.

    Raises:
        SettingsProblem: the file that names them is damaged.
    """
    return _read(home / "upstreams.json", dict[str, Upstream]) or {}


def add(home: Path, name: str, upstream: Upstream) -> None:
    """Have an upstream from now on; one of this name is replaced, and goes on where it was if it is the same server.

    Raises:
        SettingsProblem: the name or address is none.
    """
    if not NAME.fullmatch(name):
        raise SettingsProblem(f"{name!r} is no name of an upstream: small letters, digits and dashes")
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?(?!\n)", upstream.url):
        raise SettingsProblem(
            f"{upstream.url!r} is no address of a server: http://HOST[:PORT], a token by --token-file"
        )
    with _changing(home):
        _write(home / "upstreams.json", upstreams(home) | {name: upstream})


def remove(home: Path, name: str) -> None:
    """Have an upstream no more. What was taken from it stays.

    Raises:
        SettingsProblem: there is none of this name.
    """
    with _changing(home):
        known = upstreams(home)
        if known.pop(name, None) is None:
            raise SettingsProblem(f"there is no upstream {name!r}; there are: {', '.join(sorted(known)) or 'none'}")
        _write(home / "upstreams.json", known)
        _state_file(home, name).unlink(missing_ok=True)


def state_of(home: Path, name: str) -> State:
    """How far an upstream was taken. A file that is damaged is as none: it is taken from the start."""
    try:
        return _read(_state_file(home, name), State) or State()
    except SettingsProblem:
        return State()


def keep_state(home: Path, name: str, state: State) -> None:
    """State how far an upstream was taken."""
    _write(_state_file(home, name), state)


@contextmanager
def taking(home: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Be the only process that takes from an upstream; → whether it is, where it does not `wait`."""
    with _locked(_state_file(home, name).with_suffix(".lock"), wait) as ours:
        yield ours


def is_due(upstream: Upstream, state: State) -> bool:
    """Whether it is time to take from an upstream."""
    if not upstream.every_seconds:
        return False
    if state.tried_at is None:
        return True
    since = time.time() - microseconds(state.tried_at) / 1e6
    return not 0 <= since < upstream.every_seconds  # a clock that was set back does not stop it


def lags(home: Path) -> dict[str, UpstreamLag]:
    """How far behind its upstreams a server is."""
    told = {}
    try:
        known = upstreams(home)
    except SettingsProblem as exc:
        return {"?": UpstreamLag(url="", lag_seconds=None, problem=str(exc))}
    for name, upstream in sorted(known.items()):
        state = state_of(home, name)
        lag = None
        if state.reached_at is not None:
            lag = max(0, round(time.time() - microseconds(state.reached_at) / 1e6))
        told[name] = UpstreamLag(url=upstream.url, lag_seconds=lag, problem=state.problem)
    return told


def seconds_of(span: str) -> int:
    """The seconds of `60s`, `5m`, `1h`, `1d`.

    Raises:
        SettingsProblem: it is none of these.
    """
    said = _SPAN.fullmatch(span.strip())
    if said is None:
        raise SettingsProblem(f"{span!r} is no span of time: 60s, 5m, 1h or 1d; 0 for on demand only")
    return int(said[1]) * _SECONDS[said[2]]


def tried(state: State) -> State:
    """A state that was tried now."""
    return msgspec.structs.replace(state, tried_at=now())


def _state_file(home: Path, name: str) -> Path:
    return home / "upstreams" / f"{name}.json"


def _read(file: Path, form: type[T]) -> T | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=form)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SettingsProblem(f"{file}: {exc}; mend or delete it") from exc


def _write(file: Path, value: object) -> None:
    """Replace a file: whoever reads it finds the old or the new one, also after a power loss."""
    draft = file.with_name(f".{file.name}-{journal.ulid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as made:
            made.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
            made.flush()
            os.fsync(made.fileno())
        draft.replace(file)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise SettingsProblem(f"{file}: {exc.strerror or exc}") from exc


@contextmanager
def _changing(home: Path) -> Iterator[None]:
    with _locked(home / "upstreams" / ".lock", True):
        yield


@contextmanager
def _locked(file: Path, wait: bool) -> Iterator[bool]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise SettingsProblem(f"{file}: {exc.strerror or exc}") from exc
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
