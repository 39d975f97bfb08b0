"""Backups of both stores, made and brought back with the commands that the operations page names."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from neo4j_server import LAUNCHER, neo4j_server_or_skip
from pushed import push, segment
from server_process import ServerProcess

from cmf.core.errors import StoreIncompatible, StoreUnavailable
from cmf.stores.sqlite import SqliteStore, copying

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def commands(start: str) -> list[list[str]]:
    """The commands of the page that begin so, without what is behind a #."""
    found = [line.partition("  #")[0].strip() for line in PAGE.splitlines() if line.startswith(start)]
    assert found, f"the page has no command {start!r}"
    return [shlex.split(line) for line in found]


def said(words: list[str], folder: Path, code: int = 0) -> str:
    """Run a command of the page in a folder that stands for /srv/cmf; → what it says."""
    words = [word.replace("sqlite:////srv/cmf/", f"sqlite:///{folder}/") for word in words]
    program = [sys.executable, "-m", "cmf.cli", *words[1:]] if words[0] == "cmf" else [sys.executable, *words[1:]]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def records(server: ServerProcess) -> int:
    return sum(item["records"] for item in httpx.get(f"{server.url}/v1/sites").json()["items"])


def test_the_commands_of_the_page_bring_an_embedded_store_back(tmp_path: Path) -> None:
    (backup,) = commands("cmf server backup")
    (restore,) = commands("cmf server restore")
    store = f"sqlite:///{tmp_path / 'graph.db'}"
    with ServerProcess(tmp_path, store) as server:
        push(server, segment(10))
        assert "checked" in said(backup, tmp_path)  # while the server runs
        assert "is there already" in said(backup, tmp_path, 1)
        push(server, segment(30))
        assert "in use; stop the server" in said(restore, tmp_path, 1)
        assert records(server) == 30, "what was refused changed nothing"
        server.stop()
        assert "graph.db.before-1" in said(restore, tmp_path)
        server.start()
        assert records(server) == 10
        # A site that had pushed more sends it again: the server says how far it is.
        assert push(server, segment(30)).json() == {"sequence": 30, "applied": 20, "duplicates": 10}
    assert (tmp_path / "monday.db").stat().st_mode & 0o077 == 0, "a backup is for who made it"
    before = SqliteStore(tmp_path / "graph.db.before-1", durable=False)
    now = SqliteStore(tmp_path / "graph.db", durable=False)
    assert before.state() == now.state() and before.heads("SITE") == now.heads("SITE")
    before.close()
    now.close()


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server:
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                name = f"S{(number := number + 1)}"
                assert push(server, segment(20, name=name), name=name).status_code == 200

        writing = threading.Thread(target=write)
        writing.start()
        try:
            for number in range(5):
                time.sleep(0.2)
                counts = copying.backup(tmp_path / "graph.db", tmp_path / f"{number}.db")
                assert copying.check(tmp_path / f"{number}.db") == counts
                with sqlite3.connect(tmp_path / f"{number}.db") as db:
                    # A chunk and its segment's head are of one transaction.
                    heads = db.execute("SELECT count(*) FROM segment WHERE sequence <> 20").fetchone()[0]
                db.close()
                assert heads == 0
        finally:
            stop.set()
            writing.join()
    assert sorted(path.name for path in tmp_path.glob("*.partial*")) == []


def test_what_is_no_backup_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "graph.db"
    SqliteStore(store, durable=True).close()
    whole = tmp_path / "whole.db"
    copying.backup(store, whole)
    (tmp_path / "junk.db").write_bytes(b"junk" * 4096)
    (tmp_path / "half.db").write_bytes(whole.read_bytes()[: len(whole.read_bytes()) // 2])
    sqlite3.connect(tmp_path / "other.db").close()
    before = store.read_bytes()
    for name in ("junk.db", "half.db", "other.db"):
        with pytest.raises(StoreIncompatible):
            copying.restore(tmp_path / name, store, replace=True)
    for name in ("none.db", "."):
        with pytest.raises(StoreUnavailable):
            copying.restore(tmp_path / name, store, replace=True)
    with pytest.raises(StoreUnavailable, match="--force"):
        copying.restore(whole, store, replace=False)
    with pytest.raises(StoreUnavailable, match="there is no such store"):
        copying.backup(tmp_path / "none.db", tmp_path / "x.db")
    with pytest.raises(StoreUnavailable, match="No such file"):
        copying.backup(store, tmp_path / "no" / "x.db")
    assert store.read_bytes() == before
    assert not list(tmp_path.glob("*.partial*")) and not (tmp_path / "none.db").exists()
    (tmp_path / "new.db-wal").write_bytes(b"of another")
    with pytest.raises(StoreUnavailable, match="new.db-wal"):
        copying.restore(whole, tmp_path / "new.db", replace=False)
    # A store that is damaged is what a restore is for.
    store.write_bytes(b"junk" * 4096)
    _, kept = copying.restore(whole, store, replace=True)
    assert kept is not None and kept.read_bytes() == b"junk" * 4096
    assert store.stat().st_mode == kept.stat().st_mode and whole.stat().st_mode & 0o077 == 0


def test_of_two_backups_to_one_file_one_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "graph.db", durable=True).close()
    command = [sys.executable, "-m", "cmf.cli", "server", "backup", "x.db", "--store", f"sqlite:///{tmp_path}/graph.db"]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], told
    copying.check(tmp_path / "x.db")


def test_a_neo4j_is_named_with_its_own_tool(tmp_path: Path) -> None:
    words = ["cmf", "server", "backup", "x", "--store", "neo4j://user:secret@127.0.0.1:7687"]
    told = said(words, tmp_path, 1)
    assert "neo4j-admin" in told and "secret" not in told


def test_the_commands_of_the_page_bring_a_neo4j_back(tmp_path: Path) -> None:
    dump, check, load = commands("python docker/neo4j-local/admin.py")
    (tmp_path / "backups").mkdir()

    def admin(words: list[str], home: Path, code: int = 0) -> str:
        return said(["python", str(LAUNCHER.with_name("admin.py")), "--home", str(home), *words[2:]], tmp_path, code)

    with neo4j_server_or_skip() as neo4j, ServerProcess(tmp_path, neo4j.uri) as server:
        push(server, segment(10))
        assert "stop it first" in admin(dump, neo4j.home, 1)
        neo4j.stop()
        admin(dump, neo4j.home)
        assert (tmp_path / "backups" / "neo4j.dump").stat().st_size > 1000
        admin(check, neo4j.home)
        server.stop()  # as the page says: it would wait for what it knows to have written
        shutil.rmtree(neo4j.home / "data")
        (neo4j.home / "data").mkdir()
        admin(load, neo4j.home)
        neo4j.restart()
        server.start()
        # The site had pushed more meanwhile, and now sends it again.
        assert _until(server, segment(30)) == {"sequence": 30, "applied": 20, "duplicates": 10}


def _until(server: ServerProcess, body: bytes) -> dict[str, int]:
    """What a push is answered, once the Neo4j is back."""
    deadline = time.monotonic() + 60
    while (answer := push(server, body)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    told: dict[str, int] = answer.json()
    return told
