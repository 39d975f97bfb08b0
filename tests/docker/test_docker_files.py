"""docker/Dockerfile and docker/compose.yaml: everything that can be known without a Docker engine.

The images are neither built nor started here; docker/README.md says so.
"""

import http.server
import json
import re
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
COMPOSE = DOCKER / "compose.yaml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
    return loaded


@pytest.fixture(scope="module", params=["server", "neo4j"])
def service(compose: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"][request.param]
    return found


# --- Judged by others -------------------------------------------------------------------------------------------------


def against_schema(compose_file: Path) -> subprocess.CompletedProcess[str]:
    """The schema comes inside the package: no network."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose_file)]
    return subprocess.run(command, capture_output=True, text=True)


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    command = [str(hadolint), "--no-color", "--failure-threshold", "style", str(dockerfile)]
    return subprocess.run(command, capture_output=True, text=True)


def test_compose_file_follows_the_schema() -> None:
    judged = against_schema(COMPOSE)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_dockerfile_passes_the_linter() -> None:
    judged = lint(DOCKERFILE)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_both_judges_do_judge(tmp_path: Path) -> None:
    misspelt = tmp_path / "compose.yaml"
    misspelt.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_periode"))
    assert "stop_grace_periode" in against_schema(misspelt).stdout
    untagged = tmp_path / "Dockerfile"
    untagged.write_text(DOCKERFILE.read_text().replace("python:3.12-slim-bookworm", "python"))
    assert "DL3006" in lint(untagged).stdout


# --- The compose file -------------------------------------------------------------------------------------------------


def test_there_are_these_services_and_no_obsolete_version(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"server", "neo4j"}
    assert "version" not in compose


def test_every_published_port_is_on_loopback(service: dict[str, Any]) -> None:
    assert service["ports"]
    for port in service["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_every_service_is_watched_bounded_and_restarted(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert megabytes(service["mem_limit"]) > 0


def test_the_server_waits_until_neo4j_is_healthy(compose: dict[str, Any]) -> None:
    assert compose["services"]["server"]["depends_on"] == {"neo4j": {"condition": "service_healthy"}}


def test_secrets_are_defined_used_and_only_ever_files(compose: dict[str, Any], service: dict[str, Any]) -> None:
    read = set(re.findall(r"/run/secrets/(\w+)", json.dumps([service.get("command"), service.get("environment")])))
    assert read == set(service["secrets"])
    assert read <= set(compose["secrets"])
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_volumes_are_named_and_defined(compose: dict[str, Any], service: dict[str, Any]) -> None:
    names = {volume.partition(":")[0] for volume in service["volumes"]}
    assert names <= set(compose["volumes"])


def test_neo4j_has_its_memory_set_and_reports_nothing(compose: dict[str, Any]) -> None:
    neo4j = compose["services"]["neo4j"]
    settings = neo4j["environment"]
    heap = settings["NEO4J_server_memory_heap_max__size"]
    assert heap == settings["NEO4J_server_memory_heap_initial__size"]
    used = megabytes(heap) + megabytes(settings["NEO4J_server_memory_pagecache_size"])
    assert used < megabytes(neo4j["mem_limit"])
    assert settings["NEO4J_dbms_usage__report_enabled"] == "false"
    assert settings["NEO4J_client_allow__telemetry"] == "false"


def test_neo4j_is_of_the_series_the_tests_run(compose: dict[str, Any]) -> None:
    pom = (DOCKER / "neo4j-local" / "pom.xml").read_text()
    tested = re.search(r"<artifactId>neo4j</artifactId>\s*<version>(\d+\.\d+)\.", pom)
    assert tested
    assert compose["services"]["neo4j"]["image"] == f"neo4j:{tested[1]}-community"


def megabytes(size: str) -> int:
    number, unit = int(size[:-1]), size[-1]
    return number * {"m": 1, "g": 1024}[unit]


# --- The image --------------------------------------------------------------------------------------------------------


def instructions() -> list[str]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def test_the_image_runs_the_server_as_an_ordinary_user() -> None:
    last_stage = instructions()[max(n for n, line in enumerate(instructions()) if line.startswith("FROM ")) :]
    assert [line for line in last_stage if line.startswith("USER ")] == ["USER 10001:10001"]
    assert 'ENTRYPOINT ["cmf", "server"]' in last_stage
    assert "EXPOSE 8080" in last_stage
    assert "VOLUME /var/lib/cmf" in last_stage


def test_all_the_wheel_is_made_of_is_copied_and_sent_and_nothing_else() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    packages = {Path(package).parts[0] for package in wheel["packages"]}
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= packages | set(wheel["force-include"])

    copied = {source for line in instructions() if line.startswith("COPY ") for source in line.split()[1:-1]}
    assert copied == needed

    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignore if line.startswith("!")} == needed
    assert [line for line in ignore if not line.startswith(("!", "#"))] == ["*", "**/__pycache__", "**/*.egg-info"]


def test_the_health_check_tells_a_healthy_server_from_others(compose: dict[str, Any]) -> None:
    in_image = next(line for line in instructions() if line.startswith("HEALTHCHECK "))
    python, flag, code = json.loads(in_image.partition(" CMD ")[2])
    assert compose["services"]["server"]["healthcheck"]["test"] == ["CMD", python, flag, code]
    assert "http://127.0.0.1:8080/healthz" in code

    with answering(200) as port:
        assert checked(code, port) == 0
    with answering(503) as port:
        assert checked(code, port) != 0
    assert checked(code, port) != 0  # nobody listens there any more


def checked(code: str, port: int) -> int:
    """Run a health check's Python against another port, with a proxy in the environment, which it must not ask."""
    command = [sys.executable, "-c", code.replace("8080", str(port))]
    proxied = {"http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(command, env=proxied, stderr=subprocess.DEVNULL).returncode


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that has this to say of its health."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_request(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
