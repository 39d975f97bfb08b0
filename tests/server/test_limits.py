"""Clients that drip, idle, flood or take no answer: each is refused or let go, and others are served meanwhile."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from histories import artifact
from server_process import ServerProcess

HERE = Path(__file__).parent
BODY = b"POST /v1/journals/A/B HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"
KEY = artifact("thing")


class Impatient:
    """A server of its own process with limits of this test's own."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        command = [sys.executable, str(HERE / "impatient.py"), str(folder), json.dumps(limits)]
        self._log = (folder / "log").open("a+")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True)
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        self.pid = self._process.pid
        self.port = int(self.url.rpartition(":")[2])
        assert httpx.get(f"{self.url}/healthz", timeout=30).status_code == 200

    def stop(self) -> str:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout
        self._process.stdout.close()
        self._log.seek(0)
        said = self._log.read()
        self._log.close()
        return said


@contextmanager
def impatient(folder: Path, **limits: Any) -> Iterator[Impatient]:
    """Its log has no fault in it at the end."""
    server = Impatient(folder, **limits)
    try:
        yield server
    finally:
        said = server.stop()
    assert "Traceback" not in said, said


def connect(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(sent)
    return connection


def answered(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the problem that comes before the server hangs up; 0 where it does so without a word."""
    told = _all(connection)
    if not told:
        return 0, {}
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"Traceback" not in told
    if not told.startswith(b"HTTP/1.1 200"):
        assert b"application/problem+json" in head and b"cmf-server: " in head, told
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}


def ask(server: Any) -> None:
    """That another client is served at once."""
    begun = time.monotonic()
    said = {"operations": [{"is": "SetProperty", "key": KEY, "name": "n", "value": 1}]}
    assert httpx.post(f"{server.url}/v1/operations", json=said, timeout=20).status_code == 200
    assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200
    assert time.monotonic() - begun < 10


def test_heads_and_bodies_that_drip_are_given_up_and_others_served_meanwhile(tmp_path: Path) -> None:
    with impatient(tmp_path, head_seconds=1.0, body_idle_seconds=1.0, body_seconds=2.0, idle_seconds=2) as server:
        silent = connect(server.port)
        head = connect(server.port, b"GET /v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        pausing = connect(server.port, BODY + b"Content-Length: 1000\r\n\r\nab")
        dripping = connect(server.port, BODY + b"Content-Length: 1000\r\n\r\n")
        chunked = connect(server.port, BODY + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        lines = connect(server.port)
        kept = connect(server.port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        end = time.monotonic() + 20
        gone = threading.Event()

        def drip() -> None:
            with dripping.dup() as body, head.dup() as header, lines.dup() as empty:
                while time.monotonic() < end and not gone.is_set():
                    for connection, byte in ((body, b"x"), (header, b"X"), (empty, b"\r\n")):
                        try:
                            connection.sendall(byte)
                        except OSError:
                            continue
                    time.sleep(0.2)

        dripper = threading.Thread(target=drip)
        dripper.start()
        ask(server)
        for connection in (silent, head, pausing, dripping, chunked):
            status, told = answered(connection)
            # Who writes on may lose the answer to its own reset; the others must see it.
            assert status == 408 or (status == 0 and connection in (head, dripping)), (status, told)
            assert told.get("code", "TooSlow") == "TooSlow"
        answered(lines)
        assert answered(kept)[0] == 200
        assert time.monotonic() < end, "all were let go"
        gone.set()
        dripper.join()
        ask(server)
        assert httpx.get(f"{server.url}/v1/journals/A", timeout=30).json()["segments"] == {}


def test_what_is_too_large_or_no_http_is_refused_with_a_reason(tmp_path: Path) -> None:
    with impatient(tmp_path, rest_seconds=1.0) as server:
        before = psutil.Process(server.pid).memory_info().rss
        start = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        large = [
            b"GET /" + b"a" * (100 << 10) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /v1/stats?" + b"a=1&" * (50 << 10) + b" HTTP/1.1\r\n\r\n",
            start + b"X: " + b"y" * (100 << 10) + b"\r\n\r\n",
            start + b"X: y\r\n" * 30_000 + b"\r\n",
            b"GET /" + b"a" * (2 << 20),
            start + b"X: " + b"y" * (2 << 20),
            BODY + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * (1 << 20),
            BODY + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: " + b"y" * (1 << 20),
        ]
        for sent in large:
            status, told = answered(_sent(server.port, sent))
            assert status in (431, 0) and told.get("code", "TooLarge") == "TooLarge", (sent[:60], status, told)
        garbage = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500),  # TLS
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n",
            BODY + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
            b"\0" * 1000,
            os.urandom(5000),
        ]
        for sent in garbage:
            status, _ = answered(_sent(server.port, sent, end=True))
            assert status in (400, 403, 404, 405, 431, 0), (sent[:60], status)
        parameters = "&".join(f"q{number}=x" for number in range(5_000))
        assert httpx.get(f"{server.url}/v1/artifacts?{parameters}", timeout=30).status_code == 400
        ask(server)
        assert psutil.Process(server.pid).memory_info().rss - before < 100 << 20


def _sent(port: int, content: bytes, end: bool = False) -> socket.socket:
    connection = connect(port)
    try:
        connection.sendall(content)
        if end:
            connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it hung up before it had read all
    return connection


def test_requests_behind_each_other_are_answered_in_order_and_garbage_behind_them_ends_it(tmp_path: Path) -> None:
    with impatient(tmp_path, max_pipelined=16, rest_seconds=1.0) as server:
        one = b"GET /v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        connection = connect(server.port, one * 10 + b"GARBAGE\0\r\n\r\n" + one)
        assert _all(connection).count(b"HTTP/1.1 200") == 10
        connection = connect(server.port, one * 5_000)
        assert 1 <= _all(connection).count(b"HTTP/1.1 200") <= 20
        ask(server)


def _all(connection: socket.socket) -> bytes:
    told = b""
    try:
        while piece := connection.recv(1 << 16):
            told += piece
    except ConnectionResetError:
        pass
    connection.close()
    return told


def test_thousands_of_connections_make_room_for_whoever_asks(tmp_path: Path) -> None:
    with impatient(tmp_path, max_connections=200, head_seconds=60.0, body_idle_seconds=60.0) as server:
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        idle = [connect(server.port, b"GET / HT" if number % 2 else b"") for number in range(1_000)]
        bodies = [connect(server.port, BODY + b"Content-Length: 1000\r\n\r\nab") for _ in range(300)]
        for _ in range(3):
            ask(server)
        assert process.num_fds() < 500
        assert process.memory_info().rss - before < 100 << 20
        for connection in (*idle, *bodies):
            connection.close()
        ask(server)


def test_bodies_that_are_held_at_once_are_bounded(tmp_path: Path) -> None:
    with impatient(tmp_path, max_held_bytes=20 << 20, body_idle_seconds=3.0) as server:
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        waiting = []
        for _ in range(20):
            waiting.append(_sent(server.port, BODY + b"Content-Length: 8000000\r\n\r\n" + b"x" * 4_000_000))
        statuses = [answered(connection)[0] for connection in waiting]
        assert 503 in statuses and set(statuses) <= {503, 408, 0}, statuses
        assert process.memory_info().rss - before < 100 << 20
        ask(server)


def test_who_takes_no_answer_is_let_go(tmp_path: Path) -> None:
    with impatient(tmp_path, answer_idle_seconds=2.0) as server:
        value = "x" * ((1 << 20) - 2)  # with its quotes a MiB
        for number in range(31):
            said = {"operations": [{"is": "SetProperty", "key": KEY, "name": f"n{number}", "value": value}]}
            assert httpx.post(f"{server.url}/v1/operations", json=said, timeout=20).status_code == 200
        put = {"is": "PutArtifact", "key": KEY, "name": "x", "types": ["x"]}
        assert httpx.post(f"{server.url}/v1/operations", json={"operations": [put]}).status_code == 200
        process = psutil.Process(server.pid)
        one = f"GET /v1/artifacts/{KEY} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        readers = [connect(server.port, one) for _ in range(5)]
        time.sleep(1)
        ask(server)
        deadline = time.monotonic() + 30
        while (left := _connections(process)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left
        for connection in readers:
            connection.close()
        assert len(httpx.get(f"{server.url}/v1/artifacts/{KEY}", timeout=30).content) > 30 << 20


def _connections(process: psutil.Process) -> list[Any]:
    return [connection for connection in process.net_connections("tcp") if connection.status == "ESTABLISHED"]


def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with impatient(tmp_path, requests_per_second=5.0) as server, httpx.Client() as client:
        answers = [client.get(f"{server.url}/v1/stats") for _ in range(80)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused and len(answers) - len(refused) >= 50
        assert {answer.status_code for answer in refused} == {503}, "others' clients drop what is refused with 429"
        assert refused[0].json()["code"] == "Busy" and int(refused[0].headers["retry-after"]) >= 1
        assert client.get(f"{server.url}/healthz").status_code == 200, "probes are not counted"
        time.sleep(1.1)
        assert client.get(f"{server.url}/v1/stats").status_code == 200


@pytest.mark.parametrize("requests", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_many_tiny_requests_leave_the_server_as_it_was(tmp_path: Path, requests: int) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server:
        process = psutil.Process(server.pid)
        port = int(server.url.rpartition(":")[2])
        small = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        push = BODY + b"Content-Length: 1\r\n\r\n\n"

        def flood(count: int) -> None:
            with connect(port) as connection:
                for number in range(count // 10):
                    one = push if number % 20 == 0 else small
                    connection.sendall(one * 10)
                    answers = 0
                    while answers < 10:
                        answers += connection.recv(1 << 16).count(b"HTTP/1.1 ")

        flood(1_000)
        before = process.memory_info().rss
        floods = [threading.Thread(target=flood, args=(requests // 4,)) for _ in range(4)]
        for thread in floods:
            thread.start()
        while any(thread.is_alive() for thread in floods):
            ask(server)
            time.sleep(0.5)
        for thread in floods:
            thread.join()
        assert process.memory_info().rss - before < 60 << 20
        assert httpx.get(f"{server.url}/v1/journals/A", timeout=30).json()["segments"] == {}
        assert "Traceback" not in server.log() and '"level": "error"' not in server.log()


def test_a_read_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    from histories import chain

    from cmf.core.delta import fold
    from cmf.core.errors import StoreUnavailable
    from cmf.core.records import make_stamp
    from cmf.stores.sqlite import SqliteStore

    store = SqliteStore(tmp_path / "graph.db", durable=False, read_seconds=0.01)
    at = "2026-01-01T00:00:00.000000Z"
    delta = fold((make_stamp(at, "S", number), operation) for number, operation in enumerate(chain(20_000), 1))
    store.write(lambda transaction: transaction.merge(delta))
    with pytest.raises(StoreUnavailable, match="took longer than 0.01 seconds"):
        store.uses([artifact("chain-0")], "downstream", None, False)
    assert store.keys("md5:", "md5:z", 1), "its connection goes on"
    store.close()
