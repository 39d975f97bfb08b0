"""What is told of a request from one layer of the server to another: its id, who sent it, what became of it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from cmf_api.tokens import Token

REQUEST_ID: Final = "x-request-id"

_NAME: Final = "cmf.told"
_SOUND: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")


@dataclass
class Told:
    """One request. `request` is its id: the client's own, where that is a plain word."""

    request: str
    who: Token | None = None
    code: str | None = None
    """The name of the error that it was refused with."""
    counts: dict[str, int] = field(default_factory=dict)
    """How much was sent and taken."""


def told_of(scope: Scope) -> Told:
    """What is told of the request of this connection."""
    found = scope.get(_NAME)
    if not isinstance(found, Told):
        given = Headers(scope=scope).get(REQUEST_ID, "")
        found = scope[_NAME] = Told(given if _SOUND.fullmatch(given) else uuid.uuid4().hex)
    return found
