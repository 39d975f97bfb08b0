"""Pulling from a real server again and again: only news comes, and what is kept about that is never trusted blindly."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest
from histories import artifact, chain, execution, record
from server_process import ServerProcess

from cmf import sync
from cmf.core.identity import pipeline_key
from cmf.core.operations import Retract, SetProperty
from cmf.core.wire import PullQuestion
from cmf.pulls import MAX_NOTES, Pulls
from cmf.remote import Remote
from cmf.repository import Repository

CHAIN = PullQuestion(pipelines=("chain",))


def push(repository: Repository, server: ServerProcess) -> None:
    sync.push(repository, Remote(server.url))


def sizes(clone: Repository) -> list[int]:
    return sorted(segment.path.stat().st_size for segment in clone.pulled_segments)


def notes(clone: Repository) -> list[Path]:
    return sorted((clone.folder / "pulls").iterdir())


def test_a_second_pull_brings_only_news_and_keeps_only_news(tmp_path: Path, server: ServerProcess) -> None:
    a = record(tmp_path / "a", chain(200))
    push(a, server)
    c, remote = Repository.create(tmp_path / "c"), Remote(server.url)
    first = sync.pull(c, remote, CHAIN)
    assert (first.news, first.incremental) == (True, False)
    again = sync.pull(c, remote, CHAIN)
    assert (again.operations, again.news, again.incremental) == (0, False, True)
    a.record(execution(777, ["chain-200"], ["more"], pipeline="chain"))
    a.record([Retract(key=artifact("chain-3"), reason="bad data")])
    a.record([SetProperty(key=pipeline_key("chain", None), name="owner", value="me")])
    push(a, server)
    news = sync.pull(c, remote, CHAIN)
    assert news.news and news.operations < 30
    assert len(sizes(c)) == 2 and sizes(c)[0] * 20 < sizes(c)[1]
    assert c.view.state() == a.view.state()
    a.record([Retract(key=artifact("chain-3"), reason=None)])
    push(a, server)
    assert sync.pull(c, remote, CHAIN).operations == len(c.view.state([artifact("chain-3")]).retractions) + 1
    assert c.view.state() == a.view.state()
    whole = sync.pull(c, remote, CHAIN, everything=True)
    assert (whole.incremental, whole.operations > first.operations) == (False, True)
    assert sync.pull(c, remote, CHAIN) == (0, False, None, True)


def test_pulled_segments_that_are_gone_are_pulled_again(tmp_path: Path, server: ServerProcess) -> None:
    a = record(tmp_path / "a", chain(10))
    push(a, server)
    c, remote = Repository.create(tmp_path / "c"), Remote(server.url)
    sync.pull(c, remote, CHAIN)
    a.record(execution(777, ["chain-10"], ["more"], pipeline="chain"))
    push(a, server)
    sync.pull(c, remote, CHAIN)
    for segment in c.pulled_segments[:1]:
        segment.path.unlink()
    c.rebuild()
    assert c.view.state() != a.view.state()
    assert not sync.pull(c, remote, CHAIN).incremental
    assert c.view.state() == a.view.state()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b"\xff", b"[" * 10_000])
def test_a_damaged_note_costs_a_pull_of_everything(tmp_path: Path, damage: bytes) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/graph.db") as server:
        push(record(tmp_path / "a", chain(3)), server)
        c, remote = Repository.create(tmp_path / "c"), Remote(server.url)
        sync.pull(c, remote, CHAIN)
        (note,) = notes(c)
        note.write_bytes(damage)
        assert not sync.pull(c, remote, CHAIN).incremental
        assert sync.pull(c, remote, CHAIN).incremental


def test_a_note_that_cannot_be_written_does_not_fail_a_pull(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/graph.db") as server:
        push(record(tmp_path / "a", chain(3)), server)
        c, remote = Repository.create(tmp_path / "c"), Remote(server.url)
        (c.folder / "pulls").write_text("a file is in the way")
        for _ in range(2):
            assert not sync.pull(c, remote, CHAIN).incremental
        assert len(sizes(c)) == 1


def test_a_server_that_was_set_back_to_a_backup_does_not_leave_out_what_came_since(tmp_path: Path) -> None:
    """The backup goes on in its own way: its versions must not be taken for those that were lost."""
    graph = tmp_path / "graph.db"
    c = Repository.create(tmp_path / "c")
    with ServerProcess(tmp_path, f"sqlite:///{graph}") as server:
        push(record(tmp_path / "a", chain(5)), server)
        sync.pull(c, Remote(server.url), CHAIN)
        server.stop()
        shutil.copy(graph, tmp_path / "backup.db")
        server.start()
        for number in range(5):
            push(
                record(tmp_path / f"lost-{number}", execution(70 + number, ["chain-5"], ["x"], pipeline="chain")),
                server,
            )
        sync.pull(c, Remote(server.url), CHAIN)
        server.stop()
        shutil.copy(tmp_path / "backup.db", graph)
        server.start()
        assert sync.pull(c, Remote(server.url), CHAIN).operations > 20, "of a version of the future all comes"
        b = record(tmp_path / "b", execution(90, ["chain-5"], ["y"], pipeline="chain"))
        push(b, server)
        sync.pull(c, Remote(server.url), CHAIN)
        assert c.view.nodes([artifact("y")])


def test_what_another_question_brought_does_not_come_again(tmp_path: Path, server: ServerProcess) -> None:
    """As when one more file is tracked: the question is another, and most of its answer is there."""
    push(record(tmp_path / "a", [*chain(100), *execution(500, ["apart"], ["alone"], pipeline="other")]), server)
    c, remote = Repository.create(tmp_path / "c"), Remote(server.url)
    one = PullQuestion(artifacts=(artifact("chain-50"),))
    first = sync.pull(c, remote, one)
    both = PullQuestion(artifacts=(artifact("alone"), artifact("chain-50")))
    more = sync.pull(c, remote, both)
    assert more.incremental and 0 < more.operations < first.operations / 10
    assert c.view.nodes([artifact("apart")])
    assert sync.pull(c, remote, both).operations == 0
    assert not sync.pull(c, remote, PullQuestion(artifacts=(artifact("alone"),), depth=1)).incremental


def test_notes_are_of_one_server_and_one_token_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    segments = tmp_path / "segments"
    segments.mkdir()
    (segments / "s.jsonl").write_text("x")
    url = "http://127.0.0.1:9"
    ours = Pulls(tmp_path / "pulls", Remote(url, "token").asker, segments)
    for number in range(MAX_NOTES + 5):
        ours.keep(PullQuestion(pipelines=(f"p-{number}",)), "id:7", None, "s")
    assert len(list((tmp_path / "pulls").iterdir())) == MAX_NOTES
    question = PullQuestion(pipelines=(f"p-{MAX_NOTES}",))
    assert ours.best(question) is not None
    for other in (Remote(url, "another"), Remote(url), Remote(url + "9", "token")):
        assert Pulls(tmp_path / "pulls", other.asker, segments).best(question) is None
    assert "token" not in "".join(path.read_text() for path in (tmp_path / "pulls").iterdir())


@pytest.mark.parametrize("since", ["x" * 101, 7, {"a": 1}], ids=["too long", "a number", "an object"])
def test_a_since_of_another_form_is_refused(server: ServerProcess, since: object) -> None:
    told = httpx.post(f"{server.url}/v1/pull", json={"pipelines": ["chain"], "since": since})
    assert (told.status_code, told.json()["code"]) == (422, "BadQuestion")
    told = httpx.post(f"{server.url}/v1/pull", json={"pipelines": ["p"], "held": {"since": "x"}})
    assert told.status_code == 422
    told = httpx.post(
        f"{server.url}/v1/pull", json={"pipelines": ["p"], "held": {"artifacts": ["no key"]}, "since": "x:1"}
    )
    assert told.status_code == 200, "what is held at a version of no store is not looked at"


def test_the_statistics_tell_the_version_that_a_pull_ends_with(tmp_path: Path, server: ServerProcess) -> None:
    push(record(tmp_path / "a", chain(3)), server)
    told = httpx.get(f"{server.url}/v1/stats").json()["version"]
    *_, end = httpx.post(f"{server.url}/v1/pull", content=msgspec.json.encode(CHAIN), headers=JSON).text.splitlines()
    assert json.loads(end)["version"] == told
    asked = msgspec.structs.replace(CHAIN, since=told)
    text = httpx.post(f"{server.url}/v1/pull", content=msgspec.json.encode(asked), headers=JSON).text
    assert json.loads(text) == {"end": 0, "version": told}


JSON = {"Content-Type": "application/json"}


def test_the_command_says_what_came(tmp_path: Path) -> None:
    Repository.create(tmp_path / "c").close()
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path}/graph.db") as server:
        push(record(tmp_path / "a", chain(3)), server)

        def pull(*options: str) -> str:
            command = [sys.executable, "-m", "cmf.cli", "pull", "--pipeline", "chain", "--server", server.url, *options]
            return subprocess.run(command, cwd=tmp_path / "c", capture_output=True, text=True, check=True).stdout

        assert "operations pulled from" in pull()
        assert "nothing new since the last pull" in pull()
        told = json.loads(pull("--json"))
        assert (told["operations"], told["news"], told["incremental"]) == (0, False, True)
        assert "pulled before" in pull("--all")


def test_a_server_that_was_made_anew_and_has_nothing_is_not_said_to_have_no_news(tmp_path: Path) -> None:
    graph = tmp_path / "graph.db"
    c = Repository.create(tmp_path / "c")
    with ServerProcess(tmp_path, f"sqlite:///{graph}") as server:
        push(record(tmp_path / "a", chain(3)), server)
        sync.pull(c, Remote(server.url), CHAIN)
        server.stop()
        graph.unlink()
        server.start()
        assert sync.pull(c, Remote(server.url), CHAIN) == (0, False, None, False)
