"""What a client may ask about the token that it shows."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from cmf.core.wire import Shown
from cmf_api.answers import answer, answers
from cmf_api.tokens import ANYONE
from cmf_api.told import told_of

router = APIRouter(tags=["health"])


@router.get("/v1/token", responses=answers(Shown, 401, 503))
def token(request: Request) -> Response:
    """The token that was shown: its name, what it may do, until when."""
    who = told_of(request.scope).who or ANYONE
    return answer(Shown(who.id, who.name, who.scopes, who.pipelines, who.sites, who.expires_at))
