"""Who may: tokens and their scopes, what a restricted one may push, the log of writes, TLS, login and logout."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_process import ServerProcess

from cmf.core.identity import use_key
from cmf.core.operations import (
    EndExecution,
    Operation,
    PutArtifact,
    PutExecution,
    PutPoints,
    PutRelation,
    PutUse,
    Retract,
    RunIdentity,
    SetProperty,
    put_context,
    put_execution,
)
from cmf.core.values import encode

MINE, THEIRS = "md5:" + "a" * 32, "md5:" + "b" * 32


def cmf(*arguments: str, stdin: str = "", code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cmf.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done.stdout if code == 0 else done.stderr


def add(folder: Path, name: str, *options: str) -> str:
    return cmf("token", "add", name, *options, "--home", str(folder / "graph")).strip()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def started(pipeline: str) -> PutExecution:
    time = "2026-01-01T00:00:00.000000Z"
    return put_execution(RunIdentity(pipeline=pipeline, stage="s", type="t", uuid="u", started_at=time, project="p"))


def post(server: ServerProcess, token: str, *operations: Operation) -> httpx.Response:
    body = encode({"operations": operations})
    headers = bearer(token) | {"Content-Type": "application/json"}
    return httpx.post(f"{server.url}/v1/operations", content=body, headers=headers, verify=False, timeout=60)


def serving(folder: Path, *options: str) -> ServerProcess:
    return ServerProcess(folder, f"sqlite:///{folder / 'graph.db'}", *options)


def audit(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "graph" / "audit.jsonl").read_text().splitlines()]


def test_a_token_may_do_what_its_scopes_say(tmp_path: Path) -> None:
    reader = add(tmp_path, "reader", "--scope", "read")
    pusher = add(tmp_path, "pusher", "--scope", "push")
    kept = (tmp_path / "graph/tokens.json").read_text()
    assert reader not in kept and pusher not in kept
    assert (tmp_path / "graph/tokens.json").stat().st_mode & 0o777 == 0o600
    with serving(tmp_path) as server:
        assert httpx.get(f"{server.url}/v1/stats").status_code == 401
        assert httpx.get(f"{server.url}/v1/stats", headers=bearer(reader)).status_code == 200
        assert httpx.get(f"{server.url}/v1/stats", headers=bearer(pusher)).status_code == 403
        assert httpx.get(f"{server.url}/v1/journals/x", headers=bearer(pusher)).status_code == 200
        assert post(server, pusher, started("p")).status_code == 200
        assert post(server, reader, started("p")).json()["code"] == "Forbidden"
        for token in (reader, pusher):  # the archive has what was pruned and retracted
            assert httpx.get(f"{server.url}/v1/archive", headers=bearer(token)).status_code == 403
        told = httpx.get(f"{server.url}/v1/token", headers=bearer(reader)).json()
        assert told["name"] == "reader" and told["scopes"] == ["read"]
        assert reader not in server.log() and pusher not in server.log()
    assert reader not in (tmp_path / "graph/audit.jsonl").read_text()


def test_a_revoked_token_is_let_in_no_more_by_any_process(tmp_path: Path) -> None:
    token = add(tmp_path, "laptop")
    with serving(tmp_path) as one, serving(tmp_path) as other:
        for server in (one, other):
            assert httpx.get(f"{server.url}/v1/stats", headers=bearer(token)).status_code == 200
        cmf("token", "revoke", "laptop", "--home", str(tmp_path / "graph"))
        for server in (one, other):
            answer = httpx.get(f"{server.url}/v1/stats", headers=bearer(token))
            assert answer.status_code == 401 and "revoked" in answer.json()["detail"]
        again = add(tmp_path, "laptop")
        assert httpx.get(f"{other.url}/v1/stats", headers=bearer(again)).status_code == 200
        (tmp_path / "graph/tokens.json").write_text("{")
        assert httpx.get(f"{one.url}/v1/stats", headers=bearer(again)).status_code == 503
        (tmp_path / "graph/tokens.json").unlink()
        assert httpx.get(f"{one.url}/v1/stats").status_code == 401
    listed = cmf("token", "list", "--home", str(tmp_path / "graph"))
    assert "no token" not in listed


def test_a_restricted_token_speaks_of_its_pipelines_alone(tmp_path: Path, store_url: str) -> None:
    root = add(tmp_path, "root", "--scope", "admin")
    token = add(tmp_path, "one", "--scope", "push", "--pipeline", "mine")
    mine, theirs = started("mine"), started("theirs")
    my_use = PutUse(execution=mine.key, artifact=MINE, direction="output", path="m")
    their_use = PutUse(execution=theirs.key, artifact=THEIRS, direction="output", path="t")
    own = put_context("pipeline", "mine")
    stage = put_context("stage", "s", own.key)
    foreign = put_context("pipeline", "theirs")
    file = {"name": "f", "types": ("Dataset",)}
    with ServerProcess(tmp_path, store_url, "--home", str(tmp_path / "graph")) as server:
        taken = post(server, root, foreign, theirs, PutArtifact(key=THEIRS, **file), their_use)  # type: ignore[arg-type]
        assert taken.status_code == 200, taken.text
        good = [own, stage, mine, PutRelation(kind="ran_in", source=mine.key, target=stage.key)]
        good += [PutArtifact(key=MINE, **file), my_use, SetProperty(key=MINE, name="n", value=1)]  # type: ignore[arg-type, list-item]
        answer = post(server, token, *good)
        assert answer.status_code == 200, answer.text
        my_key = use_key(mine.key, MINE, "output", "m")
        # What it may say of its own in a later request, too: the server knows whose it is.
        for operation in (
            SetProperty(key=MINE, name="n", value=2),
            SetProperty(key=mine.key, name="n", value=2),
            SetProperty(key=my_key, name="n", value=2),
            SetProperty(key=own.key, name="n", value=2),
            Retract(key=my_key, reason="wrong"),
            Retract(key=mine.key, reason="wrong"),
            PutRelation(kind="derived_from", source=MINE, target=THEIRS),
        ):
            answer = post(server, token, operation)
            assert answer.status_code == 200, (operation, answer.text)
        time = "2026-01-01T00:00:01.000000Z"
        for operation in (
            theirs,
            foreign,
            put_context("stage", "s", foreign.key),
            EndExecution(key=theirs.key, status="failed", ended_at=time),
            PutPoints(execution=theirs.key, series="s", chunk=0, rows=((1, 1.0, 1.0),)),
            PutUse(execution=theirs.key, artifact=MINE, direction="input", path="p"),
            SetProperty(key=theirs.key, name="n", value=1),
            SetProperty(key=THEIRS, name="n", value=1),
            SetProperty(key=use_key(theirs.key, THEIRS, "output", "t"), name="n", value=1),
            SetProperty(key=foreign.key, name="n", value=1),
            Retract(key=theirs.key, reason="no"),
            Retract(key=THEIRS, reason="no"),
            Retract(key=MINE, reason="no"),
            Retract(key=use_key(theirs.key, THEIRS, "output", "t"), reason="no"),
            PutRelation(kind="part_of", source=theirs.key, target=mine.key),
            PutRelation(kind="part_of", source=mine.key, target=theirs.key),
            PutRelation(kind="ran_in", source=mine.key, target=foreign.key),
            PutRelation(kind="derived_from", source=THEIRS, target=MINE),
        ):
            answer = post(server, token, SetProperty(key=mine.key, name="untaken", value=1), operation)
            assert answer.status_code == 403, (operation, answer.text)
            assert answer.json()["line"] == 2, (operation, answer.text)
        detail = httpx.get(f"{server.url}/v1/executions/{mine.key}", headers=bearer(root), timeout=60).text
        assert "untaken" not in detail


def test_a_token_for_sites_pushes_as_these_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = add(tmp_path, "root", "--scope", "admin")
    token = add(tmp_path, "site", "--scope", "push", "--site", "alpha")
    repository = tmp_path / "clone"
    repository.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    with serving(tmp_path) as server:
        script = "import cmf\nwith cmf.run('p', 's') as run: run.metrics(a=1)\n"
        environment = {"CMF_DATA": "none", "CMF_VERSIONING": "none", "CMF_SERVER": server.url}
        monkeypatch.chdir(repository)
        subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | environment)
        assert "alpha" in cmf("push", code=1, CMF_TOKEN=token, **environment)
        cmf("push", CMF_TOKEN=root, **environment)
        assert post(server, token, started("p")).status_code == 403
    lines = audit(tmp_path)
    refused = [line for line in lines if line.get("status") == 403]
    taken = [line for line in lines if line.get("status") == 200]
    assert {line["name"] for line in refused} == {"site"} and {line["name"] for line in taken} == {"root"}
    assert all(line["from"] == "127.0.0.1" and line["request"] for line in lines)
    assert next(line["applied"] for line in taken if "applied" in line) > 0


def test_no_write_is_taken_while_the_log_cannot_be_kept(tmp_path: Path) -> None:
    token = add(tmp_path, "root", "--scope", "admin")
    with serving(tmp_path) as server:
        log = tmp_path / "graph/audit.jsonl"
        log.rename(tmp_path / "graph/audit.1")
        assert post(server, token, started("a")).status_code == 200  # rotated
        assert [line.get("status") for line in audit(tmp_path)] == [None, 200]
        log.unlink()
        log.symlink_to("/dev/full")
        before = httpx.get(f"{server.url}/v1/stats", headers=bearer(token)).json()
        answer = post(server, token, started("b"))
        assert answer.status_code == 503 and answer.json()["code"] == "AuditUnwritable"
        after = httpx.get(f"{server.url}/v1/stats", headers=bearer(token)).json()
        assert after == before
        log.unlink()
        log.write_text('{"torn')
        assert post(server, token, started("b")).status_code == 200
        assert json.loads(log.read_text().splitlines()[1])["name"] == "root"


def test_every_answer_bears_what_browsers_go_by_and_cors_is_off(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for path in ("/healthz", "/v1/stats", "/v1/nothing", "/openapi.json"):
            asked = {"Origin": "https://evil.example", "X-Request-Id": "abc"}
            answer = httpx.get(f"{server.url}{path}", headers=asked)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "content-security-policy" in answer.headers and answer.headers["x-request-id"] == "abc"
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = httpx.options(f"{server.url}/v1/operations", headers=asked)
        assert answer.status_code >= 400
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("proxy", [(), ("--proxy", "127.0.0.1")])
def test_the_word_of_a_proxy_counts_where_it_is_named(tmp_path: Path, proxy: tuple[str, ...]) -> None:
    token = add(tmp_path, "root", "--scope", "admin")
    with serving(tmp_path, *proxy) as server:
        headers = bearer(token) | {"X-Forwarded-For": "203.0.113.9", "Content-Type": "application/json"}
        body = encode({"operations": [started("p")]})
        assert httpx.post(f"{server.url}/v1/operations", content=body, headers=headers).status_code == 200
    assert {line["from"] for line in audit(tmp_path)} == {"203.0.113.9" if proxy else "127.0.0.1"}


def test_login_keeps_a_token_that_the_server_took(tmp_path: Path) -> None:
    token = add(tmp_path, "me")
    kept = tmp_path / "config/cmf/tokens.json"
    here = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    with serving(tmp_path) as server:
        assert "no token" in cmf("login", server.url, stdin="cmf_00000000_nonsense\n", code=1, **here)
        assert not kept.exists()
        said = cmf("login", server.url, stdin=f"{token}\n", **here)
        assert "me" in said and token not in said
        assert kept.stat().st_mode & 0o777 == 0o600
        cmf("log", "--server", server.url, **here)
        kept.chmod(0o644)
        assert str(kept) in cmf("log", "--server", server.url, code=1, **here)
        kept.chmod(0o600)
        cmf("logout", server.url, **here)
        assert token not in kept.read_text()
        assert "cmf login" in cmf("log", "--server", server.url, code=1, **here)


def test_tls_by_file(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    token = add(tmp_path, "me", "--scope", "read")
    store = f"sqlite:///{tmp_path / 'graph.db'}"
    refused = cmf("server", "--store", store, "--port", "0", "--tls-cert", str(cert), code=1)
    assert "go together" in refused
    command = [sys.executable, "-m", "cmf.cli", "server", "--store", store, "--port", "0"]
    command += ["--tls-cert", str(cert), "--tls-key", str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[3].rstrip(",")
            assert url.startswith("https://")
            with httpx.Client(verify=ssl.create_default_context(cafile=str(cert))) as client:
                for _ in range(100):
                    try:
                        answer = client.get(f"{url}/v1/stats", headers=bearer(token))
                        break
                    except httpx.ConnectError:
                        continue
                assert answer.status_code == 200
        finally:
            process.terminate()


def test_a_token_that_makes_no_sense_is_not_made(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "graph"))
    cmf("token", "add", "a", "--scope", "admin", "--site", "x", *home, code=1)
    cmf("token", "add", "a", "--expires", "yesterday", *home, code=2)
    cmf("token", "add", "a", "--expires", "2001-01-01", *home, code=1)
    cmf("token", "add", "", *home, code=1)
    cmf("token", "revoke", "nobody", *home, code=1)
    cmf("token", "add", "a", *home)
    cmf("token", "add", "a", *home, code=1)
    assert "no token" in cmf("server", "--host", "0.0.0.0", "--store", f"sqlite:///{tmp_path / 'other.db'}", code=1)
