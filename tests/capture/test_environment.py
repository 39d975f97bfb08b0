"""The environment: the same bytes for the same environment, nothing of a user or a machine, and next to no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from work_tree import WorkTree

import cmf
from cmf.core.identity import md5_of
from cmf.core.model import Artifact, Execution
from cmf.core.operations import PutArtifact, PutExecution, PutUse, SetProperty
from cmf.core.store import Store
from cmf.pictures import without
from cmf.recording import close_repositories, open_repository
from cmf.repository import Repository
from cmf.versioning.distributions import installed
from cmf.versioning.environment import EnvironmentWarning, environment
from cmf.versioning.git_refs import branch_name

PATH = "cmf_artifacts/environment.json"


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_ENVIRONMENT", "on")


def recorded(clone: Path) -> list[object]:
    """The operations in the journal, in order."""
    from cmf.journal import START, read

    repository = open_repository(clone)
    lines = [line for segment in repository.segments for line, _ in read(segment.path, START)]
    return [record["op"]["is"] for record in map(json.loads, lines) if "op" in record]


def test_each_execution_has_its_environment_as_an_input_and_equal_ones_are_one(clone: Path) -> None:
    keys = set()
    for _ in range(3):
        with cmf.run("digits", "train") as run:
            pass
        (edge,) = cmf.query().show(run.key).uses
        assert (edge.kind, edge.path) == ("input", PATH)
        keys.add(edge.source)
    (key,) = keys
    node = cmf.query().show(PATH).node
    assert isinstance(node, Artifact)
    assert (node.key, node.types, node.name) == (key, ("Environment",), "environment.json")
    kept = open_repository(clone).cache.path(key.removeprefix("md5:")).read_bytes()
    assert f"md5:{md5_of(kept)}" == key
    assert node.properties["python"] == f"{sys.implementation.name} {sys.version.split()[0]}"
    assert node.properties["distributions"] == json.loads(kept)["distributions"]
    assert node.properties["distribution_count"] == len(json.loads(kept)["distributions"]) > 50


def test_what_is_known_of_it_is_told_once_and_with_the_start(clone: Path) -> None:
    for _ in range(2):
        with cmf.run("digits", "train"):
            pass
    close_repositories()
    with cmf.run("digits", "train"):
        pass
    told, use = [SetProperty.__name__], [PutUse.__name__]
    start, put, end = [PutExecution.__name__], [PutArtifact.__name__], ["EndExecution"]
    properties = len(cmf.query().show(PATH).node.properties)
    assert recorded(clone) == [*start, *put, *use, *told * properties, *end, *(start + put + use + end) * 2]


def test_it_is_the_same_in_every_process_and_tells_no_user_and_no_machine(tmp_path: Path) -> None:
    code = "from cmf.versioning.environment import environment; print(environment().text.decode())"
    texts = set()
    for number, shell in enumerate(["/bin/sh", "/bin/bash"]):
        variables = {"HOME": str(tmp_path / str(number)), "SHELL": shell, "USER": f"user{number}", "PATH": "/usr/bin"}
        (tmp_path / str(number)).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path / str(number),
            env=variables,
            capture_output=True,
            text=True,
            check=True,
        )
        texts.add(done.stdout)
    (text,) = texts
    for private in (os.uname().nodename, os.uname().release, os.path.expanduser("~"), sys.prefix, str(tmp_path)):
        assert private not in text


def test_the_distributions_are_those_that_importlib_finds() -> None:
    theirs: dict[str, str] = {}
    for found in metadata.distributions():
        theirs.setdefault(found.metadata["Name"].lower().replace("_", "-").replace(".", "-"), found.version)
    ours = {
        name: told if isinstance(told, str) else told["version"]  # type: ignore[index,call-overload]
        for name, told in environment().properties["distributions"].items()  # type: ignore[union-attr]
    }
    assert ours == theirs


def test_distributions_of_every_make_are_found_and_leftovers_are_not(tmp_path: Path) -> None:
    def make(info: str, name: str, version: str, url: object = None, file: str = "METADATA") -> None:
        folder = tmp_path / "site" / info
        folder.mkdir(parents=True)
        (folder / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not me\n")
        if url is not None:
            (folder / "direct_url.json").write_text(url if isinstance(url, str) else json.dumps(url))

    make("Plain_Name-1.0.dist-info", "Plain.Name", "1.0")
    make("old-style-2.0.dist-info", "old-style", "2.0")
    make("under-1_0.dist-info", "under", "1-0")
    make("egg-3.0-py3.11.egg-info", "egg", "3.0", file="PKG-INFO")
    make("hatched-3.1-py3.11.egg/EGG-INFO", "hatched", "3.1", file="PKG-INFO")
    make("~ip-24.0.dist-info", "pip", "24.0", file="RECORD")
    make("gone-1.0.dist-info", "gone", "1.0", file="RECORD")
    make("edited-1.0.dist-info", "edited", "1.0", {"url": "file:///home/me/x", "dir_info": {"editable": True}})
    make("built-1.0.dist-info", "built", "1.0", {"url": "file:///home/me/x", "dir_info": {}})
    vcs = {"url": "https://me:secret@example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    make("cloned-1.0.dist-info", "cloned", "1.0", vcs)
    archive = {"url": "file:///home/me/x.whl", "archive_info": {"hash": "sha256=12", "hashes": {"sha256": "12"}}}
    make("packed-1.0.dist-info", "packed", "1.0", archive)
    make("damaged-1.0.dist-info", "damaged", "1.0", "{no json")
    (tmp_path / "site" / "single-5.0.egg-info").write_text("Name: single\nVersion: 5.0\n")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as file:
        file.writestr("zipped-6.0.dist-info/METADATA", "Name: zipped\nVersion: 6.0\n")
    (tmp_path / "later" / "plain_name-9.dist-info").mkdir(parents=True)
    (tmp_path / "later" / "plain_name-9.dist-info" / "METADATA").write_text("Name: plain-name\nVersion: 9\n")
    path = [str(tmp_path / name) for name in ("site", "packed.zip", "missing", "later")]
    assert installed(path) == {
        "plain-name": "1.0",
        "old-style": "2.0",
        "under": "1-0",
        "egg": "3.0",
        "hatched": "3.1",
        "single": "5.0",
        "zipped": "6.0",
        "damaged": "1.0",
        "edited": {"version": "1.0", "origin": "editable"},
        "built": {"version": "1.0", "origin": "folder"},
        "cloned": {"version": "1.0", "origin": "git", "commit": "abc", "url": "https://example.org/x.git"},
        "packed": {"version": "1.0", "origin": "archive", "sha256": "12"},
    }


def test_what_is_installed_while_the_program_runs_is_seen_by_its_next_run(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    keys = []
    for name in ("one-1.0", None, "two-2.0"):
        if name:
            (site / f"{name}.dist-info").mkdir()
            (site / f"{name}.dist-info" / "METADATA").write_text("Name: x\nVersion: 1\n")
        with cmf.run("digits", "train") as run:
            pass
        keys.append(cmf.query().show(run.key).uses[0].source)
    assert keys[0] == keys[1] != keys[2]


def test_conda_and_containers_are_told_by_what_identifies_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conda-meta").mkdir()
    for name in ("cuda-toolkit-12.4.1-h6a678d5_0.json", "python-3.11.9-h955ad1f_0.json", "history"):
        (tmp_path / "conda-meta" / name).write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "vision")
    monkeypatch.setenv("APPTAINER_CONTAINER", "/home/me/images/train.sif")
    told = json.loads(environment().text)
    assert told["python"]["prefix"] == "conda"
    assert told["conda"]["name"] == "vision"
    assert told["conda"]["packages"] == {"cuda-toolkit": "12.4.1=h6a678d5_0", "python": "3.11.9=h955ad1f_0"}
    assert told["container"]["image"] == "train.sif"
    (tmp_path / "conda-meta" / "x-1-0.json").write_text("{}")
    monkeypatch.setenv("CONDA_DEFAULT_ENV", str(tmp_path))
    assert "name" not in json.loads(environment().text)["conda"]


def test_every_store_holds_it_with_its_properties(clone: Path, store: Store) -> None:
    with cmf.run("digits", "train") as run:
        pass
    state = open_repository(clone).view.state()
    store.write(lambda transaction: transaction.merge(state))
    assert store.state() == state
    (node,) = store.nodes([cmf.query().show(run.key).uses[0].source])
    assert node.properties["distributions"] == environment().properties["distributions"]


def test_switched_off_it_is_neither_looked_for_nor_recorded(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_ENVIRONMENT", "off")
    with cmf.run("digits", "train") as run:
        pass
    assert cmf.query().show(run.key).uses == ()


def test_a_run_goes_on_without_it_where_it_cannot_be_kept(clone: Path) -> None:
    Repository.create(clone).close()
    (clone / ".cmf" / "cache").write_text("no folder")
    with pytest.warns(EnvironmentWarning, match="cannot be written"), cmf.run("digits", "train") as run:
        pass
    assert cmf.query().show(run.key).uses == ()


def test_the_commits_of_an_execution_have_it_so_that_dvc_knows_it(
    tree: WorkTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMF_ENVIRONMENT", "on")
    (tree.folder / "data.csv").write_text("1,2\n")
    with cmf.run("digits", "train") as run:
        run.input("data.csv")
    with cmf.run("digits", "nothing else") as bare:
        pass
    for key, stage in ((run.key, "train"), (bare.key, "nothing else")):
        branch = "cmf/" + branch_name("digits", stage, key)
        pointer = tree.git("show", f"{branch}:{PATH}.dvc")
        (md5,) = (line.split()[-1] for line in pointer.splitlines() if "md5: " in line)
        assert (tree.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).is_file()
        ours = tree.git("rev-list", "--count", "--grep", f"^digits/{stage}: ", f"main..{branch}")
        assert ours == "1", "it needs no commit of its own beside others"
        node = cmf.query().show(key).node
        assert isinstance(node, Execution) and node.end_commit == tree.git("rev-parse", branch)
    assert not (tree.folder / "cmf_artifacts").exists()


def test_pictures_leave_it_out_unless_asked_and_the_answer_has_it(clone: Path) -> None:
    for name in ("raw.csv", "model.pkl"):
        (clone / name).write_text(name)
    with cmf.run("digits", "train") as run:
        raw = run.input("raw.csv")
        model = run.output("model.pkl", type="Model")
    answer = cmf.query().lineage("model.pkl", "upstream")
    (environment_,) = {node.key for node in answer.nodes} - {run.key, raw.key, model.key}
    shown = without(answer, "Environment")
    assert {node.key for node in shown.nodes} == {run.key, raw.key, model.key}
    assert {edge.source for edge in shown.edges} == {run.key, raw.key}
    touched = without(cmf.query().lineage(environment_, "downstream"), "Environment")
    assert {node.key for node in touched.nodes} == {environment_, run.key, model.key}, "what was asked for stays"

    def cli(*arguments: str) -> str:
        command = [sys.executable, "-m", "cmf.cli", "lineage", "model.pkl", "--up", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "environment.json" not in cli() + cli("--format", "svg")
    assert "environment.json" in cli("--environment")
    assert "environment.json" in cli("--json")
