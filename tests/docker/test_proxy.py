"""The proxy's configuration in a real nginx: TLS in front of a real server. Only addresses and file names are changed.

Where there is no nginx the tests are skipped, loudly; with `CMF_REQUIRE_NGINX=1`, as in CI, they fail instead.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pushed import segment
from ruamel.yaml import YAML
from server_process import ServerProcess

import cmf
from cmf.core.wire import NDJSON

DOCKER = Path(__file__).resolve().parents[2] / "docker"
CONFIGURATION = DOCKER / "proxy" / "nginx.conf"
TOKEN = "secret-of-this-test"


class Proxy:
    """A running nginx, and the server behind it."""

    def __init__(self, server: ServerProcess, folder: Path, https: int, http: int) -> None:
        self.server = server
        self.folder = folder
        self.certificate = folder / "certificate.pem"
        self.url = f"https://localhost:{https}"
        self.plain = f"http://localhost:{http}"
        self.port = https

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKEN}"} | options.pop("headers", {})
        context = ssl.create_default_context(cafile=str(self.certificate))
        return httpx.Client(base_url=self.url, verify=context, headers=headers, timeout=60, **options)


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        told = f"NO {name.upper()}, so the proxy is NOT TESTED: apt-get install nginx-light openssl"
        if os.environ.get("CMF_REQUIRE_NGINX") == "1":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    return found


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    nginx, openssl = program("nginx"), program("openssl")
    folder = tmp_path_factory.mktemp("proxy")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "token").write_text(TOKEN)
    options = ["--token-file", str(folder / "token"), "--proxy", "127.0.0.1", "--log-level", "debug"]
    with ServerProcess(folder, f"sqlite:///{folder / 'graph.db'}", *options) as server:
        https, http = free_ports(2)
        configuration = folder / "nginx.conf"
        configuration.write_text(here(CONFIGURATION.read_text(), folder, server, https, http))
        command = [nginx, "-c", str(configuration), "-g", "daemon off;"]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert tested.returncode == 0 and "warn" not in tested.stderr, tested.stderr
        with (folder / "nginx.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            running = Proxy(server, folder, https, http)
            wait(running)
            yield running
        finally:
            process.terminate()
            process.wait(20)


def here(text: str, folder: Path, server: ServerProcess, https: int, http: int) -> str:
    """The configuration with the places of this test instead of a container's."""
    places = {
        "server server:8080;": f"server {server.url.removeprefix('http://')};",
        "listen 8443 ssl;": f"listen 127.0.0.1:{https} ssl;",
        "listen 8081;": f"listen 127.0.0.1:{http};",
        "/run/secrets/tls_certificate": str(folder / "certificate.pem"),
        "/run/secrets/tls_key": str(folder / "key.pem"),
        "/tmp/": f"{folder}/",
        "/dev/stdout": str(folder / "access.log"),
        "/dev/stderr": str(folder / "error.log"),
        "worker_processes auto;": f"worker_processes 1;{' user root;' if os.geteuid() == 0 else ''}",
    }
    for old in places:
        assert old in text, old
    return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)


def free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def wait(proxy: Proxy) -> None:
    deadline = time.monotonic() + 20
    with proxy.client() as client:
        while True:
            try:
                assert client.get("/healthz").status_code == 200
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, (proxy.folder / "error.log").read_text()
                time.sleep(0.05)


def test_a_site_pushes_asks_and_pulls_through_it(proxy: Proxy, tmp_path: Path) -> None:
    environment = os.environ | {"CMF_TOKEN": TOKEN, "SSL_CERT_FILE": str(proxy.certificate)}

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "cmf.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said("init", "--server", proxy.url)
    (tmp_path / "data.csv").write_text("1,2\n")
    (tmp_path / "model.pkl").write_bytes(os.urandom(100))
    with cmf.run("digits", "train", root=tmp_path) as run:
        run.input(tmp_path / "data.csv")
        run.output(tmp_path / "model.pkl", type="Model")
    said("push")
    with proxy.client() as client:
        model = next(node for node in client.get("/v1/artifacts").json()["items"] if node.get("types") == ["Model"])
        assert client.get(f"/v1/lineage/{model['key']}", params={"direction": "upstream"}).json()["complete"]
    (tmp_path / ".cmf" / "view.db").unlink(missing_ok=True)
    said("pull")


def test_strangers_and_plain_http_get_nothing(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/v1/stats", headers={"Authorization": "Bearer no"}).json()["code"] == "Unauthorized"
        for path in ("/metrics", "/readyz"):
            assert client.get(path).status_code == 404
        assert client.get("/healthz").headers["strict-transport-security"].startswith("max-age=")
    plain = httpx.get(f"{proxy.plain}/v1/stats?x=1")
    assert plain.status_code == 308 and plain.headers["location"] == "https://localhost/v1/stats?x=1"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(str(proxy.certificate))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("localhost", proxy.port)) as connection, pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(connection, server_hostname="localhost")


def test_one_id_names_a_request_in_both_logs_and_the_client_is_told_of_truly(proxy: Proxy) -> None:
    with proxy.client(headers={"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6"}) as client:
        made = client.get("/v1/stats").headers["x-request-id"]
        assert client.get("/v1/stats", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
        assert client.get("/v1/stats", headers={"X-Request-Id": 'a","b'}).headers["x-request-id"] not in ('a","b', "")
    for asked in (made, "mine-1"):
        assert logged(proxy, asked)["client"] == "127.0.0.1"
        lines = [json.loads(line) for line in (proxy.folder / "access.log").read_text().splitlines()]
        assert [line["status"] for line in lines if line["request_id"] == asked] == [200]
    assert TOKEN not in (proxy.folder / "access.log").read_text()


def logged(proxy: Proxy, asked: str) -> dict[str, Any]:
    """The one line of the server's log about a request, once it is written."""
    deadline = time.monotonic() + 20
    while True:
        found = [json.loads(line) for line in proxy.server.log().splitlines() if f'"{asked}"' in line]
        if found:
            assert len(found) == 1
            return dict(found[0])
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slow_body_does_not_reach_the_server_before_it_is_whole(proxy: Proxy) -> None:
    body = segment(20, "SLOW")
    context = ssl.create_default_context(cafile=str(proxy.certificate))
    with (
        socket.create_connection(("localhost", proxy.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        head = (
            f"POST /v1/journals/SLOW/SEGMENT HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: {NDJSON}\r\nX-Request-Id: slow-one\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode())
        for start in range(0, len(body), 500):
            connection.sendall(body[start : start + 500])
            time.sleep(0.1)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"200 OK" in answer and b'"applied":20' in answer
    line = logged(proxy, "slow-one")
    assert line["milliseconds"] < 500 and line["bytes_in"] == len(body)


def test_a_body_that_is_too_large_is_refused_by_the_server_with_its_reason(proxy: Proxy) -> None:
    with proxy.client() as client:
        large = b"x" * (8 * (1 << 20) + 1000)
        refused = client.post("/v1/journals/S/T", content=large, headers={"Content-Type": NDJSON})
        assert refused.status_code == 413 and refused.json()["code"] == "TooLarge"
        assert client.post("/v1/journals/S/T", content=b"x" * (12 << 20)).status_code == 413  # nginx's own


def test_a_server_that_is_down_is_a_503_that_clients_understand(proxy: Proxy, tmp_path: Path) -> None:
    from cmf.core.errors import ServerUnreachable
    from cmf.remote import Remote

    proxy.server.stop()
    try:
        with proxy.client() as client:
            answer = client.get("/v1/stats")
            assert answer.status_code == 503 and answer.headers["retry-after"] == "2"
            assert answer.json()["code"] == "ServerAway" and answer.json()["request_id"]
        environment = pytest.MonkeyPatch()
        environment.setenv("SSL_CERT_FILE", str(proxy.certificate))
        with pytest.raises(ServerUnreachable, match="behind this proxy does not answer"):
            Remote(proxy.url, TOKEN).stats()
        environment.undo()
    finally:
        proxy.server.start()
    with proxy.client() as client:
        assert client.get("/v1/stats").status_code == 200


def test_the_compose_file_gives_the_proxy_what_its_configuration_names() -> None:
    added = YAML(typ="safe").load(DOCKER / "compose.tls.yaml")
    base = YAML(typ="safe").load(DOCKER / "compose.yaml")
    service = added["services"]["proxy"]
    text = CONFIGURATION.read_text()
    assert "./proxy/nginx.conf:/etc/nginx/nginx.conf:ro" in service["volumes"]
    assert set(re.findall(r"/run/secrets/(\w+)", text)) == set(service["secrets"]) == set(added["secrets"])
    assert {f"{port.split(':')[1]}" for port in service["ports"]} == set(re.findall(r"listen (\d+)", text))
    command = added["services"]["server"]["command"]
    (trusted,) = [word.partition("=")[2] for word in command if word.startswith("--proxy")]
    assert trusted == service["networks"]["default"]["ipv4_address"]
    assert [word for word in command if "--proxy" not in word] == base["services"]["server"]["command"]
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(DOCKER / "compose.tls.yaml")]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr
