"""A network that fails as it is told: a proxy between a site and the server, which strikes one request of a push."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from typing import Final, NamedTuple

CUTS: Final = ("refused", "request cut", "sender gone", "answer lost", "answer cut")
"""What the sender notices: its push fails, whatever the server did with the request."""

REPEATS: Final = ("slow", "repeated", "twice at once", "copy arrives late")
"""What it does not notice."""

KINDS: Final = CUTS + REPEATS

_PUSH: Final = b"POST /v1/journals/"


class Message(NamedTuple):
    """A request or an answer, as it came."""

    first: bytes
    """Its first line."""
    raw: bytes
    body: bytes


class Answered(NamedTuple):
    """What the server answered to a push, whether or not that came through."""

    status: int
    applied: int
    detail: str
    code: str


class Network:
    """Runs until it is closed. Every answer to a push that reached this side of it is in `answers`."""

    def __init__(self, server_port: int) -> None:
        self.struck: Counter[str] = Counter()
        self.pushes = 0
        """How many pushes have set out."""
        self.answers: list[Answered] = []
        self.parted = False
        """Nothing comes through while it is so."""
        self._server = ("127.0.0.1", server_port)
        self._lock = threading.Lock()
        self._armed: tuple[str, int, random.Random] | None = None
        self._busy: set[threading.Thread] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def strike(self, kind: str, after: int, seed: int) -> None:
        """Let a fault strike the next request but `after`."""
        with self._lock:
            self._armed = (kind, after, random.Random(seed))

    def heal(self) -> None:
        """Let nothing more strike, and wait for what is still under way."""
        with self._lock:
            self._armed = None
            busy = list(self._busy)
        for thread in busy:
            thread.join(30)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError, EOFError):
            while (request := _receive(client)) is not None:
                if self.parted:
                    self.struck["parted"] += 1
                    _reset(client)
                    return
                kind, chance = self._fault()
                if kind:
                    self.struck[kind] += 1
                answer = self._pass_on(request, kind, chance)
                if answer is None:
                    _reset(client)
                    return
                if kind == "answer cut":
                    client.sendall(answer.raw[: chance.randrange(1, len(answer.raw))])
                    _reset(client)
                    return
                client.sendall(answer.raw)

    def _fault(self) -> tuple[str, random.Random]:
        """What strikes this request."""
        with self._lock:
            if self._armed is None:
                return "", random.Random(0)
            kind, after, chance = self._armed
            self._armed = (kind, after - 1, chance) if after else None
            return ("" if after else kind), chance

    def _pass_on(self, request: Message, kind: str, chance: random.Random) -> Message | None:
        """The answer for the sender; None where it gets none."""
        self.pushes += request.first.startswith(_PUSH)
        cut = chance.randrange(1, len(request.raw))
        match kind:
            case "refused":
                return None
            case "request cut":
                with closing(socket.create_connection(self._server)) as server:
                    server.sendall(request.raw[:cut])
                    time.sleep(chance.uniform(0, 0.05))
                    _reset(server)
                return None
            case "sender gone":
                with closing(socket.create_connection(self._server)) as server:
                    server.sendall(request.raw)
                    time.sleep(chance.uniform(0, 0.05))
                    _reset(server)
                return None
            case "answer lost":
                self._ask(request)
                return None
            case "slow":
                return self._ask(request, cut, chance.uniform(0.05, 0.4))
            case "repeated":
                self._ask(request)
                return self._ask(request)
            case "twice at once":
                other = self._aside(request, 0)
                answer = self._ask(request)
                other.join()
                return answer
            case "copy arrives late":
                self._aside(request, chance.uniform(0.05, 1.5))
        return self._ask(request)

    def _aside(self, request: Message, pause_seconds: float) -> threading.Thread:
        """Send a request beside all else, after a while."""

        def send() -> None:
            time.sleep(pause_seconds)
            with suppress(OSError, EOFError):
                self._ask(request)
            with self._lock:
                self._busy.discard(thread)

        thread = threading.Thread(target=send, daemon=True)
        with self._lock:
            self._busy.add(thread)
        thread.start()
        return thread

    def _ask(self, request: Message, cut: int = 0, pause_seconds: float = 0.0) -> Message:
        with closing(socket.create_connection(self._server, timeout=120)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.sendall(request.raw[:cut])
            time.sleep(pause_seconds)
            server.sendall(request.raw[cut:])
            answer = _receive(server)
        if answer is None:
            raise EOFError
        if request.first.startswith(_PUSH):
            told = json.loads(answer.body)
            status = int(answer.first.split()[1])
            self.answers.append(Answered(status, told.get("applied", 0), told.get("detail", ""), told.get("code", "")))
        return answer


def _receive(connection: socket.socket) -> Message | None:
    """The next message; None where the other side has ended."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        if not (piece := connection.recv(1 << 16)):
            return None
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
    if fields.get(b"transfer-encoding") == b"chunked":
        return _receive_chunked(connection, lines[0], raw)
    missing = int(fields.get(b"content-length", b"0")) - len(body)
    pieces = [body]
    while missing > 0:
        if not (piece := connection.recv(1 << 16)):
            raise EOFError
        pieces.append(piece)
        missing -= len(piece)
    body = b"".join(pieces)
    return Message(lines[0], head + b"\r\n\r\n" + body, body)


def _receive_chunked(connection: socket.socket, first: bytes, raw: bytes) -> Message:
    """The rest of an answer that comes in chunks, which are passed on as they are."""
    while not raw.endswith(b"\r\n0\r\n\r\n"):
        if not (piece := connection.recv(1 << 16)):
            raise EOFError
        raw += piece
    return Message(first, raw, raw.partition(b"\r\n\r\n")[2])


def _reset(connection: socket.socket) -> None:
    """Let the close that follows break the connection, not end it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
