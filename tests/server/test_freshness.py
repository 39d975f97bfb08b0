"""Who shows the token of a push is answered with what was pushed, or told that it is not there."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import httpx
import pytest
from histories import artifact, execution, record
from server_process import ServerProcess
from typer.testing import CliRunner

import cmf
from cmf import sync
from cmf.cli.program import app
from cmf.core.errors import BadQuestion
from cmf.core.freshness import MAX_POSITIONS, Position, positions_of, token_of
from cmf.remote import BehindWarning, Remote

GONE = "01SITE/01SEGMENT:7"


def test_a_token_says_the_positions_that_were_pushed(tmp_path: Path, server: ServerProcess) -> None:
    repository = record(tmp_path / "a", execution(1, ["raw"], ["clean"]))
    remote = Remote(server.url)
    pushed = sync.push(repository, remote)
    (segment,) = repository.segments
    assert pushed == (6, 0)
    assert pushed.token == f"{repository.site}/{segment.name}:6"
    assert sync.push(repository, remote).token == pushed.token, "with nothing to send, where the newest segment is"
    assert positions_of(str(pushed.token)) == [Position(repository.site, segment.name, 6)]
    asked = cmf.query(server.url, at_least=pushed.token)
    answer = asked.lineage(artifact("clean"))
    assert answer.complete and answer.behind == ()
    assert asked.stats().sites == 1
    assert len(list(asked.executions())) == 1


def test_two_servers_on_one_store_read_what_the_other_took(
    tmp_path: Path, server: ServerProcess, store_url: str
) -> None:
    (tmp_path / "second").mkdir()
    with ServerProcess(tmp_path / "second", store_url) as second:
        repository = record(tmp_path / "a", execution(0, ["x0"], ["x1"]))
        remote = Remote(server.url)
        for number in range(1, 6):
            repository.record(execution(number, [f"x{number}"], [f"x{number + 1}"]))
            token = sync.push(repository, remote).token
            answer = cmf.query(second.url, at_least=token).lineage(artifact(f"x{number + 1}"), "upstream")
            assert answer.complete and not answer.behind


def test_a_read_waits_for_what_is_on_its_way(tmp_path: Path, server: ServerProcess) -> None:
    repository = record(tmp_path / "a", execution(1, ["raw"], ["clean"]))
    (segment,) = repository.segments
    token = token_of([Position(repository.site, segment.name, 6)])
    late = threading.Timer(0.5, lambda: sync.push(repository, Remote(server.url)))
    late.start()
    begin = time.monotonic()
    assert cmf.query(server.url, at_least=token).lineage(artifact("clean")).complete
    assert time.monotonic() - begin >= 0.4
    late.join()


def test_a_server_that_lacks_the_records_says_so_in_bounded_time(tmp_path: Path, store_url: str) -> None:
    repository = record(tmp_path / "a", execution(1, ["raw"], ["clean"]))
    with ServerProcess(tmp_path, store_url, "--freshness-seconds", "0.3") as server:
        sync.push(repository, Remote(server.url))
        (segment,) = repository.segments
        token = f"{repository.site}/{segment.name}:9,{GONE}"
        told = f"{repository.site}/{segment.name}:6<9,01SITE/01SEGMENT:-1<7"
        key = artifact("clean")
        begin = time.monotonic()
        with httpx.Client(base_url=server.url, params={"at_least": token}) as client:
            one = client.get(f"/v1/lineage/{key}")
            many = client.post("/v1/lineage", json={"keys": [key]})
            others = [
                client.get("/v1/stats"),
                client.get("/v1/artifacts"),
                client.get(f"/v1/artifacts/{key}"),
                client.get(f"/v1/resolve/{key}"),
                client.get(f"/v1/journals/{repository.site}"),
                client.post("/v1/pull", json={"artifacts": [key]}),
            ]
            unknown = client.get("/v1/artifacts/md5:" + "0" * 32)
        assert time.monotonic() - begin < 15
        for answer in (one, many, *others):
            assert (answer.status_code, answer.headers["Cmf-Behind"]) == (200, told)
        assert (unknown.status_code, unknown.headers["Cmf-Behind"]) == (404, told), "so nobody takes it for deleted"
        for answer in (one, many):
            body = answer.json()
            assert body["complete"] is False and body["truncated"] is None and len(body["nodes"]) == 3
            assert body["behind"] == [
                {"site": repository.site, "segment": segment.name, "sequence": 6, "wanted": 9},
                {"site": "01SITE", "segment": "01SEGMENT", "sequence": -1, "wanted": 7},
            ]
        with pytest.warns(BehindWarning, match=r"01SEGMENT:-1<7"):
            assert not cmf.query(server.url, at_least=token).lineage(key).complete
        with pytest.warns(BehindWarning):
            said = CliRunner().invoke(app, ["lineage", key, "--server", server.url, "--at-least", token])
        assert said.exit_code == 0 and "the store lacks records of 2 segments" in " ".join(said.output.split())


BAD = ["", ",", "x", "a/b:-1", "a/b:1,", "a/b:1 ", "a/b:9999999999999999", "a b/c:1", "a/b/c:1", "ä/b:1", "a/b:١"]


def test_a_malformed_token_is_refused(tmp_path: Path, server: ServerProcess) -> None:
    many = ",".join(f"s/t{n}:1" for n in range(MAX_POSITIONS + 1))
    sites = ",".join(f"s{n}/t:1" for n in range(100))
    for token in [*BAD, many, sites, "x" * 50_000]:
        for path in ("/v1/stats", "/v1/executions", "/v1/lineage/md5:" + "0" * 32):
            answer = httpx.get(server.url + path, params={"at_least": token})
            assert (answer.status_code, answer.json()["code"]) == (400, "BadQuestion"), token[:40]
    twice = httpx.get(f"{server.url}/v1/stats?at_least=a/b:1&at_least=a/c:1")
    assert twice.status_code == 400
    assert httpx.get(f"{server.url}/healthz", params={"at_least": "x"}).status_code == 200
    for token in BAD:
        with pytest.raises(BadQuestion):
            cmf.query(server.url, at_least=token)
    with pytest.raises(BadQuestion):
        cmf.query(at_least="a/b:1")


def test_each_read_takes_a_token_in_the_api_document(tmp_path: Path, server: ServerProcess) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    takes = {
        (method, path)
        for path, methods in paths.items()
        for method, told in methods.items()
        if any(parameter["name"] == "at_least" for parameter in told.get("parameters", []))
    }
    reads = {(m, p) for p, ms in paths.items() for m in ms if p.startswith("/v1/") and m == "get"}
    reads |= {("post", path) for path in ("/v1/pull", "/v1/series", "/v1/lineage")}
    no_graph = {("get", path) for path in ("/v1/token", "/v1/archive", "/v1/sites")}
    assert takes == reads - no_graph


def test_a_token_is_bounded_and_names_the_last_positions() -> None:
    token = token_of(Position("site", f"segment{number}", number) for number in range(1000))
    assert token is not None and len(positions_of(token)) == MAX_POSITIONS
    assert positions_of(token)[-1] == ("site", "segment999", 999)
    many_sites = token_of(Position(f"site{number}", "x", number) for number in range(1000))
    assert many_sites is not None and positions_of(many_sites)[-1].site == "site999"
    assert token_of([]) is None


def test_the_push_command_prints_the_token(
    tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "a", execution(1, ["raw"], ["clean"])).close()
    monkeypatch.chdir(tmp_path / "a")
    said = CliRunner().invoke(app, ["push", "--json", "--metadata-only", "--server", server.url])
    token = json.loads(said.stdout)["token"]
    shown = CliRunner().invoke(app, ["log", "--server", server.url, "--at-least", token, "--json"])
    assert shown.exit_code == 0, shown.output
    assert CliRunner().invoke(app, ["log", "--at-least", token]).exit_code != 0, "the clone itself needs no token"
