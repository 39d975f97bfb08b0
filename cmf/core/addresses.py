"""Addresses of content that is elsewhere, and what of them is nobody's business."""

from __future__ import annotations

import re
from typing import Final

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_IN_TEXT: Final = re.compile(_SCHEME.pattern + r"[^\s'\"<>]+")
_SECRET_PARAMETERS: Final = re.compile(
    r"(?i)(?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|signature|sig|"
    r"awsaccesskeyid|(?:access_?|auth_?)?token|api_?key|password|passwd|secret)"
)
"""Names of parameters that make an address a key to what it leads to."""


def is_address(text: str) -> bool:
    """Whether this is an address, and no path.

    >>> is_address("s3://bucket/data.csv"), is_address("data.csv")
    (True, False)
    """
    return _SCHEME.match(text) is not None


def without_secrets(address: str) -> str:
    """An address without the user and password, and without the signature or token, that it may hold.

    A user alone stays where there is none without one, as in SSH; on the web it is a token.

    >>> without_secrets("https://user:password@example.org/data.csv?token=x&part=1")
    'https://example.org/data.csv?part=1'
    >>> without_secrets("ssh://user@example.org/data.csv")
    'ssh://user@example.org/data.csv'
    """
    if (scheme := _SCHEME.match(address)) is None:
        return address
    rest = address[scheme.end() :]
    end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    user, mark, host = rest[:end].rpartition("@")
    keeps_user = ":" not in user and scheme[0].lower() not in ("http://", "https://", "ftp://")
    return scheme[0] + (user + mark if keeps_user else "") + host + _without_parameters(rest[end:])


def text_without_secrets(text: str) -> str:
    """A text, such as an error's, in which addresses lose theirs.

    >>> text_without_secrets("403, url='https://user:password@example.org/x'")
    "403, url='https://example.org/x'"
    """
    return _IN_TEXT.sub(lambda found: without_secrets(found[0]), text)


def _without_parameters(rest: str) -> str:
    path, mark, query = rest.partition("?")
    query, fragment_mark, fragment = query.partition("#")
    parts = query.split("&")
    kept = [part for part in parts if not _SECRET_PARAMETERS.fullmatch(part.partition("=")[0])]
    if kept == parts:
        return rest
    return path + (mark if kept else "") + "&".join(kept) + fragment_mark + fragment
