"""The log of a real server: a line of JSON for each request, with its id, and nothing that is nobody's business."""

from __future__ import annotations

import http.server
import json
import logging
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from pushed import push, segment
from server_process import ServerProcess

from cmf.core.errors import ServerRefused, SettingsProblem
from cmf.remote import Remote
from cmf_api.logs import Lines, line_of


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'server' / 'graph.db'}"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def requests(server: ServerProcess) -> list[dict[str, Any]]:
    """The lines of requests, once the last one is written."""
    last = secrets.token_hex(8)
    httpx.get(f"{server.url}/v1/stats", headers={"X-Request-Id": last})
    deadline = time.monotonic() + 20
    while last not in server.log():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [line for line in lines(server.log()) if line["logger"] == "cmf_api.request"][:-1]


def test_each_request_leaves_one_line_that_says_what_became_of_it(server: ServerProcess) -> None:
    body = segment(3)
    answer = push(server, body)
    refused = push(server, b"junk\n")
    asked = httpx.get(f"{server.url}/v1/artifacts", params={"name": "secret-name", "limit": 3})
    nowhere = httpx.get(f"{server.url}/v1/no-such-place/secret-name?token=secret")
    first, second, third, fourth = requests(server)
    assert first == first | {
        "level": "info",
        "method": "POST",
        "route": "/v1/journals/{site}/{segment}",
        "status": 200,
        "bytes_in": len(body),
        "bytes_out": len(answer.content),
        "client": "127.0.0.1",
        "site": "SITE",
        "request_id": answer.headers["x-request-id"],
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["time"]) and first["milliseconds"] > 0
    assert "code" not in first
    assert (second["status"], second["code"], second["request_id"]) == (422, "BadRecord", refused.json()["request_id"])
    assert third["route"] == "/v1/artifacts" and third["request_id"] == asked.headers["x-request-id"]
    assert fourth["status"] == 404 and "route" not in fourth and nowhere.json()["request_id"] == fourth["request_id"]
    assert "secret" not in server.log()


def test_an_id_that_comes_with_the_request_is_kept_where_it_is_sound(server: ServerProcess) -> None:
    for asked in ("trace-1.2_X", "a" * 64):
        assert httpx.get(f"{server.url}/healthz", headers={"X-Request-Id": asked}).headers["x-request-id"] == asked
    for asked in ('x"y', "a b", "a" * 65, "", 'a","level":"error'):
        given = httpx.get(f"{server.url}/healthz", headers={"X-Request-Id": asked}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", given)


def test_hostile_bytes_cannot_break_a_line(server: ServerProcess) -> None:
    parts = urlsplit(server.url)
    hostile = b"GET /v1/journals/a%0Ab%E2%80%A8%1B[31m HTTP/1.1\r\nHost: " + parts.netloc.encode()
    for request in (hostile + b"\r\nConnection: close\r\n\r\n", b"BREW\x01 /\xff\r\n\r\n", b"\x16\x03\x01\x00\xff\r\n"):
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    requests(server)
    for line in server.log().splitlines():
        assert line.isascii() and line.isprintable() and json.loads(line)


def test_probes_are_silent_and_the_level_is_heeded(tmp_path: Path, store_url: str) -> None:
    with ServerProcess(tmp_path, store_url, "--log-level", "warning") as server:
        httpx.get(f"{server.url}/readyz")
        push(server, segment(1))
        server.stop()
        assert server.log() == ""
    with ServerProcess(tmp_path, store_url) as server:
        for path in ("/readyz", "/healthz", "/metrics"):
            assert httpx.get(server.url + path).status_code == 200
        assert requests(server) == []
    command = [sys.executable, "-m", "cmf.cli", "server", "--store", store_url, "--port", "0", "--log-level", "loud"]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 1 and "debug, info, warning, error" in said.stderr


def test_where_a_request_comes_from_is_believed_of_a_trusted_proxy_only(tmp_path: Path, store_url: str) -> None:
    said = {"X-Forwarded-For": "6.6.6.6"}
    for options, client in ((), "127.0.0.1"), (("--proxy", "127.0.0.0/8", "--insecure"), "6.6.6.6"):
        with ServerProcess(tmp_path, store_url, *options) as server:
            httpx.get(f"{server.url}/v1/journals/S", headers=said)
            assert requests(server)[-1]["client"] == client
    for wrong in ("*", "10.0.0.1/8", "proxy"):
        command = [sys.executable, "-m", "cmf.cli", "server", "--store", store_url, "--proxy", wrong]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert refused.returncode == 1 and "--proxy" in refused.stderr


def test_a_log_file_is_private_and_opened_anew_when_it_was_moved(tmp_path: Path, store_url: str) -> None:
    file = tmp_path / "cmf.log"
    with ServerProcess(tmp_path, store_url, "--log-file", str(file)) as server:
        push(server, segment(1))
        deadline = time.monotonic() + 10
        while '"site": "SITE"' not in file.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert file.stat().st_mode & 0o007 == 0
        file.rename(tmp_path / "cmf.log.1")
        push(server, segment(1))
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        server.stop()
        assert server.log() == ""
    assert lines(file.read_text())[0]["message"] == "request"
    assert lines(file.read_text())[-1]["message"] == "stopped"


def test_a_log_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path, store_url: str) -> None:
    command = [sys.executable, "-m", "cmf.cli", "server", "--store", store_url, "--log-file", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 1 and "--log-file" in said.stderr and "Traceback" not in said.stderr


def test_who_does_not_read_the_log_does_not_hold_the_server_up(tmp_path: Path, store_url: str) -> None:
    command = [sys.executable, "-m", "cmf.cli", "server", "--store", store_url, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert found
        with httpx.Client(base_url=found[0], timeout=10) as client:  # a pipe takes 64 KiB, some 200 lines
            for _ in range(1_000):
                assert client.get("/v1/journals/S").status_code == 200
        reader = threading.Thread(target=process.stderr.read)
        process.terminate()
        reader.start()
        assert process.wait(20) == 0
        reader.join()


def test_a_disk_that_is_full_costs_lines_which_are_counted_and_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    file = tmp_path / "log"
    file.symlink_to("/dev/full")
    log = Lines(file)
    for number in range(3):
        log.emit(logging.LogRecord("cmf_api", logging.INFO, "", 0, "line %d", (number,), None))
    while log.lost < 3:
        time.sleep(0.01)
    file.unlink()
    log.emit(logging.LogRecord("cmf_api", logging.INFO, "", 0, "after", (), None))
    log.close()
    assert ["3 lines" in lines(file.read_text())[0]["message"], lines(file.read_text())[1]["message"]] == [
        True,
        "after",
    ]


def test_a_fault_is_told_with_an_id_that_the_log_has_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from cmf.stores.memory import MemoryStore
    from cmf_api.app import create_app
    from cmf_api.settings import ServerSettings

    class Broken(MemoryStore):
        def stats(self) -> Any:
            raise RuntimeError("a bug")

    app = create_app(ServerSettings(home=tmp_path), Broken())

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            return await client.get("/v1/stats", headers={"X-Request-Id": "the-fault"})

    answer = anyio.run(asked)
    assert answer.status_code == 500 and "bug" not in answer.text and answer.headers["cmf-server"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "the-fault"
    assert any(record.exc_info and "failed" in record.message for record in caplog.records)

    class Failing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(500)
            self.send_header("Cmf-Server", "1")
            self.end_headers()
            self.wfile.write(answer.content)

        def log_request(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Failing) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        with pytest.raises(ServerRefused, match=r"the server failed .* \(request the-fault\)"):
            Remote(f"http://127.0.0.1:{server.server_port}").stats()
        serving.join()


def test_a_log_file_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="No such file"):
        Lines(tmp_path / "no" / "log")


def test_what_is_logged_badly_is_a_line_all_the_same() -> None:
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "%d of\n\udc80 %s", ("x",), None)
    assert json.loads(line_of(record))["message"] == "%d of\n\udc80 %s"
    assert line_of(record).count(b"\n") == 1
    assert os.linesep not in line_of(record).decode().rstrip("\n")
