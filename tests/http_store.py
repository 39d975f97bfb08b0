"""A small HTTP server that keeps what it is sent in a folder, on a free port of the loopback address."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


class HttpStore:
    """Runs until the `with` ends. `asked` are the methods and paths of all requests; `pause` slows an answer down.

    With `secret` it wants that as a password.
    """

    def __init__(self, folder: Path, pause: float = 0, secret: str | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def do_POST(self) -> None:
                if not self._is_allowed():
                    return
                store.asked.append((self.command, self.path))
                file = folder / self.path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self._body())
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if (length := self.headers.get("Content-Length")) is not None:
                    return self.rfile.read(int(length))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _is_allowed(self) -> bool:
                if secret is None or secret in self.headers.get("Authorization", ""):
                    return True
                self.send_error(401)
                self.close_connection = True
                return False

            def _answer(self, *, body: bool) -> None:
                if not self._is_allowed():
                    return
                store.asked.append((self.command, self.path))
                file = folder / self.path.lstrip("/")
                self.send_response(200 if file.is_file() else 404)
                content = file.read_bytes() if file.is_file() else b""
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    time.sleep(pause)
                    self.wfile.write(content[len(content) // 2 :])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
