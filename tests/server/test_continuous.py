"""`push = "continuous"`: what real processes record is on a real server at once, whatever befalls either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from histories import as_recorded
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.repository import Repository

ONE = "import cmf\nwith cmf.run('p', 's') as run:\n    run.set(a=1)\n"
SECONDS = 20.0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    root.mkdir()
    Repository.create(root).close()
    return root


def python(site: Path, url: str, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with started(site, url, program, **environment) as process:
        said, complaints = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complaints)


def started(site: Path, url: str, program: str, **environment: str) -> subprocess.Popen[str]:
    own = {"CMF_SERVER": url, "CMF_PUSH": "continuous", "CMF_VERSIONING": "none", "CMF_DATA": "none"}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=site,
        env=dict(os.environ) | own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lacks(site: Path, url: str) -> int:
    repository = Repository.find(site, catch_up=False)
    try:
        return sync.unpushed_bytes(repository, Remote(url))
    finally:
        repository.close()


def test_what_is_recorded_is_on_the_server_while_the_program_runs(
    site: Path, server: ServerProcess, open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import cmf, sys\nwith cmf.run('p', 's') as run:\n    run.set(a=1)\n    print(run.key, flush=True)\n"
    program += "    sys.stdin.readline()\n"
    with started(site, server.url, program.replace("sys.stdin.readline()", "import time; time.sleep(60)")) as process:
        assert process.stdout
        key = process.stdout.readline().strip()
        wait_until(lambda: lacks(site, server.url) == 0)
        assert cmf.query(server.url).show(key).node.properties["a"] == 1
        process.kill()
    assert python(site, server.url, ONE).stderr == ""
    repository = Repository.find(site)
    store = open_store()
    assert store.state() == as_recorded(repository)
    assert len(list(cmf.query(server.url).executions())) == 2
    store.close()
    repository.close()


WAYS_TO_END = {
    "return": ("pass", 0),
    "sys.exit": ("import sys; sys.exit(3)", 3),
    "exception": ("raise ValueError('no')", 1),
    "thread": ("import threading; threading.Thread(target=lambda: run.set(b=2)).start()", 0),
}


@pytest.mark.parametrize("way", WAYS_TO_END)
def test_everything_is_sent_when_a_program_ends(site: Path, tmp_path: Path, way: str) -> None:
    end, code = WAYS_TO_END[way]
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/g/graph.db") as server:
        program = f"import cmf\nwith cmf.run('p', 's') as run:\n    run.metric('loss', 1.0, step=1)\n    {end}\n"
        done = python(site, server.url, program)
        assert done.returncode == code and "cmf" not in done.stderr.replace("with cmf.run", ""), done.stderr
        assert lacks(site, server.url) == 0


def test_what_a_process_that_did_not_end_well_left_goes_with_the_next(site: Path, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/g/graph.db") as server:
        for end in ("os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGTERM)"):
            done = python(site, server.url, f"import os, signal\n{ONE}    {end}\n")
            assert done.stderr == ""
        assert python(site, server.url, ONE).stderr == ""
        assert lacks(site, server.url) == 0


FORKS = """
import multiprocessing, cmf, os
def child(n):
    with cmf.run('p', f'child{n}') as run:
        for step in range(20):
            run.metric('loss', 1 / (step + 1), step=step)
        run.set(n=n)
if __name__ == '__main__':
    with cmf.run('p', 'parent') as run:
        run.set(a=1)
        context = multiprocessing.get_context('fork')
        children = [context.Process(target=child, args=(n,)) for n in range(6)]
        for one in children: one.start()
        for one in children: one.join()
        assert [one.exitcode for one in children] == [0] * 6
        for _ in range(3):
            if os.fork() == 0:
                run.set(b=2)
                raise SystemExit(0)
            assert os.wait()[1] == 0
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_send_theirs_and_the_parent_what_they_left(site: Path, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/g/graph.db") as server:
        begin = time.monotonic()
        done = python(site, server.url, FORKS, PYTHONWARNINGS="ignore::DeprecationWarning")
        assert (done.returncode, done.stderr) == (0, "")
        assert time.monotonic() - begin < 30
        assert lacks(site, server.url) == 0
        assert len(list(cmf.query(server.url).executions())) == 7


def test_without_a_server_recording_goes_on_and_is_told_once(site: Path, tmp_path: Path) -> None:
    many = "import cmf, time\nwith cmf.run('p', 's') as run:\n    for n in range(50): run.set(n=n); time.sleep(0.02)\n"
    begin = time.monotonic()
    done = python(site, "http://127.0.0.1:9", many)
    assert done.returncode == 0 and time.monotonic() - begin < 10
    assert done.stderr.count("nothing answers") == 2, done.stderr
    assert done.stderr.count("Recording goes on") == 1 and done.stderr.count("are not on http://127.0.0.1:9 yet") == 1
    assert "Traceback" not in done.stderr
    as_errors = python(site, "http://127.0.0.1:9", ONE, PYTHONWARNINGS="error::UserWarning")
    assert as_errors.returncode == 0 and "Traceback" not in as_errors.stderr and "not on http" in as_errors.stderr
    none = python(site, "", ONE)
    assert none.returncode == 0 and none.stderr.count("no server is set") == 1
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/g/graph.db") as server:
        assert python(site, server.url, ONE).stderr == ""
        assert lacks(site, server.url) == 0


def test_a_server_that_comes_back_gets_what_it_missed(site: Path, server: ServerProcess) -> None:
    program = "import cmf, time\nwith cmf.run('p', 's') as run:\n    print('on', flush=True)\n"
    program += "    for n in range(2000): run.set(n=n); time.sleep(0.01)\n"
    with started(site, server.url, program) as process:
        assert process.stdout
        process.stdout.readline()
        wait_until(lambda: cmf.query(server.url).stats().kinds.get("execution"))
        server.kill()
        time.sleep(1.0)
        assert process.poll() is None
        server.start()
        before = lacks(site, server.url)
        wait_until(lambda: before == 0 or lacks(site, server.url) < before)
        wait_until(lambda: lacks(site, server.url) < 5_000)
        assert sync.push(Repository.find(site, catch_up=False), Remote(server.url)) is not None, "at the same time"
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
        assert "cmf-push" not in complaints
    assert lacks(site, server.url) == 0


class Refusing(BaseHTTPRequestHandler):
    """Answers as a cmf server that is asked for too much, by the path it was reached under; or not at all."""

    asked: ClassVar[dict[str, int]] = {}

    def do_POST(self) -> None:
        status = self.path.split("/")[1]
        self.asked[status] = self.asked.get(status, 0) + 1
        self.rfile.read(int(self.headers["content-length"]))
        if status == "slow":
            time.sleep(8)
            return
        body = b'{"detail": "not now"}'
        self.send_response(int(status))
        self.send_header("Cmf-Server", "0")
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.mark.parametrize("status", ["401", "403", "422", "500", "503", "slow"])
def test_a_server_that_refuses_is_told_once_and_holds_no_program_up(site: Path, refusing: str, status: str) -> None:
    program = "import cmf, time\nwith cmf.run('p', 's') as run:\n    for n in range(100):\n"
    program += "        run.set(n=n)\n        time.sleep(0.01)\n"
    begin = time.monotonic()
    done = python(site, f"{refusing}/{status}", program, CMF_PUSH_SECONDS="1.5")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert time.monotonic() - begin < 15
    assert done.stderr.count("Recording goes on") == (0 if status == "slow" else 1), done.stderr
    assert done.stderr.count("bytes of what was recorded are not on") == 1
    assert Refusing.asked[status] <= 5
