"""Push and pull between real processes: everything arrives, once, whatever is interrupted."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from histories import artifact, as_recorded, chain, execution, record, typical
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.core.errors import CmfError, CorruptRecord, Gap, ServerProblem, ServerUnreachable
from cmf.core.lineage import Question, lineage
from cmf.core.operations import Operation, Retract, SetProperty
from cmf.core.store import Store
from cmf.core.wire import PullQuestion, Received
from cmf.remote import Remote
from cmf.repository import Repository


def push(repository: Repository, server: ServerProcess) -> sync.Pushed:
    return sync.push(repository, Remote(server.url))


def comparable(answer: object) -> object:
    import msgspec

    plain = msgspec.to_builtins(answer)
    for node in plain["nodes"]:
        node.pop("recorded_at", None)
    return plain


def test_two_sites_meet_in_one_graph_by_content_alone(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    a = record(tmp_path / "a", execution(1, ["raw"], ["clean"], pipeline="at a"))
    b = record(tmp_path / "b", execution(2, ["clean"], ["model"], pipeline="at b"))
    assert (push(b, server).applied, push(a, server).applied) == (6, 6)
    answer = cmf.query(server.url).lineage(artifact("model"), "upstream")
    assert [node.distance for node in answer.nodes] == [0, 1, 2, 3, 4]
    assert answer.nodes[-1].key == artifact("raw")
    store = open_store()
    assert store.state() == as_recorded(a, b)
    store.close()


def test_pushing_again_sends_nothing_and_asks_once(tmp_path: Path, server: ServerProcess) -> None:
    repository = record(tmp_path / "a", typical(50))
    assert push(repository, server) == (500, 0)
    requests: list[str] = []
    remote = Remote(server.url)
    remote._client.event_hooks["request"].append(lambda request: requests.append(request.url.path))
    assert sync.push(repository, remote) == (0, 0)
    assert requests == [f"/v1/journals/{repository.site}"]
    repository.record(execution(99, ["x"], ["y"]))
    assert push(repository, server) == (6, 0)


def test_a_push_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch, open_store: Callable[[], Store]
) -> None:
    repository = record(tmp_path / "a", typical(300))
    monkeypatch.setattr(sync, "CHUNK_RECORDS", 700)

    class CutOff(Remote):
        sent = 0

        def push(self, site: str, segment: str, packed: bytes) -> sync.Received:  # type: ignore[name-defined]
            if self.sent == 2:
                raise ServerUnreachable("the line went dead")
            self.sent += 1
            answer = super().push(site, segment, packed)
            if self.sent == 2:
                raise ServerUnreachable("the answer was lost after the commit")
            return answer

    for _ in range(2):
        with pytest.raises(ServerUnreachable):
            sync.push(repository, CutOff(server.url))
    pushed = push(repository, server)
    assert pushed.applied == 3_000 - 4 * 700 + 2 or pushed.applied < 3_000
    assert push(repository, server) == (0, 0)
    store = open_store()
    assert store.state() == as_recorded(repository)
    store.close()


def test_many_sites_push_at_once_while_others_read(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    sites = [record(tmp_path / f"s{number}", typical(30, start=30 * number)) for number in range(8)]
    problems: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as exc:
            problems.append(exc)

    def read() -> None:
        while not done.is_set():
            cmf.query(server.url).stats()
            list(cmf.query(server.url).executions())

    reader = threading.Thread(target=guarded, args=(read,))
    writers = [threading.Thread(target=guarded, args=(lambda site=site: push(site, server),)) for site in sites]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not problems, problems
    store = open_store()
    assert store.state() == as_recorded(*sites)
    store.close()


def test_kill_9_of_the_server_during_a_push_of_10_000_executions(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    repository = record(tmp_path / "a", typical(10_000))
    kills = 0

    def kill_soon() -> None:
        time.sleep(0.6)
        server.kill()

    while kills < 4:
        killer = threading.Thread(target=kill_soon)
        killer.start()
        try:
            push(repository, server)
        except ServerProblem:
            kills += 1
        else:
            break
        finally:
            killer.join()
        server.start()
    assert kills >= 2, "the server was never killed during a push"
    if not server.is_alive:
        server.start()
    push(repository, server)
    assert push(repository, server) == (0, 0)
    store = open_store()
    stats = store.stats()
    assert (stats.kinds["execution"], stats.kinds["use"]) == (10_000, 40_000)
    assert store.state() == as_recorded(repository)
    store.close()


def test_an_execution_pushed_while_running_is_completed_by_a_later_push(tmp_path: Path, server: ServerProcess) -> None:
    operations = execution(1, ["raw"], ["clean"])
    repository = record(tmp_path / "a", operations[:-1])
    push(repository, server)
    query = cmf.query(server.url)
    assert next(query.executions()).status == "running"  # type: ignore[union-attr]
    repository.record(operations[-1:])
    push(repository, server)
    assert next(query.executions()).status == "complete"  # type: ignore[union-attr]


def test_a_pulled_chain_answers_offline_as_the_server_does(tmp_path: Path, server: ServerProcess) -> None:
    a = record(tmp_path / "a", [*chain(20), *typical(30)])
    said: list[Operation] = [
        Retract(key=artifact("chain-3"), reason="mislabelled"),
        SetProperty(key=artifact("chain-10"), name="accuracy", value={"$number": "NaN"}),
    ]
    a.record(said)
    push(a, server)
    c = Repository.create(tmp_path / "c")
    pulled = sync.pull(c, Remote(server.url), PullQuestion(artifacts=(artifact("chain-10"),)))
    assert pulled.news and pulled.operations > 0
    remote = Remote(server.url)
    for direction in ("upstream", "downstream", "both"):
        for hidden in (False, True):
            for depth in (None, 2):
                question = Question(
                    keys=(artifact("chain-10"),),
                    direction=direction,
                    depth=depth,
                    include_retracted=hidden,  # type: ignore[arg-type]
                )
                assert comparable(lineage(c.view, question)) == comparable(remote.lineage(question))
    assert not c.segments, "what was pulled is not what was recorded here"
    assert push(c, server) == (0, 0)
    assert c.view.stats().kinds["execution"] == 20, "the slice, not the whole graph"


def test_pulling_the_same_again_adds_nothing_and_a_rebuild_keeps_it(tmp_path: Path, server: ServerProcess) -> None:
    a = record(tmp_path / "a", chain(5))
    push(a, server)
    c = Repository.create(tmp_path / "c")
    question = PullQuestion(pipelines=("chain",))
    remote = Remote(server.url)
    assert sync.pull(c, remote, question).news
    assert not sync.pull(c, remote, question).news
    assert len(c.pulled_segments) == 1
    kept = c.view.state()
    c.rebuild()
    assert c.view.state() == kept
    a.record(execution(77, ["chain-5"], ["chain-6"], pipeline="chain"))
    push(a, server)
    assert sync.pull(c, remote, question).news
    assert c.view.stats().kinds["execution"] == 6


def test_a_pull_by_project_brings_all_of_it(tmp_path: Path, server: ServerProcess) -> None:
    from cmf.core.wire import ProjectBranch

    a = record(tmp_path / "a", typical(12))
    push(a, server)
    c = Repository.create(tmp_path / "c")
    sync.pull(c, Remote(server.url), PullQuestion(projects=(ProjectBranch(project="digits"),)))
    assert c.view.state() == a.view.state()
    nothing = sync.pull(c, Remote(server.url), PullQuestion(projects=(ProjectBranch(project="digits", branch="x"),)))
    assert nothing == (0, False, None, False)


def test_damage_stops_a_push_there_and_everything_before_it_is_sent(tmp_path: Path, server: ServerProcess) -> None:
    repository = record(tmp_path / "a", typical(10))
    (segment,) = repository.segments
    lines = segment.path.read_bytes().splitlines(keepends=True)
    lines[50] = lines[50].replace(b'"md5:', b'"md5:0', 1).replace(b"execution:", b"execution:0", 1)
    segment.path.write_bytes(b"".join(lines))
    with pytest.raises(CorruptRecord, match="line 51") as caught:
        push(repository, server)
    assert caught.value.path == segment.path
    assert Remote(server.url).heads(repository.site)[segment.name].sequence == 49


def test_damage_in_one_segment_does_not_hold_back_the_others(tmp_path: Path, server: ServerProcess) -> None:
    repository = record(tmp_path / "a", typical(3))
    repository.close()
    (segment,) = repository.segments
    segment.path.write_bytes(segment.path.read_bytes().replace(b'{"cmf":1', b'{"cmf":7', 1))
    repository = Repository.create(tmp_path / "a", catch_up=False)
    repository.record(execution(50, ["x"], ["y"]))
    with pytest.raises(CorruptRecord, match="line 1") as caught:
        push(repository, server)
    assert caught.value.path == segment.path
    assert cmf.query(server.url).stats().kinds["execution"] == 1


def test_a_server_restored_from_an_older_backup_gets_what_it_lacks(tmp_path: Path) -> None:
    store = tmp_path / "graph.db"
    repository = record(tmp_path / "a", typical(10))
    with ServerProcess(tmp_path, f"sqlite:///{store}") as server:
        push(repository, server)
        server.stop()
        backup = store.read_bytes()
        server.start()
        repository.record(execution(50, ["x"], ["y"]))
        push(repository, server)
        server.stop()
        for suffix in ("-wal", "-shm"):
            Path(f"{store}{suffix}").unlink(missing_ok=True)
        store.write_bytes(backup)
        server.start()
        assert push(repository, server) == (6, 0)


def test_a_chunk_that_overtakes_the_one_before_it_is_sent_again(
    tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "CHUNK_RECORDS", 700)
    repository = record(tmp_path / "a", typical(500))
    numbers, refused = itertools.count(), threading.Event()

    class Overtaken(Remote):
        def push(self, site: str, segment: str, packed: bytes) -> Received:
            if next(numbers) == 0:
                assert refused.wait(30), "the second chunk was taken before the first"
            try:
                return super().push(site, segment, packed)
            except Gap:
                refused.set()
                raise

    remote = Overtaken(server.url)
    applied, duplicates = sync.push(repository, remote)
    (head,) = remote.heads(repository.site).values()
    assert (applied, duplicates) == (head.sequence, 0)
    assert next(numbers) > 3, "it was sent in one or two chunks"


def test_a_server_that_is_down_or_none_at_all_leaves_the_journal_untouched(tmp_path: Path) -> None:
    import http.server

    repository = record(tmp_path / "a", typical(3))
    (segment,) = repository.segments
    before = segment.path.read_bytes()
    with pytest.raises(ServerUnreachable, match="nothing answers at http://127.0.0.1:9"):
        sync.push(repository, Remote("http://127.0.0.1:9"))
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(ServerProblem, match="is not a cmf server"):
            sync.push(repository, Remote(f"http://127.0.0.1:{other.server_port}"))
        other.shutdown()
    for wrong in ("nonsense", "http://", "ftp://127.0.0.1"):
        with pytest.raises(CmfError):
            sync.push(repository, Remote(wrong))
    assert segment.path.read_bytes() == before
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server:
        assert push(repository, server) == (30, 0)


def test_an_interrupted_pull_leaves_nothing_behind(tmp_path: Path, server: ServerProcess) -> None:
    push(record(tmp_path / "a", chain(200)), server)
    c = Repository.create(tmp_path / "c")

    class CutOff(Remote):
        def pull(self, question: PullQuestion, at_end: object = None) -> object:  # type: ignore[override]
            for number, stamped in enumerate(super().pull(question)):
                if number == 100:
                    raise ServerUnreachable("the line went dead")
                yield stamped

    with pytest.raises(ServerUnreachable):
        sync.pull(c, CutOff(server.url), PullQuestion(pipelines=("chain",)))
    assert list((c.folder / "journal" / "pulled").iterdir()) == []
    assert c.view.stats().kinds["execution"] == 0
