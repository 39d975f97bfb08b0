"""Pulling bytes: nothing outside the tree, nothing damaged, nothing of the user's lost; what cannot be had is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_store import HttpStore
from sites import Run

from cmf import artifacts
from cmf.artifacts.places import Wanted, everything, named
from cmf.core.errors import DataRemoteProblem, SettingsProblem
from cmf.core.identity import md5_of
from cmf.core.operations import PutArtifact, PutUse
from cmf.repository import Repository
from cmf.versioning.dvc_setup import set_default_remote, set_up

EXECUTION = "execution:" + "e" * 32


class Here:
    """A clone without git beside a folder that is its remote, and what others say was recorded."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.share = folder / "share"
        self.root.mkdir()
        set_up(self.root, in_git=False)
        set_default_remote(self.root, str(self.share), folder)
        self.repository = Repository.create(self.root)

    def share_object(self, content: bytes, suffix: str = "", name: str | None = None) -> str:
        """Put an object on the remote, under its own md5 or a wrong name; → the key of it."""
        md5 = name or md5_of(content) + suffix
        place = self.share / "files/md5" / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return f"md5:{md5}"

    def share_folder(self, files: dict[str, bytes]) -> str:
        listed = [{"md5": self.share_object(data).partition(":")[2], "relpath": path} for path, data in files.items()]
        return self.share_object(json.dumps(listed).encode(), ".dir")

    def told(self, key: str, path: str, sha256: str | None = None) -> str:
        put = PutArtifact(key=key, name="told", types=("Dataset",), sha256=sha256)
        self.repository.record([put, PutUse(execution=EXECUTION, artifact=key, direction="output", path=path)])
        return key

    def pull(self, key: str, *, force: bool = False) -> artifacts.Pulled:
        return artifacts.pull(self.repository, named(self.repository.view, key, None), force=force, jobs=2)

    def tree(self) -> dict[str, bytes]:
        own = (".cmf", ".dvc", ".dvcignore")
        found = (path for path in self.root.rglob("*") if path.is_file() or path.is_symlink())
        shown = {path.relative_to(self.root): path for path in found}
        return {str(name): path.read_bytes() for name, path in shown.items() if name.parts[0] not in own}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    made.repository.close()


def everywhere(folder: Path) -> set[str]:
    """All files, but for what belongs to the clone's and the remote's own machinery."""
    mine = ("clone/.cmf/", "clone/.dvc/cache", "share/")
    return {name for path in folder.rglob("*") if not (name := str(path.relative_to(folder))).startswith(mine)}


@pytest.mark.parametrize(
    "path",
    ["../evil", "a/../../evil", "./evil", "a//evil", "/{outside}/evil", "/etc/cmf-evil", ".git/hooks/post-checkout",
     "a/.GIT/config", ".cmf/config.toml", ".dvc/config", "line\nbreak", "escape\x1b[2J", "a/", ".."],
)  # fmt: skip
def test_nothing_is_written_where_it_must_not_be_and_the_name_is_told(here: Here, tmp_path: Path, path: str) -> None:
    key = here.told(here.share_object(b"evil"), path.replace("{outside}", str(tmp_path)[1:]))
    before = everywhere(tmp_path), (here.root / ".dvc/config").read_bytes()
    pulled = here.pull(key)
    assert (everywhere(tmp_path), (here.root / ".dvc/config").read_bytes()) == before
    assert pulled.placed == () and len(pulled.problems) == 1
    assert not Path("/etc/cmf-evil").exists()
    assert not (here.root / ".cmf/config.toml").exists()
    many = artifacts.pull(here.repository, everything(here.repository.view))
    assert (many.problems, len(many.elsewhere)) == ((), 1), (
        "where it was not asked for by name, it is told and no failure"
    )


@pytest.mark.parametrize(
    "path", ['it\'s "quoted"', "-rf", "$(reboot)", "a b/ü/\N{SNOWMAN}", "x" * 255, "[1]*?", "%s%n{}"]
)
def test_odd_names_are_names(here: Here, path: str) -> None:
    pulled = here.pull(here.told(here.share_object(b"odd"), path))
    assert pulled.problems == () and here.tree() == {path: b"odd"}


def test_a_link_in_the_tree_is_not_followed_out_of_it(here: Here, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("theirs")
    (here.root / "data").symlink_to(tmp_path / "outside")
    (here.root / "file").symlink_to(tmp_path / "outside/file")
    for path in ("data/evil", "data/deep/evil"):
        (problem,) = here.pull(here.told(here.share_object(path.encode()), path)).problems
        assert "'data'" in problem[1]
    key = here.told(here.share_object(b"new"), "file")
    assert "symbolic link" in here.pull(key).problems[0][1]
    assert here.pull(key, force=True).placed == ("file",)
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside/file").read_text() == "theirs"
    assert not (here.root / "file").is_symlink() and (here.root / "file").read_text() == "new"


@pytest.mark.parametrize(
    "names",
    [["../evil"], ["/etc/evil"], ["ok", "a/../../evil"], [".git/config"], ["a\nb"], ["a", "a/b"], ["a", "a"], [""]],
)
def test_a_manifest_that_leads_out_of_its_folder_is_not_even_kept(here: Here, tmp_path: Path, names: list[str]) -> None:
    md5 = here.share_object(b"evil").partition(":")[2]
    manifest = json.dumps([{"md5": md5, "relpath": name} for name in names]).encode()
    key = here.told(here.share_object(manifest, ".dir"), "data")
    before = everywhere(tmp_path)
    (problem,) = here.pull(key).problems
    assert problem[0] == "data" and (repr(names[-1])[1:-1] in problem[1] or "could lead out" in problem[1])
    assert everywhere(tmp_path) == before
    assert not here.repository.cache.has(key.partition(":")[2])


@pytest.mark.parametrize("text", [b"", b"{}", b'[{"relpath": "a"}]', b'[{"md5": "../../x", "relpath": "a"}]', b"\xff"])
def test_what_is_no_manifest_is_refused(here: Here, text: bytes) -> None:
    (problem,) = here.pull(here.told(here.share_object(text, ".dir"), "data")).problems
    assert "no manifest" in problem[1] and here.tree() == {}


def test_what_arrives_damaged_is_not_kept_and_the_rest_comes(here: Here) -> None:
    damaged = here.told(here.share_object(b"half", name=md5_of(b"whole")), "damaged")
    missing = here.told(f"md5:{md5_of(b'gone')}", "missing")
    other = here.told(here.share_object(b"other"), "told", hashlib.sha256(b"what was recorded").hexdigest())
    here.told(here.share_object(b"good"), "good", hashlib.sha256(b"good").hexdigest())
    folder = here.share_folder({"a": b"a", "b/c": b"c"})
    here.told(folder, "folder")
    shutil.rmtree(here.share / "files/md5" / md5_of(b"c")[:2])
    pulled = artifacts.pull(here.repository, everything(here.repository.view))
    problems = dict(pulled.problems)
    assert set(problems) == {"damaged", "missing", "told", "folder"}
    assert "arrived damaged" in problems["damaged"] and "another sha256" in problems["told"]
    assert f"no object {md5_of(b'gone')}" in problems["missing"] and md5_of(b"c") in problems["folder"]
    assert here.tree() == {"good": b"good"}
    assert not any(here.repository.cache.has(key.partition(":")[2]) for key in (damaged, missing, other))


def test_a_folders_files_must_have_the_sha256_that_was_recorded(here: Here) -> None:
    key = here.told(here.share_folder({"a": b"a"}), "data", "0" * 64)
    (problem,) = here.pull(key).problems
    assert "another sha256" in problem[1] and here.tree() == {}


def test_what_was_changed_here_and_is_kept_nowhere_is_not_overwritten(here: Here) -> None:
    key = here.told(here.share_object(b"recorded"), "model.pkl")
    (here.root / "model.pkl").write_text("days of work")
    assert "--force" in here.pull(key).problems[0][1]
    assert here.tree() == {"model.pkl": b"days of work"}
    here.repository.data.add(here.root / "model.pkl")  # now the cache has it
    assert here.pull(key).placed == ("model.pkl",)
    assert here.tree()["model.pkl"] == b"recorded"
    (here.root / "model.pkl").write_text("scratch")
    assert here.pull(key, force=True).placed == ("model.pkl",)
    (here.root / "model.pkl").unlink()
    (here.root / "model.pkl").mkdir()
    assert "is a folder" in here.pull(key, force=True).problems[0][1], "a whole folder is lost for no --force"


def test_a_folder_becomes_what_was_recorded_and_loses_nothing_that_is_kept_nowhere(here: Here) -> None:
    key = here.told(here.share_folder({"a": b"a", "b/c": b"c"}), "data")
    assert here.pull(key).placed == ("data",)
    assert here.tree() == {"data/a": b"a", "data/b/c": b"c"}
    assert here.pull(key).unchanged == ("data",)
    (here.root / "data/new").write_text("mine")
    (here.root / "data/a").unlink()
    assert "data/new" in here.pull(key).problems[0][1]
    assert set(here.tree()) == {"data/new", "data/b/c"}
    assert here.pull(key, force=True).placed == ("data",)
    assert here.tree() == {"data/a": b"a", "data/b/c": b"c"}
    shutil.rmtree(here.root / "data")
    (here.root / "data").write_text("a file")
    assert "in the way of a folder" in here.pull(key, force=True).problems[0][1]


def test_of_several_contents_of_one_path_the_last_is_put_there(here: Here) -> None:
    keys = [here.told(here.share_object(content), "model.pkl") for content in (b"old", b"new")]
    pulled = artifacts.pull(here.repository, everything(here.repository.view))
    assert pulled.placed == ("model.pkl",) and here.tree() == {"model.pkl": b"new"}
    assert all(here.repository.cache.has(key.partition(":")[2]) for key in keys)
    assert here.pull(keys[0]).placed == ("model.pkl",) and here.tree() == {"model.pkl": b"old"}


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "copy"])
def test_files_are_linked_as_dvcs_settings_say(here: Here, kind: str) -> None:
    with (here.root / ".dvc/config").open("a") as config:
        config.write(f"[cache]\n    type = {kind}\n")
    here.repository.close()
    here.repository = Repository.find(here.root)
    key = here.told(here.share_object(b"content"), "a/file")
    assert here.pull(key).placed == ("a/file",)
    place, file = here.repository.cache.path(key.partition(":")[2]), here.root / "a/file"
    assert file.read_bytes() == b"content"
    assert (file.is_symlink(), file.samefile(place)) == (kind == "symlink", kind != "copy")
    assert here.pull(key).unchanged == ("a/file",)


def test_a_remote_that_is_not_there_is_named(here: Here) -> None:
    key = here.told(f"md5:{md5_of(b'x')}", "x")
    with pytest.raises(DataRemoteProblem, match=r"no such folder; is something not mounted\?"):
        here.pull(key)
    config = here.root / ".dvc/config"
    config.write_text("['remote \"s3\"']\n    url = s3://bucket/x\n")
    with pytest.raises(SettingsProblem, match=r"no default remote; it has s3 \(say -r NAME\)"):
        here.pull(key)
    wanted = named(here.repository.view, key, None)
    with pytest.raises(SettingsProblem, match="no remote 'other'; it has s3"):
        artifacts.pull(here.repository, wanted, "other")
    with pytest.raises(DataRemoteProblem, match="requires 'dvc-s3' to be installed"):
        artifacts.pull(here.repository, wanted, "s3")


def test_without_dvc_the_error_says_how_to_set_it_up(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path)
    with pytest.raises(SettingsProblem, match="cmf init --artifacts URL"):
        artifacts.pull(repository, [Wanted("md5:" + "0" * 32, "x", "x")])
    with pytest.raises(SettingsProblem, match="cmf init --artifacts URL"):
        artifacts.push(repository)
    repository.close()


def test_killed_half_way_nothing_half_has_a_name_and_the_next_pull_goes_on(
    here: Here, tmp_path: Path, environment: dict[str, str], run: Run
) -> None:
    content = os.urandom(1 << 20)
    with HttpStore(tmp_path / "share", pause=30) as slow:
        (here.root / ".dvc/config").write_text(f"['remote \"web\"']\n    url = {slow.url}\n[core]\n    no_scm = True\n")
        key = here.told(here.share_object(content), "big")
        command = [sys.executable, "-m", "cmf.cli", "artifacts", "pull", "big", "-r", "web"]
        with subprocess.Popen(command, cwd=here.root, env=environment) as pulling:
            deadline = time.monotonic() + 60
            scratch = here.root / ".dvc/cache/cmf-scratch"
            while not any(f.stat().st_size for f in scratch.glob("*/*")) and time.monotonic() < deadline:
                time.sleep(0.02)
            pulling.send_signal(signal.SIGKILL)
            pulling.wait(30)
    assert not here.repository.cache.has(key.partition(":")[2]) and here.tree() == {}
    set_default_remote(here.root, str(here.share), tmp_path)
    run("cmf", "artifacts", "pull", "big", at=here.root)
    assert here.tree() == {"big": content}
    assert list(scratch.glob("*")) == [], "the next process removes what a killed one left"
