"""A cmf server, over HTTP: the client of the REST API, and the one place that knows its errors."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from cmf import __version__, receiving
from cmf.core.errors import InvalidValue, ServerProblem, ServerUnreachable
from cmf.core.lineage import Question
from cmf.core.model import Lineage, NodeDetail, Page, SeriesList, SeriesOfMany, Stats
from cmf.core.records import Stamped, parse_stamped
from cmf.core.series import SeriesQuestion
from cmf.core.store import Filters, ListKind
from cmf.core.values import encode
from cmf.core.wire import (
    BEHIND_HEADER,
    NDJSON,
    SERVER_HEADER,
    EndOfPull,
    Journals,
    PullQuestion,
    Received,
    Resolved,
    Shown,
)
from cmf.credentials import kept_token
from cmf.refusals import error_of, told_in

T = TypeVar("T")

_LISTS: Final[dict[ListKind, str]] = {"artifact": "artifacts", "execution": "executions", "pipeline": "pipelines"}


class BehindWarning(UserWarning):
    """A server has less than the token that it was shown asks for, and answered with what it has."""


class JournalHead(msgspec.Struct, frozen=True):
    """How far a segment is on the server: the last record's sequence, and the segment's bytes up to its end."""

    sequence: int
    offset: int


class Remote:
    """A server. One connection is kept open and used again.

    Raises (each method): ServerUnreachable, ServerRefused, ServerProblem, and what the question itself may
    raise, such as UnknownKey.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout_seconds: float = 60.0,
        *,
        at_least: str | None = None,
        close_at_exit: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self._fresh = {} if at_least is None else {"at_least": at_least}
        """What each question asks to know of."""
        token = token or kept_token(self.url)
        self.asker = hashlib.sha256(f"{self.url}\0{token or ''}".encode()).hexdigest()[:26]
        """Names the server and who asks it, without saying either: what an answer has may depend on both."""
        headers = {"User-Agent": f"cmf/{__version__}", "Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        try:
            timeout = httpx.Timeout(timeout_seconds, connect=10.0)
            # It follows no redirects: the token is for this address alone.
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)
            self._patience_seconds = 5 * timeout_seconds
            self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
            # Whoever drops a server need not think of its connection.
            weakref.finalize(self, self._client.close).atexit = close_at_exit
        except (httpx.InvalidURL, ValueError) as exc:
            raise ServerProblem(f"{url!r} is no address of a server: {exc}") from exc

    def heads(self, site: str) -> dict[str, JournalHead]:
        """How far each segment of a site is on the server."""
        answer = self._get(f"/v1/journals/{site}", Journals)
        known = {name: JournalHead(at, answer.offsets.get(name, -1)) for name, at in answer.segments.items()}
        for name, head in known.items():
            if not (0 <= head.sequence < 2**53 and 0 <= head.offset < 2**53):
                raise ServerProblem(f"{self.url}: it says of segment {receiving.shown(name)} what cannot be")
        return known

    def push(self, site: str, segment: str, packed: bytes) -> Received:
        """Send consecutive lines of a segment, as `pack` made them; they are merged when this returns.

        Raises:
            Gap: lines before them are missing on the server.
        """
        headers = {"Content-Type": NDJSON, "Content-Encoding": "gzip", "Date": _date()}
        received = self._post(f"/v1/journals/{site}/{segment}", Received, content=packed, headers=headers)
        if abs(received.clock_ahead_seconds) >= 2**53:
            raise ServerProblem(f"{self.url}: it says of the clock what cannot be")
        return received

    def pull(self, question: PullQuestion, at_end: Callable[[EndOfPull], None] | None = None) -> Iterator[Stamped]:
        """The operations of a slice, as they arrive; when all have, `at_end` is told so."""
        headers = {"Content-Type": "application/json"}
        asked = encode(question)
        with self._answer("POST", "/v1/pull", content=asked, headers=headers, params=self._fresh) as response:
            yield from self._operations(response, at_end)

    def lineage(self, question: Question) -> Lineage:
        """See `cmf.core.lineage.lineage`."""
        return self._post("/v1/lineage", Lineage, json=msgspec.to_builtins(question))

    def detail(self, key: str, limit: int) -> NodeDetail:
        """One artifact or execution, whole."""
        kind = "executions" if key.startswith("execution:") else "artifacts"
        return self._get(f"/v1/{kind}/{key}", NodeDetail, {"limit": limit})

    def resolve(self, asked: str) -> str:
        """The key that a prefix or path stands for."""
        return self._get(f"/v1/resolve/{_quoted(asked)}", Resolved).key

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """A page of a list; see `cmf.core.store.Store.list_nodes`."""
        asked = msgspec.to_builtins(filters) | {"limit": limit} | ({"cursor": cursor} if cursor else {})
        return self._get(f"/v1/{_LISTS[kind]}", Page, asked)

    def series(self, execution: str) -> SeriesList:
        """Each series of an execution in few words."""
        return self._get(f"/v1/executions/{_quoted(execution)}/series", SeriesList)

    def points(self, question: SeriesQuestion) -> SeriesOfMany:
        """See `cmf.core.series.points_of`."""
        # In a body, since a name such as `..` would not come through a path.
        return self._post("/v1/series", SeriesOfMany, json=msgspec.to_builtins(question))

    def token(self) -> Shown:
        """What the server knows of the token that it is shown."""
        return self._get("/v1/token", Shown)

    def stats(self) -> Stats:
        """How much the server holds."""
        return self._get("/v1/stats", Stats)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _get(self, path: str, answer: type[T], parameters: Mapping[str, Any] | None = None) -> T:
        return self._ask("GET", path, answer, params={**(parameters or {}), **self._fresh})

    def _post(self, path: str, answer: type[T], **body: Any) -> T:
        return self._ask("POST", path, answer, **({"params": self._fresh} if "json" in body else {}), **body)

    def _ask(self, method: str, path: str, answer: type[T], **request: Any) -> T:
        end = time.monotonic() + self._patience_seconds
        with self._answer(method, path, **request) as response:
            content = receiving.whole(response, receiving.MAX_ANSWER_BYTES, end)
        try:
            return msgspec.json.decode(content, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ServerProblem(
                f"{self.url}{path} answered what this version does not understand: {exc}; "
                f"it is cmf {receiving.shown(response.headers[SERVER_HEADER])}, this is cmf {__version__}"
            ) from exc

    @contextmanager
    def _answer(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """An answer that is no refusal, of which the head was read."""
        with self._errors():
            response = self._send(self._client.build_request(method, path, **request))
            try:
                self._check(response)
                yield response
            finally:
                response.close()

    def _send(self, request: httpx.Request) -> httpx.Response:
        """The answer's head. What httpx limits is the pause between two bytes, not how long all of them take."""
        request.extensions = {**request.extensions, "trace": self._note_socket}
        watch = threading.Timer(self._patience_seconds, self._hang_up)
        watch.daemon = True
        watch.start()
        try:
            return self._client.send(request, stream=True)
        finally:
            watch.cancel()

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._sockets.add(info["return_value"].get_extra_info("socket"))

    def _hang_up(self) -> None:
        for connected in list(self._sockets):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _operations(self, response: httpx.Response, at_end: Callable[[EndOfPull], None] | None) -> Iterator[Stamped]:
        count = 0
        for line in receiving.lines(response, self._patience_seconds):
            if line.startswith(b'{"end"'):
                end = self._end_of_pull(line)
                if end.end != count:
                    raise ServerProblem(f"{self.url}: {count} of {end.end} operations arrived; pull again")
                if at_end:
                    at_end(end)
                return
            try:
                stamped = parse_stamped(line)
            except InvalidValue as exc:
                raise ServerProblem(f"{self.url}: line {count + 1} is no operation ({exc}); pull again") from exc
            yield stamped
            count += 1
        raise ServerProblem(f"{self.url}: the answer ended after {count} operations, unfinished; pull again")

    def _end_of_pull(self, line: bytes) -> EndOfPull:
        try:
            return msgspec.json.decode(line, type=EndOfPull)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ServerProblem(f"{self.url}: the end of the answer is not one ({exc}); pull again") from exc

    def _check(self, response: httpx.Response) -> None:
        """That it is an answer of a cmf server, and no refusal."""
        if SERVER_HEADER not in response.headers:
            raise ServerProblem(
                f"{self.url} answered {response.status_code}, but is not a cmf server; check the address"
            )
        if response.is_redirect:
            elsewhere = receiving.shown(response.headers.get("location", ""))
            raise ServerProblem(f"{self.url} sends on to {elsewhere}, where nothing was sent; is that the address?")
        if missing := response.headers.get(BEHIND_HEADER):
            warnings.warn(
                f"{self.url} does not have everything that was asked for yet ({_shortened(receiving.shown(missing))}); "
                f"what it answers may lack that, ask again in a moment",
                BehindWarning,
                stacklevel=2,
            )
        if response.status_code == 200:
            return
        end = time.monotonic() + self._patience_seconds
        problem = told_in(receiving.whole(response, receiving.MAX_REFUSAL_BYTES, end))
        error = error_of(f"{self.url}{response.request.url.path}", response.status_code, problem)
        if isinstance(error, ServerUnreachable):
            asked = response.headers.get("retry-after", "")
            error.retry_after_seconds = float(asked) if asked.isdecimal() and len(asked) < 6 else 0.0
        raise error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as exc:
            raise ServerUnreachable(f"nothing answers at {self.url} ({exc}); is the server running?") from exc
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as exc:
            reason = str(exc) or type(exc).__name__
            error = ServerUnreachable(f"{self.url} stopped answering ({reason}); try again")
            error.is_broken_off = not isinstance(exc, httpx.TimeoutException)
            raise error from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerProblem(f"{self.url}: {exc}") from exc


def pack(lines: Iterable[bytes]) -> bytes:
    """Lines as the body of a push."""
    # Level 1: five times smaller at a tenth of the cost of the default.
    return gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=1, mtime=0)


def _date() -> str:
    """This machine's clock, as HTTP writes it: the server tells how far it is off."""
    return formatdate(time.time_ns() / 1e9, usegmt=True)


def _quoted(text: str) -> str:
    return quote(text, safe=":")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
