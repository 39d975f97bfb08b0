"""What is withdrawn is gone from answers everywhere, whatever arrives late or again, until it is taken back."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from histories import artifact, chain, record
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.core.errors import BadQuestion, InvalidValue, UnknownKey
from cmf.core.wire import PullQuestion
from cmf.questions import Query, StoreSource
from cmf.recording import close_repositories, open_repository
from cmf.remote import Remote
from cmf.repository import Repository


def cli(at: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cmf.cli", *arguments], cwd=at, capture_output=True, text=True, timeout=60
    )


def local(at: Path) -> Query:
    return Query(StoreSource(open_repository(at).view), at)


def upstream(graph: Query, key: str) -> list[str]:
    return [node.key for node in graph.lineage(key, "upstream").nodes]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    record(tmp_path / "a", chain(3)).close()  # chain-0 → chain-1 → chain-2 → chain-3
    return tmp_path / "a"


def test_an_artifact_is_withdrawn_and_taken_back_by_command_and_in_python(clone: Path) -> None:
    whole = upstream(local(clone), artifact("chain-3"))
    done = cli(clone, "retract", artifact("chain-1"), "--reason", "labels of May are shifted")
    assert (done.returncode, done.stdout.split()[0]) == (0, "retracted"), done.stderr
    assert len(upstream(local(clone), artifact("chain-3"))) < len(whole)
    shown = cli(clone, "show", artifact("chain-1"))
    assert "labels of May are shifted" in shown.stdout
    assert "retracted at" in shown.stdout
    told = cli(clone, "lineage", artifact("chain-3"), "--up", "--include-retracted").stdout
    assert "retracted" in told, told
    assert cli(clone, "retract", artifact("chain-1")[:12], "--undo").stdout.startswith("restored")
    assert upstream(local(clone), artifact("chain-3")) == whole
    cmf.retract(artifact("chain-1"), "again", root=clone)
    assert len(upstream(local(clone), artifact("chain-3"))) < len(whole)
    cmf.restore(artifact("chain-1"), root=clone)
    assert upstream(local(clone), artifact("chain-3")) == whole
    close_repositories()


def test_only_a_use_is_withdrawn(clone: Path) -> None:
    graph = local(clone)
    (execution,) = [
        node.key for node in graph.lineage(artifact("chain-1"), "upstream", 1).nodes if "execution:" in node.key
    ]
    path = next(edge.path for edge in graph.show(execution).uses if artifact("chain-0") in (edge.source, edge.target))
    cmf.retract(execution, "was not read after all", path=path, root=clone)
    assert upstream(local(clone), artifact("chain-1")) == [artifact("chain-1"), execution]
    with pytest.raises(BadQuestion, match="is no execution that used 'nowhere'"):
        cmf.retract(execution, "x", path="nowhere", root=clone)
    close_repositories()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["chain-1"], 2, "say why with --reason"),
        ([artifact("chain-1"), "--reason", "x", "--undo"], 2, "say why with --reason"),
        ([artifact("chain-1"), "--reason", ""], 1, "the reason"),
        ([artifact("chain-1"), "--reason", "a\nb"], 1, "the reason"),
        (["nowhere", "--reason", "x"], 1, "nothing recorded under 'nowhere'"),
        (["md5:" + "0" * 32, "--reason", "x"], 1, "nothing recorded under"),
        ([artifact("chain-1"), "--reason", "x", "--use", "chain-1"], 1, "is no execution that used"),
        ([artifact("chain-1"), "--undo"], 1, "is not retracted, as far as this clone knows"),
    ],
)
def test_what_cannot_be_withdrawn_is_told(clone: Path, arguments: list[str], code: int, problem: str) -> None:
    done = cli(clone, "retract", *arguments)
    assert done.returncode == code
    assert problem in " ".join(done.stderr.split())


def test_python_refuses_as_the_command_does(clone: Path) -> None:
    with pytest.raises(InvalidValue, match="the reason"):
        cmf.retract(artifact("chain-1"), "", root=clone)
    with pytest.raises(UnknownKey):
        cmf.retract("nowhere", "x", root=clone)
    close_repositories()


def test_late_and_repeated_pushes_bring_nothing_back(tmp_path: Path, clone: Path, server: ServerProcess) -> None:
    seed = random.randrange(2**32)
    # Three sites know the same content; the one that withdraws it pushes at a random moment among them.
    sites = [Repository.find(clone)]
    for number in range(2):
        sites.append(record(tmp_path / f"late{number}", chain(3)))
    restored = tmp_path / "restored"
    shutil.copytree(clone, restored)  # a copy of before, pushed again at the end
    cmf.retract(artifact("chain-1"), "bad", root=clone)
    close_repositories()
    random.Random(seed).shuffle(sites)
    for site in sites:
        sync.push(site, Remote(server.url))
    record(tmp_path / "after", chain(3))
    sync.push(Repository.find(tmp_path / "after"), Remote(server.url))
    sync.push(Repository.find(restored), Remote(server.url))
    graph = cmf.query(server.url)
    assert artifact("chain-1") not in upstream(graph, artifact("chain-3")), f"seed {seed}"
    assert graph.show(artifact("chain-1")).node.retracted == "bad", f"seed {seed}"

    pulling = Repository.create(tmp_path / "pulling")
    sync.pull(pulling, Remote(server.url), PullQuestion(artifacts=(artifact("chain-3"),)))
    assert artifact("chain-1") not in upstream(local(pulling.root), artifact("chain-3"))
    cmf.restore(artifact("chain-1"), root=clone)
    close_repositories()
    sync.push(Repository.find(clone), Remote(server.url))
    assert artifact("chain-1") in upstream(cmf.query(server.url), artifact("chain-3")), f"seed {seed}"
    sync.pull(pulling, Remote(server.url), PullQuestion(artifacts=(artifact("chain-3"),)))
    assert artifact("chain-1") in upstream(local(pulling.root), artifact("chain-3"))
