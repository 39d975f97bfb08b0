"""Data: kept in DVC's cache under the keys that DVC computes, with the .dvc files that DVC would write."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from work_tree import WorkTree

import cmf
from cmf.core.errors import FileProblem, InvalidValue, JournalUnwritable
from cmf.core.model import Artifact
from cmf.recording import close_repositories, open_repository
from cmf.versioning.folders import DataWarning

NAMES = ["plain.csv", "we ird: #name.txt", "-dash", "[x]*?.txt", "q'\"é.txt", "tail ", "123", "true", "n" * 240, "ünï"]


def make_data(tree: WorkTree) -> None:
    folder = tree.folder / "data"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a.csv").write_text("1,2\n")
    (folder / "sub" / "b.bin").write_bytes(os.urandom(3 << 20))
    (folder / "sub" / "deep" / "c").write_text("")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("a.csv")
    (folder / "skipped.log").write_text("noise")
    (folder / "sub" / "kept.log").write_text("signal")
    (tree.folder / ".dvcignore").write_text("*.log\n!kept.log\n/other/\n")


def record(*outputs: str) -> list[Artifact]:
    with cmf.run("digits", "train") as run:
        return [run.output(path) for path in outputs]


def test_what_is_written_is_what_dvc_add_writes(tree: WorkTree, tmp_path: Path) -> None:
    theirs = WorkTree(tmp_path / "theirs")
    make_data(tree)
    for name in NAMES:
        (tree.folder / name).write_text(name)
    (tree.folder / "run").write_text("x")
    (tree.folder / "run").chmod(0o755)
    for name in ("data", ".dvcignore", "run", *NAMES):
        copy = shutil.copytree if (tree.folder / name).is_dir() else shutil.copy2
        copy(tree.folder / name, theirs.folder / name, **({"symlinks": True} if copy is shutil.copytree else {}))
    record("data", "run", *NAMES)
    theirs.dvc("add", "-q", "--", "data", "run", *NAMES)
    for name in ("data", "run", *NAMES):
        assert (tree.folder / f"{name}.dvc").read_bytes() == (theirs.folder / f"{name}.dvc").read_bytes()
    ours, other = ((t.folder / ".gitignore").read_text().splitlines() for t in (tree, theirs))
    assert sorted(line.replace("\\ ", " ") for line in ours) == sorted(other)
    assert objects(tree) == objects(theirs)
    assert tree.dvc("status") == "Data and pipelines are up to date."
    assert all(line[3:].endswith((".dvc", '.dvc"', ".gitignore", ".dvcignore")) for line in tree.status()), (
        tree.status()
    )


def objects(tree: WorkTree) -> dict[str, str]:
    root = tree.folder / ".dvc" / "cache" / "files" / "md5"
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_dvc_push_and_pull_bring_identical_bytes_to_another_clone(tree: WorkTree, tmp_path: Path) -> None:
    make_data(tree)
    (tree.folder / "model.pkl").write_bytes(os.urandom(100_000))
    record("data", "model.pkl")
    before = listing(tree.folder / "data")
    tree.dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    tree.dvc("push", "-q")
    tree.git("add", "-A")
    tree.git("commit", "-qm", "recorded")
    other = WorkTree.__new__(WorkTree)
    other.folder = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", tree.folder, other.folder], check=True)
    other.dvc("pull", "-q")
    assert (other.folder / "model.pkl").read_bytes() == (tree.folder / "model.pkl").read_bytes()
    ours = {name: sum_ for name, sum_ in before.items() if not name.endswith("skipped.log")}
    assert listing(other.folder / "data") == ours


def listing(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_both_digests_are_taken_and_are_those_of_the_bytes(tree: WorkTree) -> None:
    for name, size in (("small", 10), ("large", (5 << 20) + 7)):
        data = os.urandom(size)
        (tree.folder / name).write_bytes(data)
        (artifact,) = record(name)
        assert artifact.key == f"md5:{hashlib.md5(data).hexdigest()}"
        assert artifact.sha256 == hashlib.sha256(data).hexdigest()
        assert artifact.size_bytes == size
        shown = cmf.query().show(name).node
        assert isinstance(shown, Artifact) and shown.sha256 == artifact.sha256


def test_without_sha256_none_is_taken(tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_SHA256", "off")
    (tree.folder / "a").write_text("a")
    assert record("a")[0].sha256 is None


def test_a_file_that_did_not_change_is_not_read_again_and_one_that_did_is(tree: WorkTree) -> None:
    file = tree.folder / "data.bin"
    file.write_bytes(b"one")
    time.sleep(0.05)
    first, again = record("data.bin", "data.bin")
    assert first.key == again.key
    states = open_repository(tree.folder).states
    known = states.file(str(file))
    assert known is not None and f"md5:{known.md5}" == first.key
    # Written over in place, with the size and times it had: the time of change tells.
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert record("data.bin")[0].key == f"md5:{hashlib.md5(b'two').hexdigest()}"


def test_a_file_written_over_within_a_tick_of_the_clock_is_read_again(tree: WorkTree) -> None:
    file = tree.folder / "data.bin"
    with cmf.run("digits", "train") as run:
        for round_ in range(50):
            content = b"%03d" % round_
            file.write_bytes(content)
            assert run.output("data.bin").key == f"md5:{hashlib.md5(content).hexdigest()}"


def test_a_damaged_memory_of_files_is_made_anew(tree: WorkTree) -> None:
    (tree.folder / "a").write_text("a")
    record("a")
    close_repositories()
    (tree.folder / ".cmf" / "states.db").write_bytes(b"no database" * 100)
    assert record("a")[0].key == f"md5:{hashlib.md5(b'a').hexdigest()}"


def test_an_object_that_was_taken_from_the_cache_is_kept_again(tree: WorkTree) -> None:
    (tree.folder / "a").write_text("a")
    (tree.folder / "folder").mkdir()
    (tree.folder / "folder" / "b").write_text("b")
    time.sleep(0.05)
    record("a", "folder")
    whole = objects(tree)
    shutil.rmtree(tree.folder / ".dvc" / "cache" / "files")
    record("a", "folder")
    assert objects(tree) == whole


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "hardlink,symlink", "copy"])
def test_files_are_linked_as_dvcs_settings_say(tree: WorkTree, kind: str) -> None:
    tree.dvc("config", "cache.type", kind)
    (tree.folder / "a").write_text("a")
    (tree.folder / "folder").mkdir()
    (tree.folder / "folder" / "b").write_text("b")
    record("a", "folder")
    for file in (tree.folder / "a", tree.folder / "folder" / "b"):
        links = (file.is_symlink(), file.stat().st_nlink)
        assert links == {"hardlink": (False, 2), "symlink": (True, 1), "copy": (False, 1)}[kind.split(",")[0]]
    assert tree.dvc("status") == "Data and pipelines are up to date."
    with cmf.run("digits", "again") as run:
        assert run.input("a").key == f"md5:{hashlib.md5(b'a').hexdigest()}"
    assert tree.dvc("status") == "Data and pipelines are up to date."


def test_the_cache_is_where_dvcs_settings_say(tree: WorkTree, tmp_path: Path) -> None:
    tree.dvc("cache", "dir", "--local", str(tmp_path / "elsewhere"))
    (tree.folder / "a").write_text("a")
    record("a")
    assert (tmp_path / "elsewhere" / "files" / "md5" / "0c" / "c175b9c0f1b6a831c399e269772661").exists()
    assert tree.dvc("status") == "Data and pipelines are up to date."


def test_what_a_person_wrote_into_a_dvc_file_stays(tree: WorkTree) -> None:
    (tree.folder / "a").write_text("a")
    record("a")
    pointer = tree.folder / "a.dvc"
    pointer.write_text(pointer.read_text() + "  desc: the numbers  # from Ann\nmeta:\n  owner: ann\n")
    (tree.folder / "a").write_text("more")
    record("a")
    assert "desc: the numbers  # from Ann" in pointer.read_text() and "owner: ann" in pointer.read_text()
    assert f"md5: {hashlib.md5(b'more').hexdigest()}" in pointer.read_text()
    assert tree.dvc("status") == "Data and pipelines are up to date."


def test_what_git_or_another_dvc_file_has_gets_no_dvc_file(tree: WorkTree) -> None:
    (tree.folder / "dvc.yaml").write_text("stages:\n  make:\n    cmd: echo x > made\n    outs: [made, build/out]\n")
    (tree.folder / "made").write_text("x\n")
    (tree.folder / "folder" / "sub").mkdir(parents=True)
    (tree.folder / "folder" / "a").write_text("a")
    (tree.folder / "folder" / "sub" / "b").write_text("b")
    (tree.folder / "ignored").mkdir()
    (tree.folder / "ignored" / "c").write_text("c")
    (tree.folder / ".dvcignore").write_text("/ignored\n")
    outside = tree.folder.parent / "outside.csv"
    outside.write_text("o")
    (tree.folder / "link.csv").symlink_to(outside)
    record("folder")
    artifacts = record("train.py", "made", "folder/a", "folder/sub", "ignored/c", str(outside), "link.csv")
    assert all(artifact.key.startswith("md5:") for artifact in artifacts)
    assert sorted(file.name for file in tree.folder.rglob("*.dvc") if file.is_file()) == ["folder.dvc"]
    assert all(open_repository(tree.folder).cache.has(artifact.key[4:]) for artifact in artifacts)
    assert "folder" not in tree.dvc("status")


def test_a_folder_below_which_dvc_files_lie_gets_none(tree: WorkTree) -> None:
    (tree.folder / "folder").mkdir()
    (tree.folder / "folder" / "a").write_text("a")
    record("folder/a")
    record("folder")
    assert not (tree.folder / "folder.dvc").exists()
    assert tree.dvc("status") == "Data and pipelines are up to date."


def test_a_folders_key_does_not_depend_on_what_was_recorded_of_it_and_its_commit_brings_it_back_whole(
    tree: WorkTree, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tree.folder / name / "sub").mkdir(parents=True)
        (tree.folder / name / "a").write_text("a")
        (tree.folder / name / "sub" / "b").write_bytes(bytes(2 << 20))
    (first,) = record("one")
    with cmf.run("digits", "train") as run:
        run.input("two/a")
        run.input("two/sub/b")
        second = run.input("two")
    assert first.key == second.key
    assert (tree.folder / "two" / "a.dvc").exists() and not (tree.folder / "two.dvc").exists()
    assert tree.dvc("status") == "Data and pipelines are up to date."
    commit = next(use.commit for use in cmf.query().show(run.key).uses if use.path == "two")
    assert brought_back(tree, tmp_path, str(commit), "two") == {"a", "sub/b"}


def test_an_output_in_a_folder_with_a_dvc_file_brings_that_up_to_date(tree: WorkTree, tmp_path: Path) -> None:
    (tree.folder / "data").mkdir()
    (tree.folder / "data" / "a").write_text("a")
    record("data")
    (tree.folder / "data" / "c").write_text("c")
    with cmf.run("digits", "train") as run:
        run.output("data/c")
    assert tree.dvc("status") == "Data and pipelines are up to date."
    (use,) = cmf.query().show(run.key).uses
    assert brought_back(tree, tmp_path, str(use.commit), "data") == {"a", "c"}


def brought_back(tree: WorkTree, tmp_path: Path, commit: str, folder: str) -> set[str]:
    """What a checkout of a commit in a worktree of its own has in a folder."""
    tree.git("worktree", "add", "-q", "--detach", str(tmp_path / "then"), commit)
    then = WorkTree.__new__(WorkTree)
    then.folder = tmp_path / "then"
    then.dvc("cache", "dir", "--local", str(tree.folder / ".dvc" / "cache"))
    then.dvc("checkout", "-q")
    assert then.status() == []
    return set(listing(then.folder / folder))


def test_a_dvc_file_that_stands_for_something_else_is_left_as_it_is_and_told(tree: WorkTree) -> None:
    text = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: somethingelse\n"
    (tree.folder / "other.dvc").write_text(text)
    (tree.folder / "other").write_text("1")
    with cmf.run("digits", "train") as run, pytest.warns(DataWarning, match="stands for something else than its name"):
        run.input("other")
    assert (tree.folder / "other.dvc").read_text() == text
    assert [use.path for use in cmf.query().show(run.key).uses] == ["other"]


def test_a_name_with_a_line_break_is_recorded_without_a_dvc_file_and_told(tree: WorkTree) -> None:
    (tree.folder / "new\nline").write_text("1")
    with cmf.run("digits", "train") as run, pytest.warns(DataWarning, match="line break"):
        artifact = run.output("new\nline")
    assert open_repository(tree.folder).cache.has(artifact.key[4:]) and not list(tree.folder.glob("new*.dvc"))


def test_a_name_as_long_as_can_be_is_recorded_without_a_dvc_file_and_told(tree: WorkTree) -> None:
    for length in (251, 255):
        (tree.folder / ("n" * length)).write_text(str(length))
    with cmf.run("digits", "train") as run:
        run.output("n" * 251)
        with pytest.warns(DataWarning, match="so long a name"):
            run.output("n" * 255)
    assert len(list(tree.folder.glob("n*.dvc"))) == 1 and len(cmf.query().show(run.key).uses) == 2


def test_what_is_no_path_is_refused(tree: WorkTree) -> None:
    with cmf.run("digits", "train") as run:
        for path in (b"train.py", 5, None):
            with pytest.raises(InvalidValue, match="is no path"):
                run.input(path)  # type: ignore[arg-type]


def test_what_is_gits_or_cmfs_own_is_no_data(tree: WorkTree) -> None:
    with cmf.run("digits", "train") as run:
        for path in (".git", ".cmf", ".git/config"):
            with pytest.raises(InvalidValue, match="no data"):
                run.input(path)


def test_a_linked_folder_in_a_folder_is_left_out_as_dvc_does_and_told(tree: WorkTree) -> None:
    (tree.folder / "folder").mkdir()
    (tree.folder / "folder" / "a").write_text("a")
    (tree.folder / "folder" / "up").symlink_to("..")
    with cmf.run("digits", "train") as run, pytest.warns(DataWarning, match=r"folder/up: a link to a folder"):
        run.output("folder")
    assert tree.dvc("status") == "Data and pipelines are up to date."


def test_data_none_only_hashes(tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_DATA", "none")
    (tree.folder / "a").write_text("a")
    record("a")
    assert not objects(tree) and not (tree.folder / "a.dvc").exists()


def test_what_the_disk_has_no_room_for_is_an_error_and_nothing_is_recorded(tree: WorkTree) -> None:
    """The cache on a file system of its own, full."""
    small = tree.folder.parent / "small"
    small.mkdir()
    with mounted(small, "size=256k"):
        tree.dvc("cache", "dir", "--local", str(small))
        (tree.folder / "big").write_bytes(os.urandom(1 << 20))
        with cmf.run("digits", "train") as run:
            with pytest.raises(FileProblem, match=r"small: the cache cannot be written \(No space left on device\)"):
                run.output("big")
            assert run.output("train.py").key.startswith("md5:")
        close_repositories()
        uses = cmf.query().show(run.key).uses
        assert [use.path for use in uses] == ["train.py"]
        assert not (tree.folder / "big.dvc").exists() and not list((small / "cmf-scratch").iterdir())


def test_a_dvc_file_that_is_none_is_named(tree: WorkTree) -> None:
    (tree.folder / "a").write_text("a")
    for text in ("outs: [", "", "outs: []\n", "\x00", "- 1\n", "outs:\n- md5: x\n  path: [a]\n"):
        (tree.folder / "a.dvc").write_text(text)
        with cmf.run("digits", "train") as run, pytest.raises(FileProblem, match=r"a\.dvc: is no \.dvc file"):
            run.input("a")
        assert (tree.folder / "a.dvc").read_text() == text
        assert not cmf.query().show(run.key).uses


def test_a_place_where_no_dvc_file_can_be_written_is_named(tree: WorkTree) -> None:
    (tree.folder / "data").mkdir()
    (tree.folder / "data" / "a").write_text("a")
    (tree.folder / "data" / "a.dvc").mkdir()
    with cmf.run("digits", "train") as run, pytest.raises(FileProblem, match=r"a\.dvc: is a folder .* Rename"):
        run.input("data/a")
    assert not cmf.query().show(run.key).uses


def test_a_folder_that_nobody_may_write_in_is_named(tree: WorkTree) -> None:
    data = tree.folder / "data"
    data.mkdir()
    with mounted(data, "size=1m"):
        (data / "a").write_text("a")
        subprocess.run(["mount", "-o", "remount,ro", data], check=True)
        refused = pytest.raises(FileProblem, match=r"a\.dvc: cannot be written \(Read-only file system\); nothing was")
        with cmf.run("digits", "train") as run, refused:
            run.input("data/a")
    assert not cmf.query().show(run.key).uses


def test_a_repository_that_nobody_may_write_in_is_named(tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tree.folder.parent / "read-only"
    other.mkdir()
    with mounted(other, "size=8m"):
        WorkTree(other)
        subprocess.run(["mount", "-o", "remount,ro", other], check=True)
        with pytest.raises(JournalUnwritable, match=r"\.cmf: Read-only file system; nothing of this call was recorded"):
            cmf.run("digits", "train", root=other)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at a folder."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_file_that_changes_or_vanishes_while_it_is_read_is_named(tree: WorkTree) -> None:
    code = """
import os, sys, threading, time
stop = time.monotonic() + 60
def write():
    while time.monotonic() < stop:
        with open("big", "r+b") as file:
            file.seek(os.path.getsize("big") - 1)
            file.write(b"x")
threading.Thread(target=write, daemon=True).start()
print("writing", flush=True)
sys.stdin.read()
"""
    with (tree.folder / "big").open("wb") as file:
        file.truncate(200 << 20)
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdin is not None
    try:
        assert writer.stdout.readline() == b"writing\n"
        with (
            cmf.run("digits", "train") as run,
            pytest.raises(FileProblem, match="big: changed while it was being read"),
        ):
            run.input("big")
    finally:
        writer.stdin.close()
        writer.wait()
        writer.stdout.close()
    assert not cmf.query().show(run.key).uses and not objects(tree)
    assert not list((tree.folder / ".dvc" / "cache" / "cmf-scratch").rglob("[0-9]*-*"))


def test_recording_says_nothing_without_reason(tree: WorkTree) -> None:
    make_data(tree)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record("data")
