"""A real Neo4j for tests: the one `CMF_TEST_NEO4J_URI` names, or one started by docker/neo4j-local/launch.py.

Where neither can be had the test is skipped, loudly; with `CMF_REQUIRE_NEO4J=1`, as in CI, it fails instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Self
from urllib.parse import urlsplit

import pytest

LAUNCHER = Path(__file__).resolve().parent.parent / "docker" / "neo4j-local" / "launch.py"


@contextmanager
def neo4j_uri_or_skip() -> Iterator[str]:
    """Yield the URI of a Neo4j that asks for no password; never a thing to kill or to measure, as it may be shared."""
    given = os.environ.get("CMF_TEST_NEO4J_URI")
    if given:
        yield given
        return
    with neo4j_server_or_skip() as server:
        yield server.uri


@contextmanager
def neo4j_server_or_skip() -> Iterator[Neo4jServer]:
    """Yield a Neo4j of this test's own, which it may kill and restart."""
    found = subprocess.run([sys.executable, LAUNCHER, "--fetch-only"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        no_neo4j(found.stderr.strip())
    with Neo4jServer() as server:
        yield server


def no_neo4j(reason: str) -> NoReturn:
    """Skip, or fail where Neo4j is required."""
    told = f"NO NEO4J, so what needs one is NOT TESTED: {reason}"
    if os.environ.get("CMF_REQUIRE_NEO4J") == "1":
        pytest.fail(told, pytrace=False)
    pytest.skip(told)


class Neo4jServer:
    """A Neo4j in a temporary home, on free ports; it dies with the process that started it.

        with Neo4jServer() as server:
            driver = neo4j.GraphDatabase.driver(server.uri)
            server.kill()     # as in a crash
            server.restart()  # the same home, the same ports

    Raises RuntimeError, with what the launcher said, if Neo4j does not start.
    """

    uri: str  # neo4j://127.0.0.1:…
    http: str
    browser: str  # Neo4j Browser, connected when it opens
    pid: int  # of the JVM
    launcher: subprocess.Popen[str]

    def __init__(self, *, heap: str = "1g") -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cmf-neo4j-"))
        self.heap = heap
        self._ending = threading.Lock()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.home)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        shutil.rmtree(self.home)

    def start(self, *, bolt_port: int = 0, http_port: int = 0) -> None:
        """Start it and wait until it answers."""
        ports = [f"--bolt-port={bolt_port}", f"--http-port={http_port}"]
        self.launcher = subprocess.Popen(
            [sys.executable, LAUNCHER, f"--home={self.home}", *ports, f"--heap={self.heap}", "--with-parent", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.launcher.stdout is not None
        try:
            line = self.launcher.stdout.readline()
            if not line:
                raise RuntimeError(self.launcher.communicate()[1])
        except BaseException:
            self.stop()
            raise
        told = json.loads(line)
        self.uri, self.http, self.browser, self.pid = told["bolt"], told["http"], told["browser"], told["pid"]

    def stop(self) -> int:
        """Stop it as a person would, and return the launcher's exit code; a second time changes nothing."""
        self.launcher.terminate()
        return self.ended()

    def kill(self) -> None:
        """Kill the JVM with what it has in memory, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)
        self.ended()

    def restart(self) -> None:
        """Start it again on the same home and ports, after stopping it if it still runs."""
        self.stop()
        self.start(bolt_port=port_of(self.uri), http_port=port_of(self.http))

    def ended(self) -> int:
        """Wait until the launcher, which outlives the JVM, has ended."""
        with self._ending:  # a test may kill it from a thread of its own
            self.launcher.communicate(timeout=60)  # also closes the pipes
        return self.launcher.returncode


def port_of(url: str) -> int:
    """Return the port a URL names."""
    port = urlsplit(url).port
    assert port is not None
    return port
