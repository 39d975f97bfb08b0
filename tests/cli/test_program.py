"""The program as a whole: help, exit codes, commands that others join, start-up."""

from __future__ import annotations

import functools
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from cmf import __version__
from cmf.cli.program import app

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMANDS = ["init", "status", "log", "show", "lineage", "relate", "retract", "push", "pull"]
COMMANDS += [
    "login",
    "logout",
    "export",
    "run",
    "fsck",
    "rebuild",
    "reproduce",
    "dvc",
    "import",
    "artifacts",
    "server",
    "token",
]


def test_every_command_is_listed(run: Run, tmp_path: Path) -> None:
    told = run("--help", at=tmp_path)
    assert told.returncode == 0
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b .*[A-Z]", told.stdout)] == []
    group = typer.main.get_command(app)
    assert group.list_commands(typer.Context(group)) == COMMANDS  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["", *COMMANDS, "artifacts push", "artifacts pull", "artifacts list"])
def test_the_help_of_every_command_has_an_example(run: Run, tmp_path: Path, command: str) -> None:
    told = run(*command.split(), "--help", at=tmp_path)
    assert told.returncode == 0
    assert re.search(rf"Example: cmf {command}", told.stdout), told.stdout


def test_the_version_is_said_without_loading_what_it_does_not_need(tmp_path: Path) -> None:
    code = "import sys, cmf.cli; sys.argv = ['cmf', '--version']\ntry: cmf.cli.main()\nfinally: print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    version, loaded = told.stdout.splitlines()
    assert version == f"cmf {__version__}"
    heavy = {"rich", "httpx", "sqlite3", "git", "msgspec", "networkx", "fastapi", "neo4j", "importlib.metadata"}
    assert heavy & set(loaded.split()) == set()


def test_a_wrong_use_exits_with_2(run: Run, clone: Path) -> None:
    wrong = ["lgo"], ["log", "-n", "0"], ["show"], ["show", ""], ["log", "--server", "ftp://x"], ["show", "\udcff"]
    for arguments in wrong:
        told = run(*arguments, at=clone)
        assert (told.returncode, told.stdout) == (2, ""), arguments
    assert re.search("Did you mean .*'log'", run("lgo", at=clone).stderr)


@pytest.mark.parametrize(
    "command", ["status", "log", "show x", "lineage x", "push", "pull", "export x", "import x", "fsck", "rebuild"]
)
def test_outside_of_a_clone_one_line_says_so(run: Run, tmp_path: Path, command: str) -> None:
    told = run(*command.split(), at=tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert re.fullmatch(r"cmf: .*no \.cmf folder here or in a folder above; run 'cmf init' first\n", told.stderr)


def test_an_interrupt_exits_with_130_and_says_nothing(clone: Path, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        command = [sys.executable, "-m", "cmf.cli", "push", "--server", url]
        # A shell starts what runs in the background with interrupts ignored, and whoever runs the tests may be such.
        heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        with subprocess.Popen(command, cwd=clone, env=environment, stdout=-1, stderr=-1, preexec_fn=heed) as pushing:
            connection, _ = deaf.accept()
            with connection:
                connection.recv(1)  # it has asked, and waits
                time.sleep(0.2)
                pushing.send_signal(signal.SIGINT)
                assert pushing.communicate(timeout=30) == (b"", b"")
    assert pushing.returncode == 130


@pytest.mark.parametrize("command", ["lineage model.pkl --format html", "lineage model.pkl --json", "log"])
def test_a_reader_that_leaves_is_no_error(clone: Path, environment: dict[str, str], command: str) -> None:
    started = [sys.executable, "-m", "cmf.cli", *command.split()]
    with subprocess.Popen(started, cwd=clone, env=environment, stdout=-1, stderr=-1) as writing:
        assert writing.stdout and writing.stderr
        writing.stdout.close()
        assert writing.stderr.read() == b""


def test_a_command_of_another_package_joins_and_a_broken_one_does_not_break_the_rest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "guest.py").write_text(
        'def hello(name: str = "you") -> None:\n    "Greet."\n    print("hello", name)\n'
    )
    folder = tmp_path / "guest-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[cmf.commands]\nhello = guest:hello\nbroken = guest:gone\n")
    path = {"PYTHONPATH": str(tmp_path)}
    assert run("hello", "--name", "graph", at=tmp_path, **path).stdout == "hello graph\n"
    assert "Greet." in run("--help", at=tmp_path, **path).stdout
    told = run("broken", at=tmp_path, **path)
    assert told.returncode == 1
    assert re.fullmatch(r"cmf: cmf broken \(guest:gone\) cannot be loaded: .*; reinstall its package\n", told.stderr)
