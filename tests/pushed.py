"""Pushes by hand: the lines of a segment, as a client's bytes."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx
from histories import artifact
from server_process import ServerProcess

from cmf.core.operations import SetProperty
from cmf.core.records import Header, header_line, record_line
from cmf.core.wire import NDJSON

AT = "2026-01-01T00:00:00.000000Z"


def segment(records: int, site: str = "SITE", name: str = "SEGMENT") -> bytes:
    """A segment with so many records, from its header on."""
    line, total = header_line(Header(1, site, name, "test", AT))
    lines = [line]
    for sequence in range(1, records + 1):
        said = SetProperty(key=artifact("thing"), name=f"n{sequence}", value=1)
        line, total = record_line(total, sequence, AT, said)
        lines.append(line)
    return b"".join(line + b"\n" for line in lines)


def push(
    server: ServerProcess, body: bytes, site: str = "SITE", name: str = "SEGMENT", **headers: str
) -> httpx.Response:
    """Push it."""
    return httpx.post(
        f"{server.url}/v1/journals/{site}/{name}", content=body, headers={"Content-Type": NDJSON} | headers, timeout=60
    )


def begun(server: ServerProcess, body: bytes) -> tuple[socket.socket, bytes]:
    """A push of which half is sent, and the rest."""
    parts = urlsplit(server.url)
    assert parts.hostname and parts.port
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    head = f"POST /v1/journals/SITE/SEGMENT HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {NDJSON}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
    return connection, body[len(body) // 2 :]
