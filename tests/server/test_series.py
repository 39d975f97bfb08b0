"""Fine-grained metrics over REST: a real server, and the same answers as from the clone that recorded them."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.core.errors import BadQuestion, UnknownKey
from cmf.questions import Query, StoreSource
from cmf.recording import close_repositories, open_repository
from cmf.remote import Remote

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "answers.schema.json").read_text())
NAMES = ["train/loss", "..", "a b?#%é", "[bold]"]


def of_schema(answer: httpx.Response, name: str) -> dict[str, object]:
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
    found: dict[str, object] = answer.json()
    return found


@pytest.fixture
def runs(tmp_path: Path, server: ServerProcess) -> tuple[Query, list[str]]:
    """Two runs, pushed: their clone's own answers, and their keys."""
    root = tmp_path / "clone"
    (root / ".cmf").mkdir(parents=True)
    keys = []
    for number in range(2):
        with cmf.run("digits", "train", root=root) as run:
            for step in range(12_000):
                run.metric("train/loss", float("nan") if step == 7_777 else 1 / (step + 1 + number), step=step)
            for name in NAMES[1 : 3 + number]:
                run.metric(name, 2**60)
        keys.append(run.key)
    repository = open_repository(root)
    sync.push(repository, Remote(server.url))
    return Query(StoreSource(repository.view)), keys


def test_series_are_answered_over_rest_as_from_the_clone(server: ServerProcess, runs: tuple[Query, list[str]]) -> None:
    local, (first, second) = runs
    remote = cmf.query(server.url)
    assert remote.series(first) == local.series(first)
    assert [summary.name for summary in local.series(second)] == sorted(NAMES)
    for name in NAMES[:3]:
        assert remote.points(first[:18], name) == local.points(first, name)
    asked = {"points": 50, "from_step": 7_000, "to_step": 9_000}
    assert remote.points(first, "train/loss", **asked) == local.points(first, "train/loss", **asked)  # type: ignore[arg-type]
    assert remote.points_of([second, first], "[bold]") == local.points_of([second, first], "[bold]")
    assert remote.points_of([second, first], "[bold]").without == (first,)

    at = f"{server.url}/v1/executions/{first}/series"
    listed = of_schema(httpx.get(at), "SeriesList")
    assert listed["execution"] == first
    answer = of_schema(httpx.get(f"{at}/train/loss", params={"points": 50, "from": 7_000, "to": 9_000}), "Series")
    assert (answer["from"], answer["to"], answer["method"]) == (7_000, 9_000, "m4")
    assert answer["summary"]["total"] == 2_001 and answer["summary"]["nan"] == 1  # type: ignore[index]
    assert [7_777, {"$number": "NaN"}] in [point[::2] for point in answer["points"]]  # type: ignore[attr-defined]
    of_schema(httpx.get(f"{at}/{quote(NAMES[2], safe='')}"), "Series")
    of_schema(httpx.post(f"{server.url}/v1/series", json={"executions": [first], "name": ".."}), "SeriesOfMany")
    assert httpx.get(f"{server.url}/v1/executions/{first}").json()["node"]["series"] == sorted(NAMES[:3])
    close_repositories()


def test_what_makes_no_sense_is_refused(server: ServerProcess, runs: tuple[Query, list[str]]) -> None:
    local, (first, _) = runs
    at = f"{server.url}/v1/executions/{first}/series"
    for path, status, code in [
        (f"{at}/los", 404, "UnknownKey"),
        (f"{server.url}/v1/executions/execution:{'f' * 32}/series", 404, "UnknownKey"),
        (f"{at}/train/loss?points=9", 422, "BadRequest"),
        (f"{at}/train/loss?points=200001", 422, "BadRequest"),
        (f"{at}/train/loss?from=x", 422, "BadRequest"),
        (f"{at}/train/loss?from=9007199254740992", 422, "BadRequest"),
        (f"{at}/train/loss?from=2&to=1", 422, "BadQuestion"),
    ]:
        answer = httpx.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
    for body in [{}, {"executions": [], "name": "x"}, {"executions": [first], "name": "x", "more": 1}, []]:
        answer = httpx.post(f"{server.url}/v1/series", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "BadQuestion"), body
    for ask in (local, cmf.query(server.url)):
        with pytest.raises(UnknownKey, match="nearest"):
            ask.points(first, "los")
        with pytest.raises(BadQuestion):
            ask.points(first, "train/loss", points=3)
        with pytest.raises(BadQuestion):
            ask.points(first, "train/loss", from_step=1.5)  # type: ignore[arg-type]
        with pytest.raises(BadQuestion):
            ask.points_of([], "train/loss")
    close_repositories()
