"""Who may: tokens, made at random, kept as their hashes in one file that every worker of a server reads.

The file is read again as soon as it is another, so that a new token works and a revoked one does not, at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from cmf import private_files
from cmf.clock import now
from cmf.core.errors import InvalidValue, SettingsProblem, UnknownKey
from cmf.core.values import check_name

T = TypeVar("T")
Scope = Literal["read", "push", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "push", "admin")

TOKENS_FILE: Final = "tokens.json"
"""In the server's home."""

_PREFIX: Final = "cmf"
_NOBODY: Final = "0" * 64


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of a token: all but the token."""

    id: str
    name: str
    sha256: str
    """Of the whole token. It is 256 random bits, so that nothing slower than a hash is called for."""
    scopes: tuple[Scope, ...]
    created_at: str
    pipelines: tuple[str, ...] = ()
    """The pipelines that it may push to; none stands for every one."""
    sites: tuple[str, ...] = ()
    """The sites that it may push as; none stands for every one."""
    expires_at: str | None = None
    revoked_at: str | None = None

    def may(self, scopes: frozenset[Scope]) -> bool:
        """Whether it has one of these scopes; `admin` may do everything."""
        return "admin" in self.scopes or not scopes.isdisjoint(self.scopes)

    @property
    def state(self) -> Literal["active", "expired", "revoked"]:
        """Whether it is let in now."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now() else "active"


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cmf_tokens: Literal[1]
    tokens: tuple[Token, ...]


ANYONE: Final = Token(id="-", name="anyone", sha256=_NOBODY, scopes=("admin",), created_at="")
"""Stands for everyone, where no token is asked for."""


class Tokens:
    """The tokens of a running server: those of a file, and one that its settings may hold.

    Once there are any, a token is asked for until the server stops, though the file goes: nobody gets in then.
    """

    def __init__(self, file: Path | None, fixed: str | None = None) -> None:
        self._file = file
        self._fixed = _fixed(fixed) if fixed else None
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}
        self._asked = self._fixed is not None

    def are_asked(self) -> bool:
        """Whether a request must show a token.

        Raises:
            SettingsProblem: the file cannot be read.
        """
        self._look()
        return self._asked

    def holder(self, shown: str) -> Token | None:
        """The token that is shown, in whichever state it is; None when it is none of ours.

        Raises:
            SettingsProblem: the file cannot be read.
        """
        self._look()
        digest = _digest(shown)
        found = self._tokens.get(_id_of(shown))
        # Both are compared, and one that does not exist too, so that the time tells nothing.
        same = hmac.compare_digest(digest, found.sha256 if found else _NOBODY)
        fixed = hmac.compare_digest(digest, self._fixed.sha256 if self._fixed else _NOBODY)
        return found if same and found else self._fixed if fixed else None

    def _look(self) -> None:
        if self._file is None:
            return
        try:
            there = self._file.stat()
        except FileNotFoundError:
            self._tokens, self._seen = {}, None
            return
        except OSError as exc:
            raise SettingsProblem(f"{self._file}: {exc.strerror}") from exc
        self._asked = True
        # A writer puts another file in its place, so the number of the file tells what the time may not.
        seen = (there.st_ino, there.st_mtime_ns, there.st_size)
        if seen != self._seen:
            self._tokens = {token.id: token for token in read(self._file)}
            self._seen = seen


def read(file: Path) -> tuple[Token, ...]:
    """The tokens of a file, in the order in which they were made; none where there is no file.

    Raises:
        SettingsProblem: it cannot be read, is damaged, or others than its owner may write it.
    """
    try:
        with file.open("rb") as opened:
            if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o022:
                raise SettingsProblem(f"{file}: others may write it, and so let themselves in; run 'chmod 600 {file}'")
            return msgspec.json.decode(opened.read(), type=_Kept).tokens
    except FileNotFoundError:
        return ()
    except OSError as exc:
        raise SettingsProblem(f"{file}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SettingsProblem(f"{file}: this is no file of tokens: {exc}; restore it from a backup") from exc


def create(
    file: Path,
    name: str,
    scopes: tuple[Scope, ...],
    pipelines: tuple[str, ...] = (),
    sites: tuple[str, ...] = (),
    expires_at: str | None = None,
) -> tuple[str, Token]:
    """Make a token and keep its hash; → the token, which nobody can tell again, and what is kept.

    Raises:
        InvalidValue: a name cannot be one, is taken by a token that works, or what is asked for makes no sense.
        SettingsProblem: the file cannot be read or written.
    """
    named = [(name, "the name of a token")]
    named += [(one, "the name of a pipeline") for one in pipelines] + [(one, "the name of a site") for one in sites]
    for given, what in named:
        check_name(given, what)
    if not scopes:
        raise InvalidValue("a token without a scope may do nothing; scopes are read, push and admin")
    if (pipelines or sites) and ("admin" in scopes or "push" not in scopes):
        raise InvalidValue("pipelines and sites restrict what is pushed: they go with the scope push, not with admin")
    if expires_at is not None and expires_at <= now():
        raise InvalidValue(f"{expires_at} is over; a token expires at a time to come")

    def made(kept: tuple[Token, ...]) -> tuple[tuple[Token, ...], tuple[str, Token]]:
        if any(token.name == name and token.state == "active" for token in kept):
            raise InvalidValue(f"there is a token {name!r} already; take another name, or revoke that one first")
        secret, token = _new(name, scopes, pipelines, sites, expires_at, {token.id for token in kept})
        return (*kept, token), (secret, token)

    return _change(file, made)


def revoke(file: Path, asked: str) -> Token:
    """Let a token, by its id or its name, in no more; → what is kept of it.

    Raises:
        UnknownKey: there is none that could be revoked.
        SettingsProblem: the file cannot be read or written.
    """

    def made(kept: tuple[Token, ...]) -> tuple[tuple[Token, ...], Token]:
        living = [token for token in kept if token.revoked_at is None]
        # Of several of one name all but the last are over.
        found = next((token for token in reversed(living) if asked in (token.id, token.name)), None)
        if found is None:
            raise UnknownKey(asked, tuple(f"{token.id} ({token.name})" for token in living[:5]))
        gone = msgspec.structs.replace(found, revoked_at=now())
        return tuple(gone if token is found else token for token in kept), gone

    return _change(file, made)


def _new(
    name: str,
    scopes: tuple[Scope, ...],
    pipelines: tuple[str, ...],
    sites: tuple[str, ...],
    expires_at: str | None,
    taken: set[str],
) -> tuple[str, Token]:
    while (id_ := secrets.token_hex(4)) in taken:
        pass
    secret = f"{_PREFIX}_{id_}_{secrets.token_urlsafe(32)}"
    return secret, Token(
        id=id_,
        name=name,
        sha256=_digest(secret),
        scopes=scopes,
        created_at=now(),
        pipelines=pipelines,
        sites=sites,
        expires_at=expires_at,
    )


def _change(file: Path, made: Callable[[tuple[Token, ...]], tuple[tuple[Token, ...], T]]) -> T:
    """Put other tokens in the place of those that are kept, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with private_files.alone(file):
            tokens, outcome = made(read(file))
            private_files.replace(file, msgspec.json.format(msgspec.json.encode(_Kept(1, tokens)), indent=1) + b"\n")
            return outcome
    except OSError as exc:
        raise SettingsProblem(f"{exc.filename or file}: {exc.strerror}; nothing was changed") from exc


def _fixed(secret: str) -> Token:
    return Token(id="fixed", name="fixed", sha256=_digest(secret), scopes=("admin",), created_at="")


def _id_of(shown: str) -> str:
    prefix, _, rest = shown.partition("_")
    return rest.partition("_")[0] if prefix == _PREFIX else ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
