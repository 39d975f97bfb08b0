"""A real `cmf server` as a process of its own, on a free port of the loopback address."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx


class ServerProcess:
    """Runs until the `with` ends; `kill` and `start` again as often as a test likes, on the same port."""

    def __init__(self, folder: Path, store: str, *options: str) -> None:
        self._folder = folder
        self._store = store
        self._options = options
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        command = [sys.executable, "-m", "cmf.cli", "server", "--store", self._store, "--port", str(self._port)]
        self._log = (self._folder / "server.log").open("a+")
        self._process = subprocess.Popen(
            [*command, *self._options], stdout=subprocess.PIPE, stderr=self._log, text=True, env=dict(os.environ)
        )
        assert self._process.stdout
        said = self._process.stdout.readline()
        found = re.search(r"http://[\d.]+:(\d+)", said)
        assert found, f"the server said {said!r}; its log: {self.log()}"
        self.url, self._port = found[0], int(found[1])
        self._wait()

    def stop(self) -> int:
        """SIGTERM; → its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(30)
        self._gone()
        return code

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._gone()

    def log(self) -> str:
        return (self._folder / "server.log").read_text()

    def _gone(self) -> None:
        assert self._process and self._process.stdout
        self._process.stdout.close()
        self._log.close()
        self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"the server does not answer; its log: {self.log()}")
