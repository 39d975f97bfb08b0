"""Serving, and stopping in good order: what is in progress is finished, within a limit, and it is told."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from cmf import __version__
from cmf_api.logs import Lines, fields

AFTERWARDS_SECONDS: Final = 15
"""How long the writer and the store may take after the last request; then the process ends without them."""

_LOG = logging.getLogger("cmf_api")


def serve_until_told(app: FastAPI, config: uvicorn.Config, sockets: list[socket.socket], log: Lines) -> None:
    """Serve an app on these sockets until a signal says to stop."""

    def stopping() -> None:
        readiness = getattr(app.state, "readiness", None)
        if readiness is not None:
            readiness.is_stopping = True

    _LOG.info("serving", extra=fields(version=__version__, pid=os.getpid()))
    try:
        Server(config, stopping, log.close).run(sockets)
    finally:
        _LOG.info("stopped")


class Server(uvicorn.Server):
    """uvicorn's server. The first SIGTERM or SIGINT stops it in good order, a second one at once.

    `stopping` is called at the first, `leaving` before a process that did not stop in time is ended.
    """

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None], leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._leaving = leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn."""
        name = signal.Signals(sig).name
        if self.should_exit:
            _LOG.warning("%s again: stopped at once; what was in progress is not answered", name)
            self._leave(128 + sig)
        self._stopping()
        limit = self.config.timeout_graceful_shutdown or 0
        in_progress = len(self.server_state.tasks)
        _LOG.info(
            "%s: stopping; requests in progress have %d s, a second signal stops at once",
            name,
            limit,
            extra=fields(requests_in_progress=in_progress),
        )
        late = threading.Timer(limit + AFTERWARDS_SECONDS, self._too_late)
        late.daemon = True
        late.start()
        super().handle_exit(sig, frame)

    def _too_late(self) -> None:
        _LOG.error("the store did not finish in time; the process ends. What was not answered may be there or not")
        self._leave(1)

    def _leave(self, code: int) -> None:
        self._leaving()
        os._exit(code)
