"""A server that is hostile: it can neither hang a client, nor fill its memory, nor learn a token for elsewhere."""

from __future__ import annotations

import gzip
import itertools
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from histories import record, typical
from hostile_server import Answer, HostileServer

from cmf import receiving, sync
from cmf.core.errors import CmfError, Gap, ServerProblem, ServerRefused, ServerUnreachable, UnknownKey
from cmf.core.lineage import Question
from cmf.core.wire import PullQuestion
from cmf.remote import Remote

OURS = b"HTTP/1.1 200 OK\r\nCmf-Server: 9\r\nConnection: close\r\nContent-Type: application/json\r\n"
CHUNKED = OURS + b"Transfer-Encoding: chunked\r\n\r\n"


def saying(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> Answer:
    head = b"HTTP/1.1 %s\r\nCmf-Server: 9\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n" % (
        status,
        headers,
        len(body),
    )
    return lambda _: [head + body]


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def endless(head: bytes, piece: bytes, pause_seconds: float = 0) -> Answer:
    def answer(_: bytes) -> Iterator[bytes]:
        yield head
        for _ in itertools.count():
            yield piece
            time.sleep(pause_seconds)

    return answer


BOMB = gzip.compress(b"x" * (64 << 20))
WRONG = {
    "no JSON": saying(b"<html>"),
    "another JSON": saying(b"[1, 2, 3]"),
    "deep JSON": saying(b"[" * 100_000 + b"]" * 100_000),
    "no UTF-8": saying(b'{"segments": {"\xff": 1}, "offsets": {}}'),
    "a lone surrogate": saying(b'{"segments": {"\\ud800": 1}, "offsets": {}}'),
    "no offset": saying(b'{"segments": {"A": 1}, "offsets": {}}'),
    "a negative offset": saying(b'{"segments": {"A": 1}, "offsets": {"A": -5}}'),
    "an offset beyond all files": saying(b'{"segments": {"A": 1}, "offsets": {"A": 99999999999999999999}}'),
    "a bomb": saying(BOMB, headers=b"Content-Encoding: gzip\r\n"),
    "half an answer": lambda _: [OURS + b"Content-Length: 1000\r\n\r\n{"],
    "no HTTP": lambda _: [b"\x00\x01\x02" * 1000],
    "nothing": lambda _: [],
    "a head without end": endless(OURS, b"X: " + b"y" * 1000 + b"\r\n"),
    "a broken chunk": lambda _: [CHUNKED + b"ZZ\r\n"],
    "a status of its own": saying(b"x", b"299 Fine"),
    "a refusal that is none": saying(b"[" * 10_000, b"409 No"),
    "a refusal of odd forms": saying(b'{"code": 5, "detail": [1], "wanted": "x", "nearest": 7}', b"409 No"),
    "a packed refusal": saying(BOMB, b"500 No", b"Content-Encoding: gzip\r\n"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_answer_that_is_none_is_an_error_that_says_so(what: str) -> None:
    with HostileServer(WRONG[what]) as server:
        remote = Remote(server.url, "s3cret", timeout_seconds=2)
        for ask in (
            lambda: remote.heads("SITE"),
            lambda: remote.lineage(Question(keys=("md5:x",))),
            lambda: list(remote.pull(PullQuestion(pipelines=("p",)))),
        ):
            with pytest.raises((ServerProblem, ServerRefused)) as refused:
                ask()
            assert "s3cret" not in str(refused.value)
        remote.close()


def test_refusals_of_odd_forms_become_our_errors_and_act_on_no_terminal() -> None:
    said = {
        b'{"code": "Gap", "segment": 5, "wanted": "x"}': Gap,
        b'{"code": "UnknownKey", "asked": [1], "nearest": "abc"}': UnknownKey,
        b'{"code": "UnknownKey", "asked": "\\u001b[2Jx", "nearest": ["\\u001b]0;x\\u0007"]}': UnknownKey,
        b'{"code": "X", "detail": "\\u001b[31mred\\u009b' + b"y" * 100_000 + b'"}': ServerRefused,
    }
    for body, error in said.items():
        with HostileServer(saying(body, b"404 No")) as server:
            remote = Remote(server.url, timeout_seconds=2)
            with pytest.raises(error) as refused:
                remote.stats()
            told = str(refused.value)
            assert "\x1b" not in told and "\x07" not in told and "\x9b" not in told and len(told) < 2_000
            remote.close()


@pytest.mark.parametrize("piece", [b"x" * (1 << 16), b'{"stamp":1}' + b" " * (1 << 16)])
def test_an_answer_without_end_is_given_up_and_not_held(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(receiving, "MAX_ANSWER_BYTES", 8 << 20)
    with HostileServer(endless(CHUNKED, chunk(piece))) as server:
        remote = Remote(server.url, timeout_seconds=5)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ServerProblem, match="more than"):
            remote.stats()
        with pytest.raises(CmfError):
            list(remote.pull(PullQuestion(pipelines=("p",))))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
        remote.close()


@pytest.mark.parametrize(
    "answer",
    [
        endless(OURS, b"X", 0.05),
        endless(CHUNKED, chunk(b" "), 0.05),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
        endless(b"", b"", 0.05),
    ],
)
def test_an_answer_that_drips_is_given_up(answer: Answer) -> None:
    with HostileServer(answer) as server:
        remote = Remote(server.url, timeout_seconds=0.4)
        for ask in (remote.stats, lambda: list(remote.pull(PullQuestion(pipelines=("p",))))):
            begun = time.monotonic()
            with pytest.raises(ServerUnreachable):
                ask()  # type: ignore[operator]
            assert time.monotonic() - begun < 10
        remote.close()


@pytest.mark.parametrize("signed", [b"Cmf-Server: 9\r\n", b""])
@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Moved", b"308 Moved"])
def test_no_redirect_leads_a_token_elsewhere(status: bytes, signed: bytes) -> None:
    with HostileServer(saying(b"{}")) as elsewhere:
        head = b"HTTP/1.1 %s\r\n%sLocation: %s/v1/stats\r\nContent-Length: 0\r\n\r\n"
        sent_on = head % (status, signed, elsewhere.url.encode())
        with HostileServer(lambda _: [sent_on]) as server:
            remote = Remote(server.url, "s3cret", timeout_seconds=2)
            for ask in (remote.stats, lambda: remote.lineage(Question(keys=("md5:x",)))):
                with pytest.raises(ServerProblem) as refused:
                    ask()  # type: ignore[operator]
                assert "s3cret" not in str(refused.value)
            assert elsewhere.asked == [] and len(server.asked) == 2
            remote.close()


def test_a_push_to_a_server_that_lies_sends_nothing_twice_and_ends(tmp_path: Path) -> None:
    repository = record(tmp_path / "a", typical(3))

    def lie(said: bytes) -> Callable[[bytes], list[bytes]]:
        def answer(head: bytes) -> list[bytes]:
            body = b'{"segments": {}, "offsets": {}}' if head.startswith(b"GET") else said
            status = b"200 OK" if b"sequence" in body or head.startswith(b"GET") else b"409 No"
            return [
                b"HTTP/1.1 %s\r\nCmf-Server: 9\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                % (status, len(body), body)
            ]

        return answer

    for said in (
        b'{"code": "Gap", "segment": "x", "wanted": 0}',
        b'{"sequence": 1, "applied": 0, "duplicates": 0, "clock_ahead_seconds": %s}' % (b"9" * 400),
        b'{"sequence": -1, "applied": "x", "duplicates": 0}',
    ):
        with HostileServer(lie(said)) as server:
            remote = Remote(server.url, timeout_seconds=2)
            with pytest.raises((Gap, ServerProblem)):
                sync.push(repository, remote)
            assert len(server.asked) <= 3
            remote.close()
    repository.close()
