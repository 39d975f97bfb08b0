"""A server that is told to stop finishes what is in progress, within a limit, and says so."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from pathlib import Path

import httpx
import pytest
from pushed import begun, segment
from server_process import ServerProcess


def stopping(server: ServerProcess, sign: signal.Signals = signal.SIGTERM) -> None:
    """Tell it to stop, and wait until it has heard it."""
    process = server._process
    assert process
    process.send_signal(sign)
    deadline = time.monotonic() + 20
    while "stopping; requests in progress" not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.01)


def ended(server: ServerProcess) -> int:
    assert server._process
    code = server._process.wait(30)
    server._gone()
    return code


def records(folder: Path) -> int:
    with sqlite3.connect(folder / "graph.db") as db:
        found: int = db.execute("SELECT coalesce(sum(sequence), 0) FROM segment").fetchone()[0]
    db.close()
    return found


def store(folder: Path) -> str:
    return f"sqlite:///{folder / 'graph.db'}"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_push_in_progress_is_finished_and_answered(tmp_path: Path, sign: signal.Signals) -> None:
    with ServerProcess(tmp_path, store(tmp_path)) as server:
        connection, rest = begun(server, segment(50))
        time.sleep(0.3)
        with connection:
            stopping(server, sign)
            deadline = time.monotonic() + 5
            with pytest.raises(httpx.TransportError):  # nobody new is let in
                while time.monotonic() < deadline:
                    httpx.get(f"{server.url}/healthz")
            connection.sendall(rest)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert b"200 OK" in answer and b'"applied":50' in answer
        assert ended(server) == (0 if sign == signal.SIGTERM else 130)
        said = [json.loads(line) for line in server.log().splitlines()]
        assert said[-1]["message"] == "stopped"
        assert next(line for line in said if "stopping" in line["message"])["requests_in_progress"] == 1
    assert records(tmp_path) == 50


def test_what_takes_too_long_is_given_up_and_nothing_of_it_taken(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, store(tmp_path), "--grace", "1") as server:
        connection, _ = begun(server, segment(50))
        time.sleep(0.3)
        with connection:
            began = time.monotonic()
            stopping(server)
            assert ended(server) == 0
            assert 0.5 < time.monotonic() - began < 15
        assert "Unanswered" in server.log()
    assert records(tmp_path) == 0


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, store(tmp_path)) as server:
        connection, _ = begun(server, segment(50))
        time.sleep(0.3)
        with connection:
            stopping(server)
            began = time.monotonic()
            assert server._process
            server._process.send_signal(signal.SIGTERM)
            assert ended(server) == 128 + signal.SIGTERM
            assert time.monotonic() - began < 5
        assert "again: stopped at once" in server.log()
    assert records(tmp_path) == 0
