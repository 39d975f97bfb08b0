"""The audit log, in lines of JSON: who wrote what, from where, and what became of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf.clock import now
from cmf.core.errors import SettingsProblem
from cmf_api.auth import is_write
from cmf_api.errors import AuditUnwritable, as_problem
from cmf_api.tokens import ANYONE
from cmf_api.told import Told, told_of

AUDIT_FILE: Final = "audit.jsonl"
"""In the server's home."""


class AuditLog:
    """A file that lines are added to. It is opened for each, so that it may be moved away at any moment."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self) -> None:
        """That a line could be added.

        Raises:
            SettingsProblem: it could not.
        """
        try:
            os.close(self._open())
        except OSError as exc:
            raise SettingsProblem(f"{self._file}: {exc.strerror}; writes are not taken without a record") from exc

    def add(self, line: dict[str, Any]) -> None:
        """Add a line. One write to the end of a file, so that lines of several workers stay apart.

        Raises:
            AuditUnwritable: it cannot be added.
        """
        try:
            descriptor = self._open()
            try:
                # A disk that was full may have taken half of the line before this one.
                size = os.fstat(descriptor).st_size
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                written = b"\n" * torn + msgspec.json.encode(line) + b"\n"
                if os.write(descriptor, written) != len(written):
                    raise AuditUnwritable("the disk of the audit log is full")
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise AuditUnwritable(f"the audit log cannot be written: {exc.strerror}") from exc

    def _open(self) -> int:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)


class Audited:
    """Keeps two lines of each write of someone who was let in: that it came, and before the answer what became of it.

    While the first cannot be kept, the write is not taken. A first without a second is of a server that was killed.
    """

    def __init__(self, app: ASGIApp, log: AuditLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        if scope["type"] != "http" or not is_write(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        told = told_of(scope)
        lost = False

        async def witnessed(message: Message) -> None:
            nonlocal lost
            if message["type"] == "http.response.start":
                try:
                    self._log.add(_line(scope, told) | _outcome(told, message["status"]))
                except AuditUnwritable as exc:
                    lost = True
                    await as_problem(exc)(scope, receive, send)
            if not lost:
                await send(message)

        try:
            self._log.add(_line(scope, told))
        except AuditUnwritable as exc:
            await as_problem(exc)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, witnessed)
        except Exception:
            told.code = "Fault"
            self._log.add(_line(scope, told) | _outcome(told, 500))
            raise


def _line(scope: Scope, told: Told) -> dict[str, Any]:
    who = told.who or ANYONE
    return {
        "at": now(),
        "request": told.request,
        "token": who.id,
        "name": who.name,
        "from": scope["client"][0] if scope.get("client") else None,
        "method": scope["method"],
        "path": scope["path"],
    }


def _outcome(told: Told, status: int) -> dict[str, Any]:
    return {"status": status} | told.counts | ({"code": told.code} if told.code else {})
