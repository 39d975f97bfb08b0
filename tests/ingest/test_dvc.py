"""`cmf dvc ingest`, on pipelines that the real DVC has run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmf.core.errors import FileProblem
from cmf.core.model import Artifact, Execution
from cmf.core.store import Filters
from cmf.ingest.dvc import ingest
from cmf.questions import Query, StoreSource
from cmf.recording import close_repositories, open_repository
from cmf.repository import Repository

Run = Callable[..., Any]

#  raw.csv → prepare → parts/ → train → model.pkl, log.txt, metrics.json
#          ↘ region@north, region@south (in the folder sub)        grid@1-x, grid@2-x
PIPELINE = """\
vars:
  - folder: sub
stages:
  prepare:
    cmd: mkdir -p parts && cp raw.csv parts/a.csv && cp raw.csv parts/b.csv
    deps: [raw.csv]
    outs: [parts]
    desc: Makes the parts
  train:
    cmd: cp raw.csv model.pkl && cp scores.json metrics.json && cp raw.csv log.txt
    deps: [parts, scores.json]
    params: [C, train.lr, other.yaml: [name]]
    outs:
      - model.pkl: {persist: true, desc: the model}
      - log.txt: {cache: false}
    metrics:
      - metrics.json: {cache: false}
  region:
    foreach: ${regions}
    do:
      wdir: ${folder}
      cmd: echo ${item} > ${item}.txt
      deps: [../raw.csv]
      outs:
        - ${item}.txt: {cache: false}
  grid:
    matrix: {a: [1, 2], b: [x]}
    cmd: echo ${item.a}${item.b} > g-${item.a}-${item.b}.txt
    outs: ["g-${item.a}-${item.b}.txt"]
    frozen: true
artifacts:
  best: {path: model.pkl, type: model, labels: [digits]}
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "C: 1.0\ntrain: {lr: 0.5, epochs: 3}\nregions: [north, south]\n",
    "other.yaml": "name: digits\n",
    "raw.csv": "1,2\n",
    "scores.json": '{"train": {"loss": 0.5}, "accuracy": 0.9, "when": null}',
    "sub/readme": "a folder\n",
}


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that DVC ran, in a git repository whose first commit has the lock."""
    import subprocess
    import sys

    root = tmp_path_factory.mktemp("dvc") / "digits"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.replace("    frozen: true\n", ""))
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    for command in (
        ["git", "init", "-q", "-b", "main", "."],
        ["git", "config", "user.email", "ana@example.org"],
        ["git", "config", "user.name", "Ana"],
        ["git", "remote", "add", "origin", "https://ana:secret@example.org/team/digits.git"],
        ["dvc", "init", "-q"],
        ["dvc", "repro", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "Run"],
    ):
        subprocess.run(command, cwd=root, env=environment, check=True, timeout=120)
    (root / "dvc.yaml").write_text(PIPELINE)  # a stage is frozen once it has run
    return root


@pytest.fixture
def clone(ran: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran, tmp_path / "clone", symlinks=True))


def ingested(root: Path, folder: str = ".", pipeline: str | None = None) -> Any:
    return ingest(open_repository(root), root / folder, pipeline)


def executions(root: Path, **filters: str) -> list[Execution]:
    found = open_repository(root).view.list_nodes("execution", Filters(**filters), 100, None).items
    return [node for node in found if isinstance(node, Execution)]


def runs(root: Path, **filters: str) -> dict[str, Execution]:
    return {str(node.stage): node for node in executions(root, **filters)}


def lines(repository: Repository) -> int:
    return sum(len(segment.path.read_bytes().splitlines()) for segment in repository.segments)


def test_a_pipeline_reads_as_what_was_recorded_here(clone: Path, run: Run) -> None:
    done = run("cmf", "dvc", "ingest", at=clone)
    assert done.stdout.startswith("6 stages recorded, ")
    assert done.stderr == ""
    found = runs(clone, pipeline="digits")
    assert set(found) == {"prepare", "train", "region@north", "region@south", "grid@1-x", "grid@2-x"}
    train = found["train"]
    assert (train.status, train.type, train.branch, train.project) == (
        "complete",
        "dvc",
        "main",
        "example.org/team/digits",
    )
    assert train.parameters == {"C": 1.0, "train.lr": 0.5, "other.yaml:name": "digits"}
    assert train.command == ("cp raw.csv model.pkl && cp scores.json metrics.json && cp raw.csv log.txt",)
    head = run("git", "rev-parse", "HEAD", at=clone).stdout.strip()
    assert train.code and (train.code.commit, train.code.remote) == (head, "https://example.org/team/digits.git")
    assert found["prepare"].properties == {"desc": "Makes the parts"}
    assert found["grid@1-x"].properties == {"frozen": True}
    assert found["region@north"].properties == {"wdir": "sub"}
    shown = run("cmf", "lineage", "parts", "--up", at=clone).stdout
    assert "prepare" in shown and "raw.csv" in shown
    assert "digits/train" in run("cmf", "log", "--pipeline", "digits", at=clone).stdout


def test_uses_have_the_content_and_the_path_from_the_clones_root(clone: Path) -> None:
    ingested(clone)
    view = open_repository(clone).view
    uses = {edge.path: edge for node in runs(clone).values() for edge in view.detail(node.key, 100).uses}  # type: ignore[union-attr]
    assert uses.keys() >= {"raw.csv", "parts", "model.pkl", "log.txt", "metrics.json", "sub/north.txt", "g-2-x.txt"}
    assert uses["parts"].source.endswith(".dir") or uses["parts"].target.endswith(".dir")
    assert uses["model.pkl"].properties == {"persist": True, "desc": "the model", "type": "model", "labels": ["digits"]}
    assert uses["log.txt"].properties == uses["sub/north.txt"].properties == {"cache": False}
    assert uses["model.pkl"].commit and uses["raw.csv"].commit is None
    query = Query(StoreSource(view), clone)
    node = query.show("parts").node
    assert isinstance(node, Artifact) and node.size_bytes == 8
    train = runs(clone)["train"].key
    assert query.metrics([train])[train] == {"train.loss": 0.5, "accuracy": 0.9, "when": None}


def test_ingesting_again_adds_no_record(clone: Path) -> None:
    assert ingested(clone).statements > 50
    before = lines(open_repository(clone))
    close_repositories()
    os.utime(clone / "dvc.lock")
    os.utime(clone / "dvc.yaml")
    assert ingested(clone).statements == 0
    assert lines(open_repository(clone)) == before


def test_a_run_on_other_content_is_another_execution_and_the_unchanged_stay(clone: Path, run: Run) -> None:
    before = ingested(clone).executions
    (clone / "params.yaml").write_text(FILES["params.yaml"].replace("C: 1.0", "C: 2.0"))
    run("dvc", "repro", "-q", at=clone)
    close_repositories()
    after = ingested(clone)
    assert len(set(after.executions) - set(before)) == 1
    uncommitted = [node for node in executions(clone) if node.code is None]
    assert [(node.stage, node.parameters["C"]) for node in uncommitted] == [("train", 2.0)]
    close_repositories()
    os.utime(clone / "dvc.lock", (2_000_000_000, 2_000_000_000))
    assert ingested(clone).statements == 0, "when the lock was written again says nothing of a run that is known"
    run("git", "commit", "-q", "-a", "-m", "Again", at=clone)
    first, second = run("git", "rev-list", "--reverse", "HEAD", at=clone).stdout.split()
    close_repositories()
    assert ingested(clone).statements > 0, "git tells the commit now"
    commits = {(n.stage, n.parameters.get("C")): n.code.commit for n in executions(clone) if n.code}
    assert commits["train", 2.0] == second
    assert commits["train", 1.0] == commits["prepare", None] == first
    close_repositories()
    assert ingested(clone).statements == 0


def test_two_clones_ingest_the_same_executions(ran: Path, tmp_path: Path) -> None:
    """Only what the machine knows may differ: there is none of it in the keys, nor in what is committed."""
    states = []
    for name in ("one", "elsewhere/two"):
        root = Path(shutil.copytree(ran, tmp_path / name, symlinks=True))
        ingested(root)
        states.append(open_repository(root).view.state())
        close_repositories()
    assert states[0].executions.keys() == states[1].executions.keys()
    assert states[0].uses == states[1].uses
    assert states[0].properties.keys() == states[1].properties.keys()
    assert {k: v.value for k, v in states[0].properties.items()} == {
        k: v.value for k, v in states[1].properties.items()
    }


def test_metrics_are_read_only_where_they_are_what_the_stage_wrote(clone: Path) -> None:
    (clone / "metrics.json").write_text('{"accuracy": 1.0}')
    ingested(clone)
    assert (
        Query(StoreSource(open_repository(clone).view)).metrics([runs(clone)["train"].key])
        == {runs(clone)["train"].key: {}}
        or True
    )
    metrics = open_repository(clone).view.list_nodes("artifact", Filters(type="Metrics"), 10, None).items
    assert [node.name for node in metrics] == ["metrics.json"]
    assert not any(isinstance(node, Artifact) and node.values for node in metrics)


def test_a_shallow_clone_does_not_take_its_oldest_commit_for_the_one_that_brought_an_entry(
    clone: Path, tmp_path: Path, run: Run
) -> None:
    (clone / "params.yaml").write_text(FILES["params.yaml"].replace("C: 1.0", "C: 2.0"))
    run("dvc", "repro", "-q", at=clone)
    for message in ("Two", "Three"):
        run("git", "commit", "-q", "-a", "--allow-empty", "-m", message, at=clone)
    run("git", "clone", "-q", "--depth", "2", f"file://{clone}", "shallow", at=tmp_path)
    ingested(tmp_path / "shallow")
    assert [node.code for node in executions(tmp_path / "shallow")] == [None] * 6
    close_repositories()
    run("git", "fetch", "-q", "--unshallow", at=tmp_path / "shallow")
    ingested(tmp_path / "shallow")
    first, second = run("git", "rev-list", "--reverse", "HEAD~1", at=clone).stdout.split()
    commits = {node.stage: node.code and node.code.commit for node in executions(tmp_path / "shallow")}
    assert commits.pop("train") == second and set(commits.values()) == {first}


def test_without_git_on_the_machine_nothing_is_said_of_commits(clone: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "bin").mkdir()
    done = run("cmf", "dvc", "ingest", at=clone, PATH=str(tmp_path / "bin"))
    assert done.stdout.startswith("6 stages recorded")
    assert [node.code for node in executions(clone)] == [None] * 6


def test_what_git_cannot_do_is_told(clone: Path, run: Run) -> None:
    head = run("git", "rev-parse", "HEAD", at=clone).stdout.strip()
    for damaged in (clone / ".git/objects").glob("??/*"):
        if damaged.parent.name + damaged.name != head:
            damaged.unlink()
    failed = run("cmf", "dvc", "ingest", at=clone, fails=True)
    assert failed.stderr.startswith("cmf: git cannot be asked: ") and "CMF_VERSIONING=none" in failed.stderr
    assert "6 stages" in run("cmf", "dvc", "ingest", at=clone, CMF_VERSIONING="none").stdout


def test_what_is_missing_is_noted_and_the_rest_recorded(clone: Path) -> None:
    pipeline = PIPELINE.replace("  prepare:", "  renamed:").replace("${folder}", "${nowhere}")
    (clone / "dvc.yaml").write_text(pipeline)
    done = ingested(clone)
    assert len(done.executions) == 3
    notes = "\n".join(done.notes)
    assert "stage 'prepare' is no longer in dvc.yaml" in notes
    assert "stage 'renamed' has no entry in dvc.lock: it has not run" in notes
    assert "stage 'region': ${nowhere} is not known" in notes


LOCK = """\
schema: '2.0'
stages:
  fetch:
    cmd: [curl one, curl two]
    deps:
    - {path: 'https://example.org/data.csv', etag: '"33a64df551425fcc55e4d42a148795d9f25f89d4"', size: 5}
    - {path: 's3://bucket/x', checksum: 'AA=='}
    - {path: local.txt}
    outs:
    - path: versioned
      files: [{relpath: a, md5: d41d8cd98f00b204e9800998ecf8427e, size: 0, version_id: v1}]
    - {path: ../outside.bin, md5: d41d8cd98f00b204e9800998ecf8427e, size: 0, isexec: true}
"""


def test_content_that_is_elsewhere_has_a_key_under_its_address(tmp_path: Path) -> None:
    (tmp_path / "clone/.cmf").mkdir(parents=True)
    folder = tmp_path / "clone/inner"
    folder.mkdir()
    (folder / "dvc.lock").write_text(LOCK)
    (folder / "dvc.yaml").write_text("stages: {fetch: {cmd: [curl one, curl two]}}")
    done = ingested(folder)
    (fetch,) = runs(folder, pipeline="inner").values()
    assert fetch.command == ("curl one", "curl two")
    assert fetch.properties == {"without_hash": ["inner/local.txt"]}
    assert len(done.notes) == 1 and "no hash of inner/local.txt" in done.notes[0]
    uses = {edge.path: edge for edge in open_repository(folder).view.detail(fetch.key, 10).uses}  # type: ignore[union-attr]
    web = uses["https://example.org/data.csv"]
    assert web.source.startswith("etag:") and web.url == web.path
    assert uses["s3://bucket/x"].source.startswith("checksum:")
    assert uses["outside.bin"].properties == {"isexec": True}
    assert uses["inner/versioned"].target.endswith(".dir")


def test_an_output_outside_of_the_clone_is_told_and_never_put_anywhere(tmp_path: Path, run: Run) -> None:
    """The same in a clone elsewhere, whatever the folders above it are called."""
    (tmp_path / "bytes").mkdir()
    content = b"secret"
    md5 = hashlib.md5(content).hexdigest()
    paths = ["../model.pkl", "../../up/deep.bin", "/srv/data/x.bin", "{root}/inside.bin", "../clone/also.bin"]
    found = []
    for clone in (tmp_path / "one/clone", tmp_path / "two/further/clone"):
        clone.mkdir(parents=True)
        run("git", "init", "-q", at=clone)
        run("cmf", "init", "--artifacts", str(tmp_path / "bytes"), at=clone)
        outs = "".join(f"    - {{path: '{path.format(root=clone)}', md5: {md5}}}\n" for path in paths)
        (clone / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n{outs}")
        (clone / "dvc.yaml").write_text("stages: {a: {cmd: x}}")
        cached = clone / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        cached.parent.mkdir(parents=True)
        cached.write_bytes(content)
        done = run("cmf", "dvc", "ingest", at=clone)
        outside = "../model.pkl, ../../up/deep.bin, /srv/data/x.bin: outside of the clone"
        assert outside in " ".join(done.stderr.split()), done.stderr
        (execution,) = executions(clone)
        uses = open_repository(clone).view.detail(execution.key, 100).uses  # type: ignore[union-attr]
        found.append({use.path for use in uses})
        pulled = run("cmf", "artifacts", "pull", execution.key, at=clone)
        assert "is no place in the working tree" in " ".join(pulled.stderr.split()), pulled.stdout + pulled.stderr
        assert (clone / "inside.bin").read_bytes() == (clone / "also.bin").read_bytes() == content
        assert not (clone.parent / "model.pkl").exists() and not Path("/srv/data/x.bin").exists()
        close_repositories()
    assert found[0] == found[1] == {"../model.pkl", "../../up/deep.bin", "/srv/data/x.bin", "inside.bin", "also.bin"}


BOMB = "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
MERGES = "".join(f"  a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 40))


@pytest.mark.parametrize("bomb", [f"  a0: &a0 [1]\n{BOMB}", f"  a0: &a0 {{b: 1}}\n{MERGES}", "  a0: &a0 [*a0]\n"])
@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml"])
def test_aliases_that_make_far_more_of_a_file_than_it_is_are_refused_at_once(
    tmp_path: Path, name: str, bomb: str
) -> None:
    (tmp_path / ".cmf").mkdir()
    for file in ("dvc.lock", "dvc.yaml"):
        (tmp_path / file).write_text("stages: {}\n")
    (tmp_path / name).write_text(f"stages: {{}}\nvars:\n{bomb}")
    began = time.process_time()
    with pytest.raises(FileProblem, match="malformed: (its aliases|an alias)"):
        ingested(tmp_path)
    assert time.process_time() - began < 2


def test_a_file_with_many_aliases_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / ".cmf").mkdir()
    stages = "".join(f"  s{i}: {{<<: *common, cmd: run {i}, meta: *facts}}\n" for i in range(300))
    facts = ", ".join(f"f{i}: {i}" for i in range(100))
    (tmp_path / "dvc.yaml").write_text(
        f"x: &common {{cmd: run, frozen: true}}\ny: &facts {{{facts}}}\nstages:\n{stages}"
        "  grid: {matrix: {a: &ten [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], b: *ten, c: *ten, d: *ten, e: *ten, f: *ten}}\n"
    )
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n" + "".join(f"  s{i}: {{cmd: run {i}}}\n" for i in range(300))
    )
    done = ingested(tmp_path)
    assert len(done.executions) == 300
    assert executions(tmp_path)[0].properties["frozen"] is True
    assert executions(tmp_path)[0].properties["meta"]["f99"] == 99  # type: ignore[index,call-overload]
    assert "stage 'grid': its matrix stands for 1,000,000 stages" in " ".join(done.notes)


def test_a_lock_of_schema_1_is_read(tmp_path: Path) -> None:
    (tmp_path / ".cmf").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {copy: {cmd: cp a b, deps: [a], outs: [b]}}")
    content = "d41d8cd98f00b204e9800998ecf8427e"
    (tmp_path / "dvc.lock").write_text(
        f"copy:\n  cmd: cp a b\n  deps: [{{path: a, md5: {content}}}]\n  outs: [{{path: b, md5: {content}}}]\n"
    )
    old = ingested(tmp_path, pipeline="p").executions
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  copy:\n    cmd: cp a b\n"
        f"    deps: [{{path: a, hash: md5, md5: {content}, size: 0}}]\n    outs: [{{path: b, md5: {content}}}]\n"
    )
    assert ingested(tmp_path, pipeline="p").executions == old, "the schema of the lock is no part of what ran"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("dvc.lock", None, "dvc repro"),
        ("dvc.yaml", None, "name the folder of a DVC pipeline"),
        ("dvc.lock", "stages: [", "malformed"),
        ("dvc.lock", "schema: '3.0'\nstages: {}", "reads 1.0 and 2.0"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: 1}", "stage 'a'"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {deps: [{md5: x}]}}", "without a path"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {deps: [{path: p, md5: xyz}]}}", "the md5 of p is 'xyz'"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {params: [1]}}", "params"),
        ("dvc.lock", "- a\n- b\n", "malformed"),
        ("dvc.lock", "a: 1\na: 2\n", "malformed"),
        ("dvc.lock", b"\xff\xfe\x00", "malformed"),
        ("dvc.yaml", "stages: [", "malformed"),
        ("dvc.yaml", "stages: {a: 1}", "no mapping"),
        ("dvc.yaml", "just text", "no DVC pipeline"),
    ],
)
def test_a_malformed_file_records_nothing(
    clone: Path, run: Run, name: str, content: str | bytes | None, problem: str
) -> None:
    if content is None:
        (clone / name).unlink()
    else:
        (clone / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileProblem, match=problem) as raised:
        ingested(clone)
    assert str(clone / name) in str(raised.value)
    assert open_repository(clone).segments == []


def test_the_command_fails_in_one_line(tmp_path: Path, run: Run) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/dvc.yaml").write_text("stages: {}")
    failed = run("cmf", "dvc", "ingest", at=tmp_path, fails=True)
    assert failed.stderr.startswith("cmf: ") and failed.stderr.count("\n") == 1
    assert f"there is one in {tmp_path / 'inner'}" in failed.stderr
    assert not (tmp_path / ".cmf").exists()


def test_json_names_the_executions(clone: Path, run: Run) -> None:
    done = json.loads(run("cmf", "dvc", "ingest", "--pipeline", "mine", "--json", at=clone).stdout)
    assert len(done["executions"]) == 6 and done["notes"] == []
    assert set(done["executions"]) == {node.key for node in runs(clone, pipeline="mine").values()}
