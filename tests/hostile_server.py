"""A server that answers what it likes, however long it likes, on a free port of the loopback address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Self

Answer = Callable[[bytes], Iterable[bytes]]
"""From a request's head to the pieces that are sent back; the connection closes behind the last."""


class HostileServer:
    """Runs until the `with` ends. `asked` are the heads of the requests that it had."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._open: list[socket.socket] = []
        self.asked: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            connection.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := connection.recv(1 << 16)):
                    return
                head += piece
            self.asked.append(head)
            for piece in self._answer(head):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # whoever asked hung up
        finally:
            connection.close()
