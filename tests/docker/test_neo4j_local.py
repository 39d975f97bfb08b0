"""docker/neo4j-local/launch.py: a real Neo4j starts, answers, and leaves nothing behind."""

import http.client
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import neo4j
import psutil
import pytest
from neo4j_server import LAUNCHER, Neo4jServer, neo4j_server_or_skip, port_of
from ruamel.yaml import YAML

COMPOSE = LAUNCHER.parent.parent / "compose.yaml"


@pytest.fixture(scope="module")
def server() -> Iterator[Neo4jServer]:
    with neo4j_server_or_skip() as server:
        yield server


@pytest.fixture
def server_to_break() -> Iterator[Neo4jServer]:
    with neo4j_server_or_skip() as server:
        yield server


def ask(server: Neo4jServer, query: str) -> list[str]:
    with neo4j.GraphDatabase.driver(server.uri, notifications_min_severity="OFF") as driver:
        return [record[0] for record in driver.execute_query(query).records]


def launch(*arguments: object, launcher: Path = LAUNCHER, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a launcher that is expected to end by itself."""
    command = [sys.executable, str(launcher), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def gone(pid: int) -> Callable[[], bool]:
    """A zombie is gone: nobody but its parent notices it any more."""

    def look() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return look


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# --- While it runs ----------------------------------------------------------------------------------------------------


def test_a_driver_and_a_browser_find_it(server: Neo4jServer) -> None:
    assert ask(server, "CALL dbms.components() YIELD versions UNWIND versions AS v RETURN v") == ["5.26.29"]
    with urllib.request.urlopen(server.browser) as page:
        assert page.status == 200
        assert "Neo4j Browser" in page.read().decode()
    with urllib.request.urlopen(server.http) as root:  # tells clients where Bolt is: on our port, not on 7687
        assert f"127.0.0.1:{port_of(server.uri)}" in root.read().decode()


def test_it_listens_on_this_machine_only(server: Neo4jServer) -> None:
    listening = [c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {port_of(server.uri), port_of(server.http)} == {address.port for address in listening}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_a_second_one_on_the_same_home_is_refused(server: Neo4jServer) -> None:
    refused = launch("--home", server.home, "--fresh")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"launch.py: another Neo4j is running on {server.home}: stop it")
    assert ask(server, "RETURN 'still here'") == ["still here"]


def test_a_taken_port_is_refused(server: Neo4jServer, tmp_path: Path) -> None:
    taken = port_of(server.uri)
    refused = launch("--home", tmp_path, "--bolt-port", taken)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"launch.py: port {taken} is taken: stop what listens there, or give another --bolt-port (0: a free one)\n"
    )


def test_with_no_port_named_the_usual_one_gives_way_to_a_free_one(server: Neo4jServer) -> None:
    launch = runpy.run_path(str(LAUNCHER))
    taken = port_of(server.uri)
    given = launch["choose_port"]("--bolt-port", None, taken)
    assert given != taken
    assert launch["choose_port"]("--bolt-port", None, given) == given


def test_neo4j_knows_every_setting_of_the_compose_file(server: Neo4jServer) -> None:
    """The image turns NEO4J_a_b__c into a.b_c and will not start on a name Neo4j does not know."""
    environment = YAML(typ="safe").load(COMPOSE)["services"]["neo4j"]["environment"]
    asked = {
        name.removeprefix("NEO4J_").replace("_", ".").replace("..", "_")
        for name in environment
        if not name.endswith("_FILE")
    }
    assert len(asked) >= 7
    assert asked - set(ask(server, "SHOW SETTINGS YIELD name RETURN name")) == set()


def test_the_health_check_of_the_compose_file_is_one_neo4j_answers(server: Neo4jServer) -> None:
    *_, url = YAML(typ="safe").load(COMPOSE)["services"]["neo4j"]["healthcheck"]["test"]
    assert url == "http://127.0.0.1:7474/"
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server.http), timeout=10)
    connection.request("HEAD", "/")  # what `wget --spider` sends
    assert connection.getresponse().status == 200
    connection.close()


# --- How it ends ------------------------------------------------------------------------------------------------------


def test_what_was_written_outlives_a_crash_and_stopping_leaves_no_process(server_to_break: Neo4jServer) -> None:
    server = server_to_break
    uri = server.uri
    ask(server, "CREATE (n:Artifact {name: 'kept'}) RETURN n.name")
    server.kill()
    assert server.launcher.returncode == 1

    server.restart()
    assert server.uri == uri
    assert ask(server, "MATCH (n:Artifact) RETURN n.name") == ["kept"]

    assert server.stop() == 0
    assert gone(server.pid)()
    assert (server.home / "logs" / "console.log").read_text().rstrip().endswith("Stopped.")


def test_killing_the_launcher_leaves_no_java_behind(server_to_break: Neo4jServer) -> None:
    server_to_break.launcher.kill()
    assert within(5, gone(server_to_break.pid))


STARTS_A_SERVER_AND_WAITS = """
import time, neo4j_server
server = neo4j_server.Neo4jServer().__enter__()
print(server.pid, server.launcher.pid, server.home, flush=True)
time.sleep(600)
"""


def test_it_stops_cleanly_when_the_test_run_that_started_it_is_killed(server: Neo4jServer) -> None:
    path = str(LAUNCHER.parent.parent.parent / "tests")
    command = [sys.executable, "-c", STARTS_A_SERVER_AND_WAITS]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, launcher, home = run.stdout.readline().split()
        run.kill()
    assert within(20, gone(int(pid)))
    assert within(20, gone(int(launcher)))
    assert (Path(home) / "logs" / "console.log").read_text().rstrip().endswith("Stopped.")
    shutil.rmtree(home)


def test_a_server_that_does_not_start_shows_what_it_printed(server: Neo4jServer, tmp_path: Path) -> None:
    failed = launch("--home", tmp_path, "--heap", "1k")
    assert failed.returncode == 1
    assert "Neo4j ended by itself (exit code 1)" in failed.stderr
    assert "Too small maximum heap" in failed.stderr


# --- Before it starts -------------------------------------------------------------------------------------------------
# A copy of the launcher has a cache of its own, and programs standing in for java and mvn need no network.


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A launcher with nothing fetched yet."""
    copy = tmp_path / "docker" / "neo4j-local"
    shutil.copytree(LAUNCHER.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bin").mkdir()
    return copy / LAUNCHER.name


def stand_in(launcher: Path, name: str, script: str) -> str:
    """Put a program of this name on a PATH with nothing else that counts, and return that PATH."""
    folder = launcher.parents[2] / "bin"
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder)


GOOD_JAVA = "echo 'openjdk version \"17.0.15\" 2025-04-15'"

# Takes a while, writes something before it is done, and notes that it was asked.
GOOD_MAVEN = """
[ "$1" = -v ] && { echo Apache Maven 3.9.9; exit; }
for word; do case $word in -DoutputDirectory=*) out=${word#*=};; esac; done
/bin/mkdir "$out"; echo > "$out/a.jar"; echo >> "${0%/bin/mvn}/asked"; /bin/sleep 1; echo > "$out/b.jar"
"""


@pytest.mark.parametrize(
    ("java", "told"),
    [
        (None, "java is not on PATH; Neo4j needs Java 17 or later: install it (Debian: apt-get install openjdk-17-"),
        ("echo 'openjdk version \"11.0.2\" 2019-01-15'", "is too old, Neo4j needs Java 17 or later"),
        ("echo 'java version \"1.8.0_402\"'", "is too old, Neo4j needs Java 17 or later"),
    ],
    ids=["missing", "11", "8"],
)
def test_java_missing_or_too_old_is_said(elsewhere: Path, java: str | None, told: str) -> None:
    path = str(elsewhere.parents[2] / "bin") if java is None else stand_in(elsewhere, "java", java)
    failed = launch(launcher=elsewhere, PATH=path)
    assert failed.returncode == 1
    assert told in failed.stderr
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("maven", "told"),
    [
        (None, "mvn is not on PATH, and Neo4j is not fetched yet: install it (Debian: apt-get install openjdk-17-"),
        ("echo Apache Maven 3.0.5", "is too old, Maven 3.2.5 or later is needed"),
    ],
    ids=["missing", "3.0.5"],
)
def test_maven_missing_or_too_old_is_said(elsewhere: Path, maven: str | None, told: str) -> None:
    path = stand_in(elsewhere, "java", GOOD_JAVA)
    if maven is not None:
        stand_in(elsewhere, "mvn", maven)
    failed = launch(launcher=elsewhere, PATH=path)
    assert failed.returncode == 1
    assert told in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_an_interrupted_fetch_is_not_taken_for_a_whole_one(elsewhere: Path) -> None:
    stand_in(elsewhere, "java", GOOD_JAVA)
    path = stand_in(elsewhere, "mvn", GOOD_MAVEN.replace("/bin/sleep 1", "echo no network; exit 1"))
    cut_short = launch("--fetch-only", launcher=elsewhere, PATH=path)
    assert cut_short.returncode == 1
    assert re.search(r"Maven could not fetch Neo4j 5\.26\.29; it said:\n +no network", cut_short.stderr)
    assert not (elsewhere.parents[2] / ".cache" / "neo4j-lib-5.26.29").exists()

    stand_in(elsewhere, "mvn", GOOD_MAVEN)
    assert launch("--fetch-only", launcher=elsewhere, PATH=path).returncode == 0
    jars = elsewhere.parents[2] / ".cache" / "neo4j-lib-5.26.29"
    assert sorted(jar.name for jar in jars.iterdir()) == ["a.jar", "b.jar"]


def test_two_launchers_at_once_fetch_once(elsewhere: Path) -> None:
    stand_in(elsewhere, "java", GOOD_JAVA)
    path = stand_in(elsewhere, "mvn", GOOD_MAVEN)
    command = [sys.executable, str(elsewhere), "--fetch-only"]
    both = [subprocess.Popen(command, env=os.environ | {"PATH": path}, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    assert (elsewhere.parents[2] / "asked").read_text() == "\n"


def test_fresh_deletes_its_own_data_and_nobody_elses(elsewhere: Path, tmp_path: Path) -> None:
    stand_in(elsewhere, "java", GOOD_JAVA)  # ends at once, which will do here
    path = stand_in(elsewhere, "mvn", GOOD_MAVEN)
    data = tmp_path / "home" / "data" / "precious"
    data.mkdir(parents=True)
    refused = launch("--home", tmp_path / "home", "--fresh", launcher=elsewhere, PATH=path)
    assert refused.returncode == 1
    assert "which this launcher did not make" in refused.stderr
    assert data.exists()

    launch("--home", tmp_path / "home", launcher=elsewhere, PATH=path)
    assert data.exists()
    launch("--home", tmp_path / "home", "--fresh", launcher=elsewhere, PATH=path)
    assert not data.exists()


def test_a_signal_while_fetching_ends_it_quietly(elsewhere: Path) -> None:
    stand_in(elsewhere, "java", GOOD_JAVA)
    path = stand_in(elsewhere, "mvn", GOOD_MAVEN.replace("/bin/sleep 1", "exec /bin/sleep 600"))
    command = [sys.executable, str(elsewhere), "--fetch-only"]
    with subprocess.Popen(command, env=os.environ | {"PATH": path}, stderr=subprocess.PIPE, text=True) as launcher:
        assert within(20, (elsewhere.parents[2] / "asked").exists)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(10) == 0
        assert launcher.stderr is not None
        assert "Traceback" not in launcher.stderr.read()
