"""A real Neo4j without Docker: fetches it once with Maven, runs it on this machine until it is told to stop.

    python docker/neo4j-local/launch.py

It listens on 127.0.0.1 only and asks for no password. Standard library only, so that any Python ≥ 3.11 runs it.
Ctrl-C or SIGTERM stops Neo4j cleanly, with exit code 0; what goes wrong is told in one clear line, with exit code 1.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
CACHE = HERE.parent.parent / ".cache"

HOST = "127.0.0.1"
USUAL_BOLT_PORT = 7687
USUAL_HTTP_PORT = 7474

OLDEST_JAVA = 17
OLDEST_MAVEN = (3, 2, 5)  # what the plugin below asks for
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
HOW_TO_INSTALL = "install it (Debian: apt-get install openjdk-17-jre-headless maven)"

START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 30
POLL_SECONDS = 0.1
LAST_LINES = 15

# The flags Neo4j's own package starts its JVM with; without the opens its page cache takes slow paths and warns.
JVM_FLAGS = (
    "-XX:+UseG1GC",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:+DisableExplicitGC",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
    "-Djdk.nio.maxCachedBufferSize=1024",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dlog4j2.disable.jmx=true",
    "-Dfile.encoding=UTF-8",
)


class LaunchError(Exception):
    """Neo4j cannot be started, or ended by itself; the message says what to do about it."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for; a port of None is the usual one if free, 0 any free one."""

    home: Path
    bolt_port: int | None
    http_port: int | None
    heap: str
    page_cache: str
    fresh: bool
    with_parent: bool
    json: bool
    fetch_only: bool


@dataclass(frozen=True)
class Address:
    """Where this Neo4j answers."""

    bolt_port: int
    http_port: int

    @property
    def bolt(self) -> str:
        """For drivers."""
        return f"neo4j://{HOST}:{self.bolt_port}"

    @property
    def http(self) -> str:
        """For a look whether it is there."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def browser(self) -> str:
        """For people: Neo4j Browser, connected when it opens."""
        return f"{self.http}/browser/?dbms={self.bolt}&db=neo4j&preselectAuthMethod=NO_AUTH"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Neo4j in the foreground and return the exit code."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        launch(options)
    except (LaunchError, OSError) as exc:  # an OSError names the file it is about
        print(f"launch.py: {exc}", file=sys.stderr)
        return 1
    return 0


def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Unwind from wherever we are; the `finally` of `running` stops Neo4j."""
    raise SystemExit(0)


def launch(options: Options) -> None:
    """Fetch what is missing, start Neo4j, say where it is, and stay until it is time to stop."""
    java = find_java()
    jars = fetched_jars()
    if options.fetch_only:
        print(f"Neo4j {version()} is in {jars}.")
        return
    with prepared_home(options) as lock:
        address = choose_address(options)
        with running(java_command(java, jars, options, address), options.home, lock) as neo4j:
            still_wanted = parent_watch() if options.with_parent else always
            wait_until_ready(neo4j, address, still_wanted)
            announce(neo4j, address, options)
            wait_until_stopped(neo4j, still_wanted)


# --- The command line -------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="launch.py", description="Run a real Neo4j on this machine, without Docker.")
    add = parser.add_argument
    add("--home", type=Path, default=CACHE / "neo4j", help="where its data and logs are kept (default: .cache/neo4j)")
    add("--bolt-port", type=int, metavar="N", help="0: any free one (default: 7687, or a free one if that is taken)")
    add("--http-port", type=int, metavar="N", help="0: any free one (default: 7474, or a free one if that is taken)")
    add("--heap", type=memory_size, default="1g", help="memory of the JVM (default: 1g)")
    add("--page-cache", type=memory_size, default="512m", help="memory for pages of the store (default: 512m)")
    add("--fresh", action="store_true", help="forget the data of this home first")
    add("--with-parent", action="store_true", help="stop when the process that started this one is gone")
    add("--json", action="store_true", help="say where it is as one line of JSON")
    add("--fetch-only", action="store_true", help="fetch the jars if they are missing, and start nothing")
    chosen = vars(parser.parse_args(arguments))
    chosen["home"] = chosen["home"].expanduser().absolute()
    return Options(**chosen)


def memory_size(text: str) -> str:
    """Accept what both the JVM and Neo4j read: digits and k, m or g."""
    if not re.fullmatch(r"[1-9]\d*[kmgKMG]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512m or 1g")
    return text.lower()


# --- Java, Maven and the jars -----------------------------------------------------------------------------------------


def version() -> str:
    """Return the version the pom names, which also names the folder of jars."""
    found = ElementTree.parse(POM).findtext("{http://maven.apache.org/POM/4.0.0}version")  # noqa: S314 - our own file
    if found is None:
        raise LaunchError(f"{POM} names no version")
    return found


def find_java() -> str:
    """Return the path of a Java that can run Neo4j 5.26."""
    java = shutil.which("java")
    if java is None:
        raise LaunchError(f"java is not on PATH; Neo4j needs Java {OLDEST_JAVA} or later: {HOW_TO_INSTALL}")
    said = said_by([java, "-version"])  # openjdk version "17.0.15" …; before Java 9 it was "1.8.0_402"
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if match is None or int(match[1]) < OLDEST_JAVA:
        raise LaunchError(
            f"{java} is too old, Neo4j needs Java {OLDEST_JAVA} or later: {HOW_TO_INSTALL}; it says: {said}"
        )
    return java


def find_maven() -> str:
    """Return the path of a Maven that can fetch the jars."""
    maven = shutil.which("mvn")
    if maven is None:
        raise LaunchError(f"mvn is not on PATH, and Neo4j is not fetched yet: {HOW_TO_INSTALL}")
    said = said_by([maven, "-v"])
    match = re.search(r"Apache Maven (\d+)\.(\d+)\.(\d+)", said)
    if match is None or tuple(map(int, match.groups())) < OLDEST_MAVEN:
        oldest = ".".join(map(str, OLDEST_MAVEN))
        raise LaunchError(f"{maven} is too old, Maven {oldest} or later is needed: {HOW_TO_INSTALL}; it says: {said}")
    return maven


def said_by(command: Sequence[str]) -> str:
    """Return the first line of what a command prints, on whichever stream."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError as exc:
        raise LaunchError(f"{command[0]} does not run: {exc.strerror}") from exc
    return next((line for line in done.stdout.splitlines() if line.strip()), "nothing")


def fetched_jars() -> Path:
    """Return the folder of jars, fetching it the first time; all homes share it."""
    jars = CACHE / f"neo4j-lib-{version()}"
    if jars.is_dir():
        return jars
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = jars.with_name(f"{jars.name}.lock")
    with locked(lock, busy="another launcher has been fetching Neo4j for ten minutes: stop it", patience_seconds=600):
        if not jars.is_dir():  # the other one may have fetched it while we waited
            fetch(jars)
    return jars


def fetch(jars: Path) -> None:
    """Have Maven copy Neo4j into `jars`, which appears whole or not at all."""
    maven = find_maven()
    print(f"Fetching Neo4j {version()} with Maven, once: 134 MB.", file=sys.stderr, flush=True)
    partial = jars.with_name(f"{jars.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a fetch that was interrupted; the lock says it is not running
    copy = [COPY_DEPENDENCIES, "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    done = subprocess.run(
        [maven, "-q", "-B", "-f", str(POM), *copy],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=die_with_this_process(),
    )
    if done.returncode != 0:
        raise LaunchError(f"Maven could not fetch Neo4j {version()}; it said:\n{last_lines(done.stdout.splitlines())}")
    partial.rename(jars)


# --- The home ---------------------------------------------------------------------------------------------------------


@contextmanager
def prepared_home(options: Options) -> Iterator[int]:
    """Make the home ready and hold its lock: no second launcher may start on it, or empty it under a running Neo4j."""
    home = options.home
    lock = home / "launch.lock"
    data = home / "data"
    if options.fresh and data.exists() and not lock.exists():
        raise LaunchError(f"--fresh would delete {data}, which this launcher did not make: give another --home")
    home.mkdir(parents=True, exist_ok=True)
    busy = f"another Neo4j is running on {home}: stop it, or give another --home"
    with locked(lock, busy=busy, patience_seconds=5) as held:  # a killed one takes a moment to be gone
        if options.fresh:
            shutil.rmtree(data, ignore_errors=True)
        for folder in ("data", "import", "logs", "plugins", "run"):
            (home / folder).mkdir(exist_ok=True)
        yield held


@contextmanager
def locked(path: Path, *, busy: str, patience_seconds: float) -> Iterator[int]:
    """Hold the lock file at `path` and yield its descriptor; the system frees it once its holders are dead, however."""
    with path.open("a") as file:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    raise LaunchError(busy) from exc
                time.sleep(POLL_SECONDS)
        yield file.fileno()


# --- Ports ------------------------------------------------------------------------------------------------------------


def choose_address(options: Options) -> Address:
    """Settle on the two ports."""
    bolt = choose_port("--bolt-port", options.bolt_port, USUAL_BOLT_PORT)
    http_ = choose_port("--http-port", options.http_port, USUAL_HTTP_PORT)
    if bolt == http_:
        raise LaunchError(f"--bolt-port and --http-port are both {bolt}: they must differ")
    return Address(bolt, http_)


def choose_port(option: str, wanted: int | None, usual: int) -> int:
    """Return the wanted port if it is free; for none the usual one or a free one, for 0 a free one."""
    if wanted is None and is_free(usual):
        return usual
    if not wanted:
        return free_port()
    if not 0 < wanted < 65536:
        raise LaunchError(f"{wanted} is not a port: give {option} a number from 1 to 65535, or 0 for a free one")
    if not is_free(wanted):
        raise LaunchError(f"port {wanted} is taken: stop what listens there, or give another {option} (0: a free one)")
    return wanted


def free_port() -> int:
    """Return a port nothing listens on, below those the system hands out to outgoing connections.

    Asking the system for port 0 gives one of the latter, which a connection of another process can take in the seconds
    before Neo4j listens, or between a stop and a restart on the same port.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        if is_free(port):
            return port
    raise LaunchError("no free port found between 20000 and 32000: give --bolt-port and --http-port")


def is_free(port: int) -> bool:
    """Say whether Neo4j could listen there; as with Java's own sockets, a connection still closing does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


# --- The process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Neo4j:
    """The running JVM and the file it prints to."""

    process: subprocess.Popen[bytes]
    console: Path

    def printed(self) -> list[str]:
        """Return the lines it has printed so far."""
        return self.console.read_text("utf-8", errors="replace").splitlines()


def java_command(java: str, jars: Path, options: Options, address: Address) -> list[str]:
    """Return the command that starts Neo4j in the foreground."""
    settings = {
        "server.default_listen_address": HOST,
        "server.bolt.listen_address": f"{HOST}:{address.bolt_port}",
        "server.http.listen_address": f"{HOST}:{address.http_port}",
        # Without these it listens on our ports and tells clients to come to 7687 and 7474.
        "server.bolt.advertised_address": f"{HOST}:{address.bolt_port}",
        "server.http.advertised_address": f"{HOST}:{address.http_port}",
        "server.memory.pagecache.size": options.page_cache,
        "db.transaction.timeout": "60s",
        "dbms.security.auth_enabled": "false",
        "dbms.security.allow_csv_import_from_file_urls": "false",
        "dbms.usage_report.enabled": "false",
        "client.allow_telemetry": "false",
        # After the databases are closed Bolt waits for stragglers, 5 s twice by default: every test run would pay it.
        "internal.server.bolt.thread_pool_shutdown_wait_time": "100ms",
        "internal.server.bolt.connection_shutdown_wait_time": "100ms",
    }
    return [
        *(java, "-cp", f"{jars}/*", f"-Xms{options.heap}", f"-Xmx{options.heap}", *JVM_FLAGS),
        *("org.neo4j.server.CommunityEntryPoint", f"--home-dir={options.home}", "--console-mode"),
        *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
    ]


@contextmanager
def running(command: Sequence[str], home: Path, lock: int) -> Iterator[Neo4j]:
    """Run Neo4j for as long as the block lasts.

    It prints to a file: nobody has to drain a pipe, and the lines are there to look at afterwards. It gets a session of
    its own, since Ctrl-C goes to the whole group of the terminal and Neo4j should be stopped by us, once. It inherits
    the home's lock, so that the home stays locked until the JVM too is gone.
    """
    console = home / "logs" / "console.log"
    with console.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            pass_fds=[lock],
            start_new_session=True,
            preexec_fn=die_with_this_process(),
        )
    try:
        yield Neo4j(process, console)
    finally:
        stop(process)


def die_with_this_process() -> Callable[[], None] | None:
    """Return what a child runs before its program so that the kernel kills it when we die, even of `kill -9`.

    Nothing here can run after a SIGKILL, so the parent cannot see to it; PR_SET_PDEATHSIG leaves it to the kernel, and
    survives exec. The signal is SIGKILL too, as nobody would be left to follow up on a gentler one; Neo4j recovers from
    its transaction log. Linux only; elsewhere a killed launcher leaves Neo4j running.
    """
    if sys.platform != "linux":
        return None
    pr_set_pdeathsig = 1  # <sys/prctl.h>
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: between fork and exec only simple calls are safe
    this_process = os.getpid()

    def in_child() -> None:
        prctl(pr_set_pdeathsig, int(signal.SIGKILL))
        if os.getppid() != this_process:  # it died between the fork and the line above
            os._exit(1)

    return in_child


def stop(process: subprocess.Popen[bytes]) -> None:
    """Have Neo4j close its store and end, and kill it if it does not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the stopping short
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# --- Waiting ----------------------------------------------------------------------------------------------------------


def always() -> bool:
    """Nobody to watch: Neo4j is wanted until a signal says otherwise."""
    return True


def parent_watch() -> Callable[[], bool]:
    """Return a function that says whether the process that started us still lives: an orphan gets another parent."""
    parent = os.getppid()
    return lambda: os.getppid() == parent


def wait_until_ready(neo4j: Neo4j, address: Address, still_wanted: Callable[[], bool]) -> None:
    """Return once Neo4j says it has started and both its ports answer."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not (is_started(neo4j) and bolt_answers(address) and http_answers(address)):
        leave_unless(still_wanted)
        check_alive(neo4j)
        if time.monotonic() > deadline:
            raise LaunchError(f"Neo4j was not ready after {START_TIMEOUT_SECONDS} s; {told(neo4j)}")
        time.sleep(POLL_SECONDS)


def wait_until_stopped(neo4j: Neo4j, still_wanted: Callable[[], bool]) -> NoReturn:
    """Stay until a signal comes, the parent goes or Neo4j ends by itself; never returns."""
    while True:
        leave_unless(still_wanted)
        check_alive(neo4j)
        time.sleep(POLL_SECONDS)


def leave_unless(still_wanted: Callable[[], bool]) -> None:
    """Unwind, as a signal would have us do, when nobody wants Neo4j any more."""
    if not still_wanted():
        raise SystemExit(0)


def check_alive(neo4j: Neo4j) -> None:
    """Raise LaunchError if Neo4j has ended."""
    code = neo4j.process.poll()
    if code is not None:
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        raise LaunchError(f"Neo4j ended by itself ({how}); {told(neo4j)}")


def told(neo4j: Neo4j) -> str:
    """Return the end of what Neo4j printed, for a message."""
    return f"the end of {neo4j.console}:\n{last_lines(neo4j.printed())}"


def last_lines(lines: Sequence[str]) -> str:
    """Return the last lines, indented."""
    return "\n".join(f"    {line}" for line in deque(lines, LAST_LINES)) or "    (nothing)"


def is_started(neo4j: Neo4j) -> bool:
    """Say whether Neo4j has printed its last word on starting."""
    return any(line.endswith("Started.") for line in neo4j.printed())


def bolt_answers(address: Address) -> bool:
    """Shake hands as a driver does: the magic number and four versions offered, one chosen in return."""
    offer = bytes.fromhex("6060b01700000005000004040000000000000000")
    try:
        with socket.create_connection((HOST, address.bolt_port), timeout=5) as connection:
            connection.sendall(offer)
            chosen = connection.recv(4)
    except OSError:
        return False
    return len(chosen) == 4 and chosen != bytes(4)


def http_answers(address: Address) -> bool:
    """Ask for the root. Not urllib: it would go through a proxy named in the environment."""
    connection = http.client.HTTPConnection(HOST, address.http_port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def announce(neo4j: Neo4j, address: Address, options: Options) -> None:
    """Say where Neo4j is: a line for programs, or a few for people."""
    if options.json:
        where = {"bolt": address.bolt, "http": address.http, "browser": address.browser, "pid": neo4j.process.pid}
        print(json.dumps(where), flush=True)
        return
    print(f"Neo4j {version()} is running at {address.bolt}; its data is in {options.home}.")
    print(f"Neo4j Browser: {address.browser}")
    print("It asks for no password and listens on this machine only. Ctrl-C stops it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
