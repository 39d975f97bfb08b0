"""Whatever a text says, it stays data: what was stated comes back equal, and nothing else has changed."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from histories import artifact, chain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import ServerProcess

from cmf.core import chunks
from cmf.core import lineage as rules
from cmf.core.delta import fold, operations
from cmf.core.lineage import Question
from cmf.core.operations import Operation, PutArtifact, PutExecution, PutPoints, RunIdentity
from cmf.core.records import Header, header_line, make_stamp, record_line
from cmf.core.store import Filters, Store
from cmf.core.values import encode
from cmf.core.wire import NDJSON
from cmf.stores.memory import MemoryStore

sys.path.insert(0, str(Path(__file__).parent))
from hostile import WORDS, statements

AT = "2026-02-01T00:00:00.000000Z"
Examples = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
Many = settings(Examples, max_examples=400, derandomize=False)


class Told:
    """A server, and the specification that was told the same."""

    def __init__(self, server: ServerProcess, open_store: Callable[[], Store]) -> None:
        self.url = server.url
        self.client = httpx.Client(base_url=server.url, timeout=60)
        self.spec = MemoryStore()
        self._store = open_store()
        self._numbers = itertools.count()

    def push(self, said: list[Operation]) -> None:
        """Say it as a site does."""
        segment = f"S{next(self._numbers)}"
        line, total = header_line(Header(1, "SITE", segment, "test", AT))
        lines = [line]
        for sequence, operation in enumerate(said, 1):
            line, total = record_line(total, sequence, AT, operation)
            lines.append(line)
        body = b"".join(line + b"\n" for line in lines)
        answer = self.client.post(f"/v1/journals/SITE/{segment}", content=body, headers={"Content-Type": NDJSON})
        assert answer.status_code == 200, answer.text
        chunk = chunks.parse("SITE", segment, lines)
        self.spec.write(lambda transaction: chunks.merge(transaction, chunk))

    def post(self, said: list[Operation]) -> None:
        """Say it as a client without a journal does."""
        answer = self.client.post("/v1/operations", content=encode({"operations": said, "at": AT}), headers=JSON)
        assert answer.status_code == 200, answer.text
        origin = "post-" + hashlib.sha256(encode(said)).hexdigest()[:32]
        delta = fold((make_stamp(AT, origin, number), operation) for number, operation in enumerate(said, 1))
        self.spec.write(lambda transaction: transaction.merge(delta))

    def expect_the_same(self) -> None:
        """That the server's store holds what the specification holds, to the last statement."""
        assert _statements(self._store) == _statements(self.spec)

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == 200, (path, answer.text)
        return _without_arrival(answer.json())

    def close(self) -> None:
        self.client.close()
        self._store.close()


def _statements(store: Store) -> list[bytes]:
    return sorted(encode(stated) for stated in operations(store.state()))


JSON = {"Content-Type": "application/json"}


@pytest.fixture
def told(server: ServerProcess, open_store: Callable[[], Store]) -> Any:
    made = Told(server, open_store)
    made.push(list(chain(2)))  # what was there before
    yield made
    made.close()


@Examples
@given(said=statements(), journal=st.booleans())
def test_hostile_texts_come_back_as_they_were_said(told: Told, said: list[Operation], journal: bool) -> None:
    _say_and_ask(told, said, journal)


@pytest.mark.soak
@Many
@given(said=statements(), journal=st.booleans())
def test_so_do_hundreds_of_them(told: Told, said: list[Operation], journal: bool) -> None:
    _say_and_ask(told, said, journal)


def _say_and_ask(told: Told, said: list[Operation], journal: bool) -> None:
    (told.push if journal else told.post)(said)
    told.expect_the_same()
    run = next(op for op in said if isinstance(op, PutExecution) and isinstance(op.identity, RunIdentity))
    keys = [op.key for op in said if isinstance(op, PutExecution | PutArtifact)]
    for key in keys:
        kind = "executions" if key.startswith("execution:") else "artifacts"
        answer, expected = told.get(f"/v1/{kind}/{key}"), plain(told.spec.detail(key, 100))
        assert answer["node"] == expected["node"]
        assert answer == expected
    question = Question(keys=tuple(sorted(set(keys))), include_retracted=True)
    asked = {"keys": list(question.keys), "include_retracted": True}
    answer = told.client.post("/v1/lineage", json=asked)
    assert _without_arrival(answer.json()) == plain(rules.lineage(told.spec, question))
    identity = run.identity
    assert isinstance(identity, RunIdentity)
    for filters in (
        Filters(pipeline=identity.pipeline),
        Filters(stage=identity.stage),
        Filters(project=identity.project),
        Filters(type=identity.type),
        Filters(q=identity.stage),
    ):
        found = told.get("/v1/executions", **plain(filters), limit=1000)
        assert [node["key"] for node in found["items"]] == [
            node.key for node in told.spec.list_nodes("execution", filters, 1000, None).items
        ], filters
    for name in (op.name for op in said if isinstance(op, PutArtifact)):
        # The parameter is data too: it finds what has the name, and does nothing.
        found = told.get("/v1/artifacts", name=name, limit=1000)
        expected = told.spec.list_nodes("artifact", Filters(name=name), 1000, None)
        assert [node["key"] for node in found["items"]] == [node.key for node in expected.items], name
    series = next(op.series for op in said if isinstance(op, PutPoints))
    answer = told.client.post("/v1/series", json={"executions": [run.key], "name": series})
    assert answer.json()["series"][0]["points"] == [[1, 1_700_000_000.0, 0.5]], series
    told.expect_the_same()


def plain(value: object) -> Any:
    """As JSON; when it came to a store each store says for itself."""
    return _without_arrival(json.loads(encode(value)))


def _without_arrival(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _without_arrival(value) for name, value in answer.items() if name != "recorded_at"}
    return [_without_arrival(item) for item in answer] if isinstance(answer, list) else answer


def test_every_parameter_of_every_route_is_data(told: Told) -> None:
    document = told.client.get("/openapi.json").json()
    for word in WORDS:
        for path, methods in document["paths"].items():
            for method, route in methods.items():
                _ask_with(told, word, path, method, route.get("parameters", ()))
    told.expect_the_same()


def _ask_with(told: Told, word: str, path: str, method: str, parameters: Sequence[dict[str, str]]) -> None:
    """Ask a route with this word in its path and its body, and in all of its parameters."""
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace("{%s}" % parameter["name"], quote(word, safe=""))
    query = {parameter["name"]: word for parameter in parameters if parameter["in"] == "query"}
    texts = {name: word for name in query if name not in ("limit", "depth", "cursor")}
    body = json.dumps({"keys": [word], "projects": [{"project": word}]}) if method == "post" else None
    for asked in (query, texts):
        answer = told.client.request(method, path, params=asked, content=body, headers=JSON)
        assert answer.status_code < 500, (method, path, asked, answer.text)
        assert "Traceback" not in answer.text


SAID = '{"operations":[{"is":"SetProperty","key":"%s","name":"n","value":%s}]}'
REFUSED = {
    "a lone surrogate": '"\\ud800"',
    "half a surrogate pair": '"\\udc00\\ud800"',
    "a number beyond all doubles": "1e400",
    "minus that": "-1e400",
    "a hundred thousand digits": "9" * 100_000,
    "four thousand digits": "9" * 4_000,
    "a number without a tag": "99999999999999999999",
    "a false tag": '{"$number":"0x10"}',
    "a tag of many digits": '{"$number":"' + "9" * 100_000 + '"}',
    "a name twice": '{"a":1,"a":2}',
    "a name twice, deep": '[[{"b":{"a":1,"\\u0061":2}}]]',
    "many levels": "[" * 100_000 + "]" * 100_000,
    "65 levels": "[" * 65 + "]" * 65,
    "many levels of objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "a comment": "1/*x*/",
    "a single quote": "'a'",
    "a comma too many": "[1,]",
    "a raw newline": '"a\nb"',
    "a control character": '"\x01"',
    "nothing": "",
}


def test_values_that_are_none_are_refused_and_nothing_is_taken(told: Told) -> None:
    for what, value in REFUSED.items():
        _refused(told, (SAID % (artifact("chain-1"), value)).encode(), 422, what)
    told.expect_the_same()


def test_so_are_bodies_that_are_none(told: Told) -> None:
    good = SAID % (artifact("chain-1"), '"x"')
    bad = [
        good.encode().replace(b'"x"', b'"\xff\xfe"'),
        good.encode().replace(b'"x"', b'"\xed\xa0\x80"'),
        good.encode("utf-16"),
        b"\xef\xbb\xbf" + good.encode(),
        good.encode() + b"\0",
        good.encode() + good.encode(),
        good.encode()[:-1],
        good.replace('"name":"n"', '"name":"n","name":"m"').encode(),
        good.replace('"is":"SetProperty"', '"is":"SetProperty","is":"Retract"').encode(),
        good.replace('"name":"n"', '"name":"a\\u0000b"').encode(),
        good.replace('"name":"n"', '"name":""').encode(),
        good.replace('"name":"n"', '"name":"%s"' % ("x" * (64 << 10))).encode(),
        good.replace('"name":"n"', '"name":"a\\nb"').encode(),
        good.replace('"value"', '"x":1,"value"').encode(),
        b"",
        b"[]",
        b"null",
        b'"' + b"x" * (1 << 20) + b'"',
    ]
    for body in bad:
        _refused(told, body, 422)
    _refused(told, b'{"operations":[' + b"[],[]," * 700_000 + b"[]]}", 413)
    _refused(told, b"x" * (9 << 20), 413)
    _refused(told, good.encode(), 415, **{"Content-Type": "text/plain"})
    _refused(told, good.encode(), 415, **{"Content-Encoding": "gzip"})
    told.expect_the_same()


def test_a_record_with_a_name_twice_is_refused_with_its_line(told: Told) -> None:
    header, total = header_line(Header(1, "SITE", "TWICE", "test", AT))
    for twice in (
        b'{"seq":1,"at":"%s","op":{"is":"SetProperty","key":"%s","name":"n","value":{"a":1,"a":2}}',
        b'{"seq":1,"seq":1,"at":"%s","op":{"is":"SetProperty","key":"%s","name":"n","value":1}',
        b'{"seq":1,"at":"%s","op":{"is":"SetProperty","key":"%s","name":"n","value":1,"name":"m"}',
    ):
        body = twice % (AT.encode(), artifact("chain-1").encode())
        sum_ = hashlib.sha256(total.encode() + body).hexdigest()[:32]
        lines = header + b"\n" + body + b',"sum":"%s"}\n' % sum_.encode()
        answer = told.client.post("/v1/journals/SITE/TWICE", content=lines, headers={"Content-Type": NDJSON})
        assert answer.status_code == 422 and answer.json()["line"] == 2 and "twice" in answer.json()["detail"]
    told.expect_the_same()


def _refused(told: Told, body: bytes, status: int, what: str = "", **headers: str) -> None:
    answer = told.client.post("/v1/operations", content=body, headers=JSON | headers)
    assert answer.status_code == status, (what or body[:200], answer.text[:500])
    refusal = answer.json()
    assert refusal["status"] == status and refusal["detail"] and "Traceback" not in answer.text
