"""A client in a process of its own: `python bench/client.py push|again|pull CLONE URL [QUESTION]`.

It gets everything ready, says so, waits for a line, does its work, and tells of it as JSON; then it waits for another
line, so that its memory can be looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from cmf import own_process, sync
from cmf.core.wire import PullQuestion
from cmf.remote import JournalHead, Remote
from cmf.repository import Repository


class Forgetful(Remote):
    """A server that seems to know nothing, so that everything is pushed again."""

    def heads(self, site: str) -> dict[str, JournalHead]:
        """Nothing at all."""
        return {}


def main(work: str, root: str, url: str, question: str = "{}") -> None:
    """Do one piece of work on the parent's word."""
    own_process.suit()  # as the CLI does
    # What is measured is the transfer: the view of what was recorded here is caught up elsewhere.
    repository = Repository(Path(root), catch_up=work == "pull")
    server = Forgetful(url) if work == "again" else Remote(url)
    requests: list[str] = []
    server._client.event_hooks["request"].append(lambda request: requests.append(request.method))
    asked = msgspec.json.decode(question, type=PullQuestion)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    done = sync.pull(repository, server, asked) if work == "pull" else sync.push(repository, server)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "requests": len(requests), **done._asdict()}), flush=True)
    sys.stdin.readline()


class Client:
    """The parent's end of it."""

    def __init__(self, work: str, root: Path, url: str, question: PullQuestion | None = None) -> None:
        asked = msgspec.json.encode(question or PullQuestion()).decode()
        command = [sys.executable, __file__, work, str(root), url, asked]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._line()

    def do(self) -> dict[str, Any]:
        """Let it work; → what it told."""
        self._go()
        told: dict[str, Any] = json.loads(self._line())
        return told

    def end(self) -> None:
        """Let it go."""
        self._process.communicate("\n")

    def _go(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client process ended early; what it said is above")
        return line


def run(work: str, root: Path, url: str, question: PullQuestion | None = None) -> dict[str, Any]:
    """Start a client, let it do its work, and let it go; → what it told."""
    client = Client(work, root, url, question)
    told = client.do()
    client.end()
    return told


if __name__ == "__main__":
    main(*sys.argv[1:])
