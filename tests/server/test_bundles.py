"""Across an air gap: what a bundle brought is pushed by whoever has a server, as the site itself would have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from histories import artifact, as_recorded, chain, execution, record, typical
from server_process import ServerProcess

from cmf import sync
from cmf.core.delta import Delta
from cmf.core.operations import Operation, Retract, SetProperty
from cmf.core.store import Store
from cmf.core.wire import PullQuestion
from cmf.exporting import export
from cmf.importing import import_
from cmf.remote import Remote
from cmf.repository import Repository

SAID: list[Operation] = [
    *chain(6),
    Retract(key=artifact("chain-2"), reason="mislabelled"),
    SetProperty(key=artifact("chain-4"), name="accuracy", value={"$number": "NaN"}),
]


def held(open_store: Callable[[], Store]) -> Delta:
    store = open_store()
    try:
        return store.state()
    finally:
        store.close()


def test_a_bundle_is_pushed_as_the_site_itself_would_have(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    a = record(tmp_path / "a", SAID)
    relay = record(tmp_path / "relay", execution(7, ["chain-6"], ["report"]))
    export(a, tmp_path / "a.cmf")
    import_(relay, tmp_path / "a.cmf")
    remote = Remote(server.url)
    assert sync.unpushed_bytes(relay, remote) == sum(s.path.stat().st_size for s in (*a.segments, *relay.segments))
    assert sync.push(relay, remote) == (len(SAID) + 6, 0)
    assert {name: head.sequence for name, head in remote.heads(a.site).items()} == {
        segment.name: len(SAID) for segment in a.segments
    }
    assert held(open_store) == as_recorded(a, relay)
    assert sync.push(relay, remote) == sync.push(a, remote) == (0, 0), "nor does the site double what came before it"

    a.record(execution(8, ["report"], ["slides"]))
    assert sync.push(a, remote) == (6, 0), "the site goes on where the bundle left off"
    export(a, tmp_path / "a.cmf")
    assert import_(relay, tmp_path / "a.cmf").news == 6
    assert sync.unpushed_bytes(relay, remote) == 0
    assert sync.push(relay, remote) == (0, 0), "and the bundle where the site did"
    assert held(open_store) == as_recorded(a, relay)


def test_a_bundle_that_overtakes_its_site_and_both_at_once_double_nothing(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    a = record(tmp_path / "a", typical(300))
    export(a, tmp_path / "a.cmf")
    relay = Repository.create(tmp_path / "relay")
    import_(relay, tmp_path / "a.cmf")
    pushed: list[sync.Pushed] = []
    both = [
        threading.Thread(target=lambda r=repository: pushed.append(sync.push(r, Remote(server.url))))  # type: ignore[misc]
        for repository in (a, relay)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sum(done.applied for done in pushed) == 3_000
    assert held(open_store) == as_recorded(a)


def test_a_slice_of_a_clone_is_what_a_pull_from_a_server_brings(tmp_path: Path, server: ServerProcess) -> None:
    a = record(tmp_path / "a", [*SAID, *typical(5)])
    question = PullQuestion(artifacts=(artifact("chain-3"),), pipelines=("nightly",))
    sync.push(a, Remote(server.url))
    pulled, imported = Repository.create(tmp_path / "p"), Repository.create(tmp_path / "i")
    sync.pull(pulled, Remote(server.url), question)
    export(a, tmp_path / "slice.cmf", question)
    import_(imported, tmp_path / "slice.cmf")
    assert imported.view.state() == pulled.view.state()
    assert sync.push(imported, Remote(server.url)) == (0, 0)
