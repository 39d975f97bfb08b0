"""Connections: uvicorn's, with limits on what a client may do to one before and after a request is the app's."""

from __future__ import annotations

import asyncio
import resource
import sys
from typing import Any, Final, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from cmf import __version__
from cmf.core.errors import SettingsProblem
from cmf.core.wire import SERVER_HEADER
from cmf_api.errors import problem
from cmf_api.limits import Limits

TAKEN_BYTES: Final = 256 << 10
"""What a client must take of an answer in `Limits.answer_idle_seconds`."""

DEFAULT_RATE: Final = 100.0
"""How many requests a second a client may make to a server that others can reach, unless its owner says otherwise."""

_SWEEP_SECONDS: Final = 1.0
_REFUSED_AT_ONCE: Final = 200
"""So many connections beyond the limit are told that they are; others are broken off without a word."""

_OTHER_FILES: Final = 200
"""What a server has open beside its connections, generously."""


def room_for(limits: Limits) -> Limits:
    """The limits, with no more connections than this process may have files."""
    wanted = limits.max_connections + _REFUSED_AT_ONCE + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        fewer = max(1, soft - _REFUSED_AT_ONCE - _OTHER_FILES)
        return msgspec.structs.replace(limits, max_connections=min(limits.max_connections, fewer))
    return limits


def limits_of(rate: float | None, is_open: bool) -> Limits:
    """The limits of a server that others can reach or cannot, with the rate that its owner wants.

    Raises:
        SettingsProblem: it is none.
    """
    if rate is None:
        rate = DEFAULT_RATE if is_open else 0.0
    if not 0 <= rate <= 1_000_000:  # what is not a number is in no range
        raise SettingsProblem("--rate is a number of requests a second, up to a million")
    return room_for(Limits(requests_per_second=rate))


def guarded(limits: Limits) -> type[asyncio.Protocol]:
    """The class of a server's connections, for uvicorn's `http`."""

    class Guarded(_Connection):
        pass

    Guarded.limits = limits
    return Guarded


class _HeadTooLargeError(Exception):
    pass


class _TooManyWaitError(Exception):
    pass


class _Connection(HttpToolsProtocol):
    """A connection of uvicorn's that does not wait for ever and does not hold more than it may."""

    limits: Limits

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any) -> None:
        super().__init__(config, server_state, app_state, **more)
        self._since = self.loop.time()  # the moment from which it is waited for
        self._head_bytes = 0
        self._beside_body_bytes = 0
        self._has_begun = False  # something of the next request is there
        self._is_within_request = False
        self._refused = False
        self._hung_up = False
        self._stuck: tuple[float, int] | None = None  # since when, and how much of an answer was left then

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        _sweep_regularly(self.loop, self.server_state)
        beyond = len(self.connections) - self.limits.max_connections
        if beyond <= 0 or self._make_room():
            return
        if beyond > _REFUSED_AT_ONCE:
            transport.abort()
        else:
            self._refuse(503, "Busy", "too many connections are open; come back in a moment")

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._refused:
            return
        if self._is_waiting and not self._has_begun:
            self._has_begun = True
            if self.cycle is not None:  # the first request is waited for from the connection's beginning
                self._since = self.loop.time()
        self._beside_body_bytes += len(data)
        super().data_received(data)
        if self._beside_body_bytes > self.limits.max_head_bytes and not self._refused:
            self._refuse_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the one shape of errors."""
        error = _cause_of_this()
        if isinstance(error, _HeadTooLargeError):
            self._refuse_head()
        elif isinstance(error, _TooManyWaitError):
            self._refuse(503, "Busy", "too many requests wait on one connection; read the answers first")
        else:
            self._refuse(400, "BadHttp", "this is no HTTP request that can be read; nothing of it was taken")

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._is_within_request = True
        self._head_bytes = self._beside_body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._count_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        if len(self.pipeline) >= self.limits.max_pipelined:
            raise _TooManyWaitError
        super().on_headers_complete()
        self._since = self.loop.time()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._beside_body_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._is_within_request = False
        self._beside_body_bytes = 0
        super().on_message_complete()
        if self._is_waiting:  # its answer was there before it was whole
            self._has_begun = False
            self._since = self.loop.time()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        self._since = self.loop.time()
        self._has_begun = self._is_within_request
        super().on_response_complete()
        if self._refused and self._is_waiting:
            self._hang_up()

    def sweep(self, now: float) -> None:
        """Look whether it has been waited for long enough."""
        waited = now - self._since
        if self._is_stuck(now) or (self._hung_up and waited > self.limits.rest_seconds):
            self.transport.abort()
        elif self._refused or self.transport.is_closing() or not self._is_waiting:
            return
        elif self._is_within_request and self._is_answered:
            if waited > self.limits.rest_seconds:
                self.transport.abort()
        elif self._has_begun or self.cycle is None:
            if waited > self.limits.head_seconds:
                told = f"the head of a request must come within {self.limits.head_seconds:g} seconds"
                self._refuse(408, "TooSlow", told)
        elif waited > self.limits.idle_seconds:
            self.transport.close()

    @property
    def _is_waiting(self) -> bool:
        """Whether no request is in progress but one whose head has not come."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    @property
    def _is_answered(self) -> bool:
        """Whether the request that is being received has its answer already: what is left of it is thrown away."""
        return self.cycle is not None and self.cycle.scope is self.scope

    @property
    def _rank(self) -> tuple[int, float] | None:
        """The order in which connections make room for others; None: it is being answered."""
        if self.transport.is_closing():
            return None
        if self._hung_up or self._is_waiting:
            return 0 if self._hung_up else 1, self._since
        if self.cycle.more_body and not self.cycle.response_started:
            return 2, self._since
        return None

    def _make_room(self) -> bool:
        """Break off another connection; → whether there is one that may be."""
        others = (cast(_Connection, other) for other in self.connections if other is not self)
        ranked = [(rank, id(other), other) for other in others if (rank := other._rank) is not None]
        if not ranked:
            return False
        min(ranked)[-1].transport.abort()
        return True

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.limits.max_head_bytes:
            raise _HeadTooLargeError

    def _refuse_head(self) -> None:
        told = f"the head of a request may have {self.limits.max_head_bytes} bytes, its address included"
        self._refuse(431, "TooLarge", told)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer instead of the app, unless a request is being answered: then that is the last answer."""
        if self._refused:
            return
        self._refused = True
        self._unset_keepalive_if_required()
        if self._is_waiting or (self.cycle.more_body and not self.cycle.response_started and not self.pipeline):
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True  # the app learns that there is no more to come
                self.cycle.message_event.set()
            self.transport.write(_answer(status, code, detail))
            self._hang_up()
        elif self.cycle.more_body and self.cycle.response_started:
            self.transport.close()
        else:
            # The answer to the last request that was whole closes the connection.
            last = self.pipeline[0][0] if self.pipeline else self.cycle
            last.keep_alive = False

    def _hang_up(self) -> None:
        """Say that nothing follows, and read on for a while: who closes on unread input takes the answer back."""
        self._hung_up = True
        self._since = self.loop.time()
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _is_stuck(self, now: float) -> bool:
        """Whether the client takes nothing of its answer, or next to nothing."""
        left = self.transport.get_write_buffer_size()
        if not left or not (self.flow.write_paused or self.transport.is_closing()):
            self._stuck = None
            return False
        since, left_then = self._stuck = self._stuck or (now, left)
        if now - since < self.limits.answer_idle_seconds:
            return False
        self._stuck = (now, left)
        return left > left_then - TAKEN_BYTES


def _answer(status: int, code: str, detail: str) -> bytes:
    """A whole answer, as bytes."""
    told = problem(status, code, detail)
    signature = ((SERVER_HEADER.lower().encode(), __version__.encode()), (b"x-content-type-options", b"nosniff"))
    headers = dict([*told.raw_headers, *signature, (b"connection", b"close")])
    head = b"".join(name + b": " + value + b"\r\n" for name, value in headers.items())
    return STATUS_LINE[status] + head + b"\r\n" + bytes(told.body)


def _cause_of_this() -> BaseException | None:
    """What a callback of the parser raised, of the error that is being handled."""
    error = sys.exc_info()[1]
    return error.__context__ if error is not None else None


def _sweep_regularly(loop: asyncio.AbstractEventLoop, state: ServerState) -> None:
    """Look after all connections once a second, as long as there are any."""
    if getattr(state, "cmf_sweeping", False):
        return
    state.cmf_sweeping = True  # type: ignore[attr-defined]

    def sweep() -> None:
        for connection in list(state.connections):
            cast(_Connection, connection).sweep(loop.time())
        if state.connections:
            loop.call_later(_SWEEP_SECONDS, sweep)
        else:
            state.cmf_sweeping = False  # type: ignore[attr-defined]

    loop.call_later(_SWEEP_SECONDS, sweep)
