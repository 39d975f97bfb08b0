"""The settings of a server."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cmf.core.errors import SettingsProblem
from cmf_api.limits import Limits


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One value for the whole server."""

    home: Path
    """The folder of the files that the server keeps beside its store; made when something is kept there."""
    token: str | None = None
    """A bearer token that may do everything, beside those of the file; without any everyone is let in."""
    max_body_bytes: int = 8 << 20
    """The greatest size of a request as sent."""
    max_unpacked_bytes: int = 32 << 20
    """The greatest size of a request's unpacked body."""
    max_lines: int = 20_000
    """The greatest number of lines of a body: each costs memory many times its size."""
    max_receiving: int = 4
    """How many pushes are unpacked and read at once; others wait their turn."""
    any_host: bool = False
    """Whether to answer under any name. Without a token a server answers only under the loopback's."""
    freshness_seconds: float = 2.0
    """How long a read waits for what it asks to know of (`at_least`)."""
    archive: bool = True
    """Whether everything that is accepted is kept as it was received."""
    max_waiting_bytes: int = 64 << 20
    """How many bytes the bodies of pushes that come and wait may have together."""
    limits: Limits = Limits()
    """Time and memory that a request may take; see `Limits`."""
    max_values: int = 2_000_000
    """The greatest number of values in a request, counted by `,`, `[` and `{`: a small one takes 64 bytes of memory."""
    max_waiting: int = 64
    """How many pushes may wait their turn before others are asked to come back later."""
    min_free_bytes: int = 100 << 20
    """With less room on the disk of the home, or of an embedded store, the server says that it is not ready."""


def read_secret(file: Path) -> str:
    """What a file holds, which is a secret, without the space around it.

    Raises:
        SettingsProblem: it cannot be read, or is empty.
    """
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsProblem(f"{file}: {getattr(exc, 'strerror', None) or exc}") from exc
    return check_secret(secret, str(file))


def check_secret(secret: str, source: str) -> str:
    """That a secret can be shown in a header; `source` is where it comes from.

    Raises:
        SettingsProblem: it is empty or has other characters. An empty one would let everyone in.
    """
    if not secret or not (secret.isascii() and secret.isprintable()):
        raise SettingsProblem(f"{source} must hold a secret of printable ASCII; it is empty or holds something else")
    return secret
