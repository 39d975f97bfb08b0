"""A cmf server, over HTTP: the client of the REST API, and the one place that knows its errors."""

from __future__ import annotations

import gzip
import hashlib
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from cmf import __version__
from cmf.core import errors
from cmf.core.errors import BadQuestion, Gap, ServerBusy, ServerProblem, ServerRefused, ServerUnreachable
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
        headers = {"User-Agent": f"cmf/{__version__}"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            timeout = httpx.Timeout(timeout_seconds, connect=10.0)
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)
            # Whoever drops a server need not think of its connection.
            weakref.finalize(self, self._client.close).atexit = close_at_exit
        except (httpx.InvalidURL, ValueError) as exc:
            raise ServerProblem(f"{url!r} is no address of a server: {exc}") from exc

    def heads(self, site: str) -> dict[str, JournalHead]:
        """How far each segment of a site is on the server."""
        answer = self._get(f"/v1/journals/{site}", Journals)
        return {name: JournalHead(sequence, answer.offsets[name]) for name, sequence in answer.segments.items()}

    def push(self, site: str, segment: str, packed: bytes) -> Received:
        """Send consecutive lines of a segment, as `pack` made them; they are merged when this returns.

        Raises:
            Gap: lines before them are missing on the server.
        """
        headers = {"Content-Type": NDJSON, "Content-Encoding": "gzip", "Date": _date()}
        return self._post(f"/v1/journals/{site}/{segment}", Received, content=packed, headers=headers)

    def pull(self, question: PullQuestion, at_end: Callable[[EndOfPull], None] | None = None) -> Iterator[Stamped]:
        """The operations of a slice, as they arrive; when all have, `at_end` is told so."""
        headers = {"Content-Type": "application/json"}
        asked = encode(question)
        with (
            self._errors(),
            self._client.stream("POST", "/v1/pull", content=asked, headers=headers, params=self._fresh) as response,
        ):
            if response.status_code != 200:
                response.read()
            self._check(response)
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
        with self._errors():
            response = self._client.request(method, path, **request)
        self._check(response)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as exc:
            raise ServerProblem(
                f"{self.url}{path} answered what this version does not understand: {exc}; "
                f"it is cmf {response.headers[SERVER_HEADER]}, this is cmf {__version__}"
            ) from exc

    def _operations(self, response: httpx.Response, at_end: Callable[[EndOfPull], None] | None) -> Iterator[Stamped]:
        count = 0
        for line in response.iter_lines():
            if line.startswith('{"end"'):
                end = msgspec.json.decode(line, type=EndOfPull)
                if end.end != count:
                    raise ServerProblem(f"{self.url}: {count} of {end.end} operations arrived; pull again")
                if at_end:
                    at_end(end)
                return
            yield parse_stamped(line.encode())
            count += 1
        raise ServerProblem(f"{self.url}: the answer ended after {count} operations, unfinished; pull again")

    def _check(self, response: httpx.Response) -> None:
        """That it is an answer of a cmf server, and no refusal."""
        if SERVER_HEADER not in response.headers:
            raise ServerProblem(
                f"{self.url} answered {response.status_code}, but is not a cmf server; check the address"
            )
        if missing := response.headers.get(BEHIND_HEADER):
            warnings.warn(
                f"{self.url} does not have everything that was asked for yet ({_shortened(missing)}); "
                f"what it answers may lack that, ask again in a moment",
                BehindWarning,
                stacklevel=2,
            )
        if response.status_code == 200:
            return
        try:
            problem = msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.DecodeError:
            problem = {}
        error = _as_error(f"{self.url}{response.request.url.path}", response.status_code, problem)
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
            raise ServerUnreachable(f"{self.url} stopped answering ({reason}); try again") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerProblem(f"{self.url}: {exc}") from exc


def _as_error(where: str, status: int, problem: dict[str, Any]) -> Exception:
    """The error that a refusal stands for: the very one that the server raised, where it names one we know."""
    detail = str(problem.get("detail", f"status {status}"))
    match problem.get("code"):
        case "UnknownKey":
            return errors.UnknownKey(str(problem.get("asked")), tuple(problem.get("nearest", ())))
        case "PrunedKey":
            return errors.PrunedKey(*(str(problem.get(name)) for name in ("asked", "key", "pruned_at")))
        case "AmbiguousKey":
            return errors.AmbiguousKey(str(problem.get("asked")), tuple(problem.get("candidates", ())))
        case "Gap":
            return Gap(str(problem.get("segment")), int(problem.get("wanted", 0)))
        case "BadQuestion":
            return BadQuestion(detail)
        case "Busy":
            return ServerBusy(f"{where}: {detail}")
    if status == 503:
        return ServerUnreachable(f"{where}: {detail}")
    if status in (401, 403):
        advice = "; run 'cmf login URL', or set CMF_TOKEN or CMF_TOKEN_FILE" if status == 401 else ""
        return ServerRefused(f"{where}: {detail}{advice}", status, problem)
    if status >= 500 and "request_id" in problem:  # a fault: the server's log has more, under this name
        detail = f"{detail} (request {problem['request_id']})"
    return ServerRefused(f"{where} refused: {detail}", status, problem)


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
