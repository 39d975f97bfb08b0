"""The way to a server that is not there, or is none; what goes well with a real one is tested with the server."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ASKING = ["push", "pull --pipeline digits", "pull --artifacts model.pkl", "log --remote", "show model.pkl --remote"]


class _AnyServer(BaseHTTPRequestHandler):
    """A web server that knows nothing of cmf."""

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_GET = do_POST = _answer  # noqa: N815 (the names that http.server calls)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def any_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _AnyServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def journal(clone: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in clone.glob(".cmf/journal/**/*") if path.is_file()}


@pytest.mark.parametrize("command", ASKING)
def test_a_server_that_is_down_costs_one_line_and_nothing_else(run: Run, clone: Path, command: str) -> None:
    before = journal(clone)
    told = run(*command.split(), at=clone, CMF_SERVER="http://127.0.0.1:9")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("cmf: nothing answers at http://127.0.0.1:9 ")
    assert told.stderr.count("\n") == 1
    assert journal(clone) == before


@pytest.mark.parametrize("command", ASKING)
def test_a_wrong_address_is_told_from_a_server(run: Run, clone: Path, any_server: str, command: str) -> None:
    before = journal(clone)
    told = run(*command.replace("--remote", "").split(), "--server", any_server, at=clone)
    assert told.returncode == 1
    assert told.stderr == f"cmf: {any_server} answered 200, but is not a cmf server; check the address\n"
    assert journal(clone) == before


def test_status_says_what_is_the_matter_with_the_server_and_does_not_fail(
    run: Run, clone: Path, any_server: str
) -> None:
    told = run("status", at=clone, CMF_SERVER="http://127.0.0.1:9")
    assert (told.returncode, told.stderr) == (0, "")
    assert "http://127.0.0.1:9 · nothing answers" in told.stdout
    found = json.loads(run("status", "--json", at=clone, CMF_SERVER=any_server).stdout)
    assert found["server"]["unpushed_bytes"] is None
    assert "is not a cmf server" in found["server"]["problem"]


@pytest.mark.parametrize("command", ["push", "pull --pipeline digits", "log --remote"])
def test_without_a_server_it_is_said_how_to_name_one(run: Run, clone: Path, command: str) -> None:
    told = run(*command.split(), at=clone)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("cmf: no server is set; run 'cmf init --server URL'")


def test_a_pull_of_nothing_in_particular_names_the_options(run: Run, clone: Path) -> None:
    told = run("pull", at=clone, CMF_SERVER="http://127.0.0.1:9")
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    for option in ("--artifacts", "--project", "--pipeline"):
        assert option in told.stderr
    assert run("pull", "--branch", "main", at=clone, CMF_SERVER="http://127.0.0.1:9").returncode == 2


def test_init_makes_a_clone_at_the_git_root_and_may_be_repeated(run: Run, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    told = run("init", "--project", "digits", at=below)
    assert told.stdout.startswith(f"made a clone: {tmp_path}\n")
    assert "next: " in told.stdout
    site = (tmp_path / ".cmf" / "site").read_text()
    told = run("init", "--server", "https://cmf.example.org/", "--namespace", "vision", at=below)
    assert told.stdout.startswith(f"already a clone: {tmp_path}\n")
    assert (tmp_path / ".cmf" / "site").read_text() == site
    settings = 'namespace = "vision"\nproject = "digits"\nserver = "https://cmf.example.org"\n'
    assert (tmp_path / ".cmf" / "config.toml").read_text() == settings
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert status.stdout == "?? .dvc/\n?? .dvcignore\n", (
        "what DVC keeps in git is there to be committed, and nothing else"
    )


@pytest.mark.parametrize(
    "url",
    ["", "cmf.example.org", "ftp://x", "http://", "http://a b", "http://x:port", "http://me:secret@x", "http://x/?q"],
)
def test_init_refuses_what_is_no_address(run: Run, tmp_path: Path, url: str) -> None:
    told = run("init", "--server", url, at=tmp_path)
    assert told.returncode == 2
    assert os.listdir(tmp_path) == []
