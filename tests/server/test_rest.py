"""The API as a program meets it: every answer and every refusal of a real server process."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import psutil
import pytest
import zstandard
from histories import artifact, chain, execution, record, typical
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.core.identity import stage_key
from cmf.core.operations import Operation, PutArtifact, PutUse, Retract, SetProperty
from cmf.core.records import Header, Stamp, header_line, record_line
from cmf.core.store import Filters, Store
from cmf.core.wire import NDJSON
from cmf.questions import Query, StoreSource
from cmf.remote import Remote

AT = "2026-01-01T00:00:00.000000Z"
KEY = artifact("thing")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "answers.schema.json").read_text())
HOSTILE = 'x"}) DETACH DELETE a //'


def journal(*operations: Operation, site: str = "SITE", segment: str = "SEGMENT") -> list[bytes]:
    """The lines of a segment."""
    line, total = header_line(Header(1, site, segment, "test", AT))
    lines = [line]
    for sequence, operation in enumerate(operations, 1):
        line, total = record_line(total, sequence, AT, operation)
        lines.append(line)
    return lines


def said(number: int, value: Any = 1) -> SetProperty:
    return SetProperty(key=KEY, name=f"n{number}", value=value)


def body(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def post(
    server: ServerProcess, content: bytes, path: str = "/v1/journals/SITE/SEGMENT", **headers: str
) -> httpx.Response:
    return httpx.post(server.url + path, content=content, headers={"Content-Type": NDJSON} | headers, timeout=60)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """That an answer is this error, in the one shape of errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["code"] == code and told["status"] == status and told["title"] and told["detail"]
    assert "Traceback" not in answer.text
    return told


def of_schema(answer: httpx.Response, name: str) -> Any:
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
    return answer.json()


def test_records_are_taken_once_however_often_they_are_sent(server: ServerProcess) -> None:
    lines = journal(said(1), said(2), said(3))
    assert post(server, body(lines[:3])).json() == {"sequence": 2, "applied": 2, "duplicates": 0}
    assert post(server, body(lines)).json() == {"sequence": 3, "applied": 1, "duplicates": 2}
    assert post(server, body(lines[2:])).json() == {"sequence": 3, "applied": 0, "duplicates": 2}
    heads = httpx.get(f"{server.url}/v1/journals/SITE").json()
    assert heads == {"segments": {"SEGMENT": 3}, "offsets": {"SEGMENT": len(body(lines))}}
    assert httpx.get(f"{server.url}/v1/journals/OTHER").json()["segments"] == {}


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity"])
def test_bodies_may_be_packed(server: ServerProcess, encoding: str) -> None:
    plain = body(journal(said(1)))
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "identity": bytes,
    }
    answer = post(server, pack[encoding](plain), **{"Content-Encoding": encoding})
    assert answer.json() == {"sequence": 1, "applied": 1, "duplicates": 0}


def test_a_gap_is_refused_with_the_sequence_wanted(server: ServerProcess) -> None:
    lines = journal(said(1), said(2), said(3))
    assert problem(post(server, body(lines[2:])), 409, "Gap")["wanted"] == 0
    post(server, body(lines[:2]))
    assert problem(post(server, body(lines[3:])), 409, "Gap")["wanted"] == 2
    assert httpx.get(f"{server.url}/v1/journals/SITE").json()["segments"] == {"SEGMENT": 1}


def test_a_broken_chain_is_refused_and_nothing_of_it_taken(server: ServerProcess) -> None:
    lines = journal(said(1), said(2), said(3))
    other = journal(said(1), said(2, "forged"), said(3))
    mixed = [*lines[:3], other[3]]
    assert problem(post(server, body(mixed)), 422, "ChainBroken")["sequence"] == 3
    assert httpx.get(f"{server.url}/v1/journals/SITE").json()["segments"] == {}
    post(server, body(lines[:3]))
    assert problem(post(server, body(other[3:])), 422, "ChainBroken")["sequence"] == 3
    assert problem(post(server, body(other)), 422, "ChainBroken")["sequence"] == 3
    assert problem(post(server, body(other[:3])), 422, "ChainBroken")["sequence"] == 2
    assert post(server, body(lines)).json()["applied"] == 1
    assert httpx.get(f"{server.url}/v1/stats").json()["kinds"]["artifact"] == 0, "a property alone tells of no artifact"


def bad_lines() -> dict[str, tuple[bytes, int]]:
    """A bad second line each, and the status it deserves."""
    at = b'{"seq":1,"at":"2026-01-01T00:00:00.000000Z","op":%s,"sum":"00000000000000000000000000000000"}'
    key = KEY.encode()
    return {
        "no JSON": (b"hello", 422),
        "unknown operation": (at % b'{"is":"DropEverything"}', 422),
        "wrong type": (at % (b'{"is":"SetProperty","key":"%s","name":5,"value":1}' % key), 422),
        "untagged number": (
            at % (b'{"is":"SetProperty","key":"%s","name":"a","value":99999999999999999999}' % key),
            422,
        ),
        "no UTF-8": (at % (b'{"is":"SetProperty","key":"%s","name":"a","value":"\xff\xfe"}' % key), 422),
        "deep nesting": (
            at % (b'{"is":"SetProperty","key":"%s","name":"a","value":%s}' % (key, b"[" * 9999 + b"]" * 9999)),
            422,
        ),
        "empty line": (b"", 422),
        "too long": (b"x" * (5 << 20), 413),
        "a second header": (journal()[0], 422),
    }


@pytest.mark.parametrize("what", bad_lines())
def test_a_bad_line_is_refused_with_its_number_and_nothing_of_the_chunk_taken(server: ServerProcess, what: str) -> None:
    line, status = bad_lines()[what]
    answer = post(server, body([journal()[0], line, b"never reached"]))
    assert answer.status_code == status, answer.text
    assert answer.json()["line"] == 2
    assert httpx.get(f"{server.url}/v1/journals/SITE").json()["segments"] == {}
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_a_line_of_a_gigabyte_is_refused_without_being_held(server: ServerProcess) -> None:
    process = psutil.Process(server.pid)
    before = process.memory_info().rss

    def endless() -> Any:
        yield body(journal()[:1])
        for _ in range(1024):
            yield b"x" * (1 << 20)

    try:
        answer = httpx.post(
            f"{server.url}/v1/journals/SITE/SEGMENT", content=endless(), headers={"Content-Type": NDJSON}, timeout=60
        )
        assert problem(answer, 413, "TooLarge")["line"] == 2
    except httpx.WriteError:
        pass  # the server hung up before the client had sent it all
    assert process.memory_info().rss - before < 100 << 20
    assert httpx.get(f"{server.url}/v1/journals/SITE").json()["segments"] == {}


def test_every_member_of_a_gzip_body_is_read(server: ServerProcess) -> None:
    lines = journal(said(1), said(2))
    packed = gzip.compress(body(lines[:2])) + gzip.compress(body(lines[2:]))
    assert post(server, packed, **{"Content-Encoding": "GZIP"}).json()["applied"] == 2


@pytest.mark.parametrize(
    "at", ["2026-99-99T99:99:99.999999Z", "2026-02-30T00:00:00.000000Z", "9999-12-31T00:00:00.000000Z"]
)
def test_a_time_that_no_clock_shows_is_refused_wherever_it_stands(server: ServerProcess, at: str) -> None:
    header, total = header_line(Header(1, "SITE", "SEGMENT", "test", AT))
    line, _ = record_line(total, 1, at, said(1))
    assert problem(post(server, body([header, line])), 422, "BadRecord")["line"] == 2
    stamped, _ = record_line(total, 1, AT, said(1), Stamp(f"{at} X 000000000001"))
    assert problem(post(server, body([header, stamped])), 422, "BadRecord")["line"] == 2
    operations = [msgspec.to_builtins(said(1))]
    answer = httpx.post(f"{server.url}/v1/operations", json={"operations": operations, "at": at})
    assert answer.status_code == 422


def test_a_bomb_is_refused_without_being_unpacked(server: ServerProcess) -> None:
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(b"\n" * (1 << 20)) for _ in range(2_000)), packer.flush()])
    zst = zstandard.ZstdCompressor().compress(b"x" * (1 << 30))
    many = zstandard.ZstdCompressor().compress(b"xy\n" * 10_000_000)
    for content, encoding in ((bomb, "gzip"), (zst, "zstd"), (many, "zstd")):
        problem(post(server, content, **{"Content-Encoding": encoding}), 413, "TooLarge")
    assert process.memory_info().rss - before < 200 << 20


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 422),
        (body(journal(said(1)))[:-1], {}, 422),
        (gzip.compress(body(journal(said(1))))[:-20], {"Content-Encoding": "gzip"}, 422),
        (b"not gzip", {"Content-Encoding": "gzip"}, 422),
        (b"not zstd", {"Content-Encoding": "zstd"}, 422),
        (gzip.compress(body(journal(said(1)))) + b"garbage", {"Content-Encoding": "gzip"}, 422),
        (zstandard.ZstdCompressor().compress(body(journal(said(1))))[:-3], {"Content-Encoding": "zstd"}, 422),
        (zstandard.ZstdCompressor().compress(body(journal(said(1)))) + b"garbage", {"Content-Encoding": "zstd"}, 422),
        (b"x", {"Content-Encoding": "br"}, 415),
        (body(journal(said(1))), {"Content-Type": "text/plain"}, 415),
        (body(journal(said(1))), {"Origin": "http://evil.example"}, 403),
        (body(journal(said(1))), {"Host": "evil.example"}, 403),
        (body(journal(said(1), site="ELSE")), {}, 422),
    ],
)
def test_a_body_that_is_not_whole_or_not_readable_is_refused(
    server: ServerProcess, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = post(server, content, **headers)
    assert answer.status_code == status, answer.text
    assert httpx.get(f"{server.url}/v1/journals/SITE").json()["segments"] == {}


def test_operations_come_without_a_journal_too(server: ServerProcess) -> None:
    operations = [msgspec.to_builtins(op) for op in execution(1, ["raw"], ["clean"])]
    for _ in range(2):
        answer = httpx.post(f"{server.url}/v1/operations", json={"operations": operations, "at": AT})
        assert answer.json() == {"applied": 6}
    assert httpx.get(f"{server.url}/v1/stats").json()["kinds"] == {
        "artifact": 2,
        "execution": 1,
        "use": 2,
        "pipeline": 1,
        "stage": 1,
    }
    long = {"is": "SetProperty", "key": "md5:" + "0" * 32, "name": "long", "value": "x" * (1 << 20)}
    refused = httpx.post(f"{server.url}/v1/operations", json={"operations": [long]})
    problem(refused, 422, "BadRecord")
    many = {"is": "PutArtifact", "key": "md5:" + "0" * 32, "name": "many", "types": [f"{n:0900}" for n in range(4_800)]}
    refused = httpx.post(f"{server.url}/v1/operations", json={"operations": [many]})
    assert "an operation may have up to" in problem(refused, 422, "BadRecord")["detail"], "no line could hold it"
    refused = httpx.post(f"{server.url}/v1/operations", json={"operations": [*operations, {"is": "No"}]})
    problem(refused, 422, "BadQuestion")
    wrong = operations[0] | {"key": "execution:" + "0" * 32}
    told = problem(
        httpx.post(f"{server.url}/v1/operations", json={"operations": [operations[1], wrong]}), 422, "BadRecord"
    )
    assert told["line"] == 2


def test_every_answer_is_as_its_schema_says(tmp_path: Path, server: ServerProcess) -> None:
    repository = record(tmp_path / "a", [*chain(3), *typical(5)])
    repository.record([SetProperty(key=artifact("chain-1"), name=HOSTILE, value=[1, {"a": {"$number": "NaN"}}])])
    sync.push(repository, Remote(server.url))
    get = lambda path: httpx.get(server.url + path)  # noqa: E731
    answer = of_schema(get(f"/v1/lineage/{artifact('chain-3')}?direction=upstream"), "Lineage")
    assert [node["distance"] for node in answer["nodes"]] == [0, 1, 2, 3, 4, 5, 6]
    abbreviated = artifact("chain-3").removeprefix("md5:")[:12]
    assert get(f"/v1/lineage/{abbreviated}?direction=upstream").json() == answer
    many = httpx.post(
        f"{server.url}/v1/lineage",
        json={"keys": [artifact("chain-0"), artifact("output-0")], "direction": "downstream", "depth": 1},
    )
    assert len(of_schema(many, "Lineage")["roots"]) == 2
    for path in ("artifacts", "executions", "pipelines"):
        page = of_schema(get(f"/v1/{path}?limit=2"), "Page")
        assert page["items"] and page["total"] >= len(page["items"])
    detail = of_schema(get(f"/v1/artifacts/{artifact('chain-1')}"), "NodeDetail")
    assert detail["uses_total"] == 2
    assert detail["node"]["properties"] == {HOSTILE: [1, {"a": {"$number": "NaN"}}]}
    run = answer["nodes"][1]["key"]
    assert of_schema(get(f"/v1/executions/{run}"), "NodeDetail")["node"]["pipeline"] == "chain"
    assert of_schema(get("/v1/pipelines/chain"), "NodeDetail")["node"]["name"] == "chain"
    assert get(f"/v1/resolve/{abbreviated}").json() == {"key": artifact("chain-3")}
    assert get("/v1/resolve/data/chain-3").json() == {"key": artifact("chain-3")}
    assert of_schema(get("/v1/stats"), "Stats")["sites"] == 1
    executions = get("/v1/executions?pipeline=digits&status=complete&limit=2").json()
    following = get(f"/v1/executions?pipeline=digits&status=complete&limit=2&cursor={executions['next']}").json()
    starts = [node["started_at"] for node in executions["items"] + following["items"]]
    assert starts == sorted(starts, reverse=True) and len(set(starts)) == 4


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/lineage/md5:ffffffffffff", 404, "UnknownKey"),
        ("/v1/lineage/md5:", 409, "AmbiguousKey"),
        ("/v1/artifacts/nothing", 404, "UnknownKey"),
        ("/v1/executions/nothing", 404, "UnknownKey"),
        ("/v1/pipelines/nothing", 404, "UnknownKey"),
        ("/v1/resolve/zzz", 404, "UnknownKey"),
        (f"/v1/lineage/{stage_key('chain', 'train', None)}", 422, "BadQuestion"),
        ("/v1/lineage/md5:x?depth=-1", 422, "BadRequest"),
        ("/v1/lineage/md5:x?direction=sideways", 422, "BadRequest"),
        ("/v1/executions?limit=0", 422, "BadRequest"),
        ("/v1/executions?cursor=!!", 422, "BadQuestion"),
        ("/v1/executions?piepline=chain&limit=0", 400, "UnknownParameter"),
        ("/v1/executions/nothing?depth=1", 400, "UnknownParameter"),
        ("/v1/executions/nothing/series/loss?first=1", 400, "UnknownParameter"),
        ("/v1/stats?since=1", 400, "UnknownParameter"),
        ("/v1/journals/a%20b", 422, "BadRequest"),
        ("/nowhere", 404, "HttpError"),
    ],
)
def test_what_cannot_be_answered_says_why(
    tmp_path: Path, server: ServerProcess, path: str, status: int, code: str
) -> None:
    sync.push(record(tmp_path / "a", chain(3)), Remote(server.url))
    told = problem(httpx.get(server.url + path), status, code)
    if code == "AmbiguousKey":
        assert len(told["candidates"]) == 4


def test_every_route_refuses_a_parameter_that_it_does_not_declare_and_names_those_that_it_does(
    server: ServerProcess,
) -> None:
    document = httpx.get(f"{server.url}/openapi.json?any=1").json()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            url = server.url + path.replace("{", "").replace("}", "") + "?piepline=x"
            answer = httpx.request(method, url)
            if not path.startswith("/v1/"):
                assert answer.status_code == 200, path
                continue
            assert "400" in route["responses"], path
            told = problem(answer, 400, "UnknownParameter")
            assert told["asked"] == "piepline"
            for parameter in route.get("parameters", ()):
                assert parameter["in"] != "query" or parameter["name"] in told["detail"], path


def test_a_filter_narrows_as_in_a_clone_also_where_a_kind_has_no_notion_of_it(
    tmp_path: Path, server: ServerProcess
) -> None:
    clone = record(tmp_path / "a", typical(8))
    sync.push(clone, Remote(server.url))
    for ask in (Query(StoreSource(clone.view), clone.root), cmf.query(server.url)):
        assert list(ask.pipelines(Filters(status="complete"))) == list(ask.artifacts(Filters(status="complete"))) == []
        assert [node.name for node in ask.pipelines(Filters(q="dig"))] == ["digits"]


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path, server: ServerProcess) -> None:
    sync.push(record(tmp_path / "a", chain(3)), Remote(server.url))
    wrong = artifact("chain-2")[:-4] + "0000"
    assert problem(httpx.get(f"{server.url}/v1/lineage/{wrong}"), 404, "UnknownKey")["nearest"] == [artifact("chain-2")]


def test_names_that_look_like_queries_stay_data(server: ServerProcess, open_store: Callable[[], Store]) -> None:
    from cmf.core.operations import RunIdentity, put_execution

    run = put_execution(
        RunIdentity(
            pipeline=HOSTILE,
            stage=HOSTILE,
            type=HOSTILE,
            uuid=HOSTILE,
            started_at=AT,
            project=HOSTILE,
            branch=HOSTILE,
            command=(HOSTILE,),
            parameters={HOSTILE: HOSTILE},
        )
    )
    put = PutArtifact(key=KEY, name=HOSTILE, types=(HOSTILE,))
    use = PutUse(execution=run.key, artifact=KEY, direction="output", path=HOSTILE, commit=HOSTILE, url=HOSTILE)
    retract = Retract(key=run.key, reason=HOSTILE)
    post(server, body(journal(run, put, use, retract, SetProperty(key=KEY, name=HOSTILE, value=HOSTILE))))
    answer = httpx.get(f"{server.url}/v1/lineage/{KEY}?include_retracted=true").json()
    assert len(answer["nodes"]) == 2
    for path in (f"/v1/artifacts?name={HOSTILE}", f"/v1/executions?q={HOSTILE}", f"/v1/artifacts?type={HOSTILE}"):
        assert httpx.get(server.url + path).json()["total"] == 1, path
    assert httpx.get(f"{server.url}/v1/pipelines/{HOSTILE}").json()["node"]["name"] == HOSTILE


def test_the_openapi_document_tells_every_route_and_resolves(server: ServerProcess) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    assert set(document["paths"]) >= {
        "/healthz",
        "/readyz",
        "/v1/stats",
        "/v1/journals/{site}",
        "/v1/journals/{site}/{segment}",
        "/v1/operations",
        "/v1/pull",
        "/v1/artifacts",
        "/v1/executions",
        "/v1/pipelines",
        "/v1/lineage/{key}",
        "/v1/lineage",
        "/v1/token",
    }
    schemas = document["components"]["schemas"]

    def look(part: object) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                assert part["$ref"].removeprefix("#/components/schemas/") in schemas, part
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(document)


def test_a_server_with_a_token_lets_in_only_who_shows_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}", "--token-file", str(token)) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic s3cret"},
            {"Authorization": "Bearer"},
        ):
            answer = httpx.get(f"{server.url}/v1/stats", headers=headers)
            problem(answer, 401, "Unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert Remote(server.url, "s3cret").stats().sites == 0
        from cmf.core.errors import ServerRefused

        with pytest.raises(ServerRefused, match="CMF_TOKEN"):
            Remote(server.url).stats()


@pytest.mark.parametrize("token", ["", " ", "tökén"])
def test_a_token_that_is_set_and_useless_is_no_invitation(tmp_path: Path, token: str) -> None:
    command = [sys.executable, "-m", "cmf.cli", "server", "--port", "0", "--host", "0.0.0.0"]
    command += ["--store", f"sqlite:///{tmp_path / 'graph.db'}"]
    for variables in ({"CMF_SERVER_TOKEN": token}, {}):
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "CMF_SERVER_TOKEN" in done.stderr or "--token-file" in done.stderr


def test_a_server_stops_in_good_order(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server:
        assert server.stop() == 0
        assert "Traceback" not in server.log()


def test_a_client_that_stalls_does_not_stop_others(server: ServerProcess) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    stalled = [socket.create_connection((host, int(port))) for _ in range(20)]
    for connection in stalled:
        connection.sendall(b"POST /v1/journals/SITE/SEGMENT HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab")
    begun = time.monotonic()
    assert post(server, body(journal(said(1)))).status_code == 200
    assert time.monotonic() - begun < 20
    for connection in stalled:
        connection.close()


def test_connections_that_break_within_a_request_take_nothing_and_are_no_fault(server: ServerProcess) -> None:
    content = body(journal(said(1)))
    fields = {"Host": server.url.removeprefix("http://"), "Content-Type": NDJSON, "Content-Length": str(len(content))}
    head = "POST /v1/journals/SITE/SEGMENT HTTP/1.1\r\n" + "".join(
        f"{name}: {said}\r\n" for name, said in fields.items()
    )
    port = int(server.url.rpartition(":")[2])
    for whole in (0, 1, len(content) - 1):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{head}\r\n".encode() + content[:whole])
            time.sleep(0.1)
    assert Remote(server.url).heads("SITE") == {}
    assert post(server, content).json()["applied"] == 1
    assert not re.search(r'"level": "(warning|error)"|Traceback', server.log())
