"""Refusals of a server: from its answers to our errors. Nothing in them is taken on trust."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec

from cmf.core import errors
from cmf.core.errors import BadQuestion, Gap, ServerBusy, ServerRefused, ServerUnreachable
from cmf.receiving import shown


def error_of(where: str, status: int, problem: dict[str, Any]) -> Exception:
    """The error that a refusal stands for: the very one that the server raised, where it names one we know."""
    detail = problem.get("detail", f"status {status}")
    match problem.get("code"):
        case "UnknownKey":
            return errors.UnknownKey(str(problem.get("asked")), tuple(problem.get("nearest", ())))
        case "PrunedKey":
            return errors.PrunedKey(*(str(problem.get(name)) for name in ("asked", "key", "pruned_at")))
        case "AmbiguousKey":
            return errors.AmbiguousKey(str(problem.get("asked")), tuple(problem.get("candidates", ())))
        case "Gap":
            return Gap(str(problem.get("segment")), problem.get("wanted", 0))
        case "BadQuestion":
            return BadQuestion(detail)
        case "Busy":
            return ServerBusy(f"{where}: {detail}")
    if status in (408, 503):
        return ServerUnreachable(f"{where}: {detail}")
    if status in (401, 403):
        advice = "; run 'cmf login URL', or set CMF_TOKEN or CMF_TOKEN_FILE" if status == 401 else ""
        return ServerRefused(f"{where}: {detail}{advice}", status, problem)
    if status >= 500 and "request_id" in problem:  # a fault: the server's log has more, under this name
        detail = f"{detail} (request {problem['request_id']})"
    return ServerRefused(f"{where} refused: {detail}", status, problem)


_FORMS: Final[dict[str, type]] = {"nearest": list[str], "candidates": list[str], "wanted": int, "line": int}
"""The members of a refusal that are no text."""


def told_in(content: bytes) -> dict[str, Any]:
    """What a refusal tells, as far as it has its form; its texts as they can be shown."""
    try:
        told = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    found: dict[str, Any] = {}
    for name, value in told.items():
        form = _FORMS.get(name)
        if form is None:
            found[name] = shown(value) if isinstance(value, str) else value
            continue
        with suppress(msgspec.ValidationError):
            found[name] = msgspec.convert(value, form)
        if isinstance(value, list):
            found[name] = [shown(item) for item in found.get(name, ())]
    if not isinstance(found.get("detail", ""), str):
        del found["detail"]
    return found
