"""What clients and servers say to each other beside operations and answers: the bodies of a push and a pull."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from cmf.core.lineage import MAX_DEPTH
from cmf.core.model import Direction

SERVER_HEADER: Final = "Cmf-Server"
"""Every answer of a cmf server bears it, with its version."""

BEHIND_HEADER: Final = "Cmf-Behind"
"""An answer that knows less than `at_least` asked for bears it: `site/segment:sequence<wanted`, joined by commas."""

NDJSON: Final = "application/x-ndjson"

CLOCK_TOLERANCE_SECONDS: Final = 300
"""How far a site's clock may be from the server's before it is told."""


MAX_GROUPS: Final = 100
"""How many projects, and how many pipelines, a pull may name: each is a question of its own to the store."""


class Journals(msgspec.Struct, frozen=True):
    """Where a site's journal stands: per segment the last record's sequence, and the bytes up to its end."""

    segments: dict[str, int]
    offsets: dict[str, int]


class Received(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server did with a chunk: where the segment now is, and how many records were new or known.

    `clock_ahead_seconds` is how far the site's clock is ahead of the server's, by the `Date` of the request and the
    newest time in the chunk; negative where it is behind, left out where it is not off.
    """

    sequence: int
    applied: int
    duplicates: int
    clock_ahead_seconds: int = 0


class SiteRefusal(msgspec.Struct, frozen=True):
    """The last chunk of a site that was refused: when, and the error's code."""

    at: str
    code: str


class SiteState(msgspec.Struct, frozen=True, kw_only=True):
    """A site as a server knows it: what of it is in the graph, and what it did lately.

    `lag_seconds` is how old the newest record of its last chunk was when that was merged.
    """

    site: str
    segments: int
    records: int
    last_push: str | None
    lag_seconds: float | None
    refusals: int
    last_refusal: SiteRefusal | None


class Sites(msgspec.Struct, frozen=True):
    """Sites by name; `next` is the cursor of the following page."""

    items: tuple[SiteState, ...]
    next: str | None


class ProjectBranch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A project, on one branch or (None) on all."""

    project: str
    branch: str | None = None


class Slice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a graph: artifacts with their chain, and all of some projects and pipelines."""

    artifacts: tuple[str, ...] = ()
    projects: Annotated[tuple[ProjectBranch, ...], msgspec.Meta(max_length=MAX_GROUPS)] = ()
    pipelines: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_GROUPS)] = ()
    direction: Direction = "both"
    depth: Annotated[int, msgspec.Meta(ge=0, le=MAX_DEPTH)] | None = None


class PullQuestion(Slice, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to pull, and what of it need not come again.

    That is all that was answered at the version `since`, as the last line of that answer has it, when `held` was
    asked for (unless said, the same as now). A version that is none of the server's is no hindrance: all comes then.
    """

    since: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    held: Slice | None = None


class EndOfPull(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last line of a pull: how many operations came before it, and the version that it brings who keeps them to."""

    end: int
    version: str = ""


class Shown(msgspec.Struct, frozen=True):
    """The token that a client shows: what it may do, for which pipelines and as which sites (none: all), until when.

    Where a server asks for none, its id is `-` and it may do everything.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    pipelines: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    expires_at: str | None = None


class Resolved(msgspec.Struct, frozen=True):
    """The key that was meant."""

    key: str
