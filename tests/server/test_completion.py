"""What is pushed while it runs is completed by later pushes, in whatever order these come; nobody's word is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from histories import artifact, as_recorded, execution, record
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.core.model import Artifact, Execution
from cmf.core.operations import PutArtifact, PutExecution, SetProperty
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.repository import Repository


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_DATA", "none")


def clone(root: Path) -> Repository:
    root.mkdir()
    Repository.create(root).close()
    (root / "raw.csv").write_text("1,2\n")
    return Repository.find(root)


def test_a_running_execution_is_completed_by_later_pushes(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    site = clone(tmp_path / "a")
    remote = Remote(server.url)
    asked = cmf.query(server.url)

    def seen() -> Execution:
        sync.push(site, remote)
        node = asked.show(key).node
        assert isinstance(node, Execution)
        return node

    with cmf.run("digits", "train", params={"C": 1.0}, root=site.root) as run:
        key = run.key
        running = seen()
        assert (running.status, running.ended_at, running.parameters) == ("running", None, {"C": 1.0})
        run.input(site.root / "raw.csv")
        run.metric("loss", 0.5, step=1)
        run.set(note="half way")
        assert (seen().status, seen().properties["note"]) == ("running", "half way")
        assert [(use.kind, use.path) for use in asked.show(key).uses] == [("input", "raw.csv")]
        (site.root / "model.bin").write_bytes(b"weights")
        run.output(site.root / "model.bin", type="Model")
        run.metrics(accuracy=0.97)
        run.metric("loss", 0.25, step=2)
        run.set(note="done")
    ended = seen()
    assert (ended.status, ended.properties["note"], ended.series) == ("complete", "done", ("loss",))
    assert ended.ended_at is not None
    uses = asked.show(key).uses
    assert {(use.kind, use.path) for use in uses} >= {("input", "raw.csv"), ("output", "model.bin")}
    made = [node for node in asked.lineage(key, "downstream").nodes if isinstance(node, Artifact)]
    assert [node.values for node in made if "Metrics" in node.types] == [{"accuracy": 0.97}]
    assert [point[2] for point in asked.points(key, "loss").points] == [0.5, 0.25]
    store = open_store()
    assert store.state() == as_recorded(site)
    store.close()


def test_two_sites_that_annotate_one_artifact_both_keep_their_properties(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    key = artifact("shared")

    def said(site: str) -> list[PutArtifact | SetProperty]:
        return [
            PutArtifact(key=key, name=f"of-{site}", types=(site.capitalize(),)),
            SetProperty(key=key, name=f"by_{site}", value={"by": site}),
            SetProperty(key=key, name="owner", value=site),
        ]

    a = record(tmp_path / "a", said("a"))
    b = record(tmp_path / "b", said("b"))  # said later, and pushed first
    remote = Remote(server.url)
    sync.push(b, remote)
    sync.push(a, remote)
    asked = cmf.query(server.url)
    seen = asked.show(key).node
    assert isinstance(seen, Artifact)
    assert seen.properties == {"by_a": {"by": "a"}, "by_b": {"by": "b"}, "owner": "b"}
    assert (set(seen.types), seen.name) == ({"A", "B"}, "of-a")
    # One takes back its own word; the other's stands.
    a.record([SetProperty(key=key, name="by_a", value=None), SetProperty(key=key, name="owner", value="a")])
    sync.push(a, remote)
    assert asked.show(key).node.properties == {"by_b": {"by": "b"}, "owner": "a"}
    store = open_store()
    assert store.state() == as_recorded(a, b)
    store.close()


def test_whoever_ends_an_execution_need_not_be_who_began_it_nor_come_later(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    whole = execution(1, ["raw"], ["model"], metrics=2)
    put = whole[0]
    assert isinstance(put, PutExecution)
    begun = record(tmp_path / "began", [put])
    ended = record(tmp_path / "ended", [*whole[1:], SetProperty(key=put.key, name="node", value="gpu-7")])
    remote = Remote(server.url)
    sync.push(ended, remote)  # an execution of which only the end is known, and its uses
    sync.push(begun, remote)
    seen = cmf.query(server.url).show(put.key).node
    assert isinstance(seen, Execution)
    assert (seen.status, seen.pipeline, seen.properties) == ("complete", "digits", {"node": "gpu-7"})
    assert [use.kind for use in cmf.query(server.url).show(put.key).uses].count("output") == 2
    store = open_store()
    assert store.state() == as_recorded(begun, ended)
    store.close()
