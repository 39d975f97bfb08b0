"""What cmf leaves behind, judged by the real `dvc`; and what `dvc` leaves behind, taken up by cmf."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from http_store import HttpStore
from sites import Run, files

import cmf
from cmf.recording import close_repositories

CLEAN = "Data and pipelines are up to date."


def made(root: Path) -> dict[str, bytes]:
    return {
        name: (root / name).read_bytes()
        for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore")
        if (root / name).exists()
    }


@pytest.mark.parametrize("where", ["git", "no git", "below git"])
def test_init_makes_what_dvc_init_makes_and_leaves_gits_index_alone(tmp_path: Path, run: Run, where: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root, command in ((ours, ["cmf", "init"]), (theirs, ["dvc", "init", "-q"])):
        at = root / "sub" if where == "below git" else root
        at.mkdir(parents=True)
        if where != "no git":
            run("git", "init", "-q", at=root)
        if where == "below git":
            (at / ".cmf").mkdir()
        options = {"git": [], "no git": ["--no-scm"], "below git": ["--subdir"]}[where]
        run(*command, *(options if root == theirs else []), at=at)
        told = made(at)
        assert told == made(ours / "sub" if where == "below git" else ours)
    if where != "no git":
        assert run("git", "diff", "--cached", "--name-only", at=ours).stdout == ""
    again = run("cmf", "init", at=ours / "sub" if where == "below git" else ours).stdout
    assert "set DVC up" not in again


def test_init_leaves_dvc_out_where_told(tmp_path: Path, run: Run) -> None:
    run("cmf", "init", "--no-dvc", at=tmp_path)
    assert not (tmp_path / ".dvc").exists() and not (tmp_path / ".dvcignore").exists()


OTHER_REMOTE = "[core]\n    autostage = true\n    remote = old\n['remote \"old\"']\n    url = /old\n"


@pytest.mark.parametrize(
    ("before", "address"),
    [("", "/a/share"), (OTHER_REMOTE, "../share, of #1"), ("[cache]\n    type = copy\n", "s3://bucket/a b")],
)
def test_a_remote_is_written_as_dvc_writes_it(tmp_path: Path, run: Run, before: str, address: str) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name / ".dvc").mkdir(parents=True)
        (tmp_path / name / ".git").mkdir()  # enough for both to take it for a repository
        (tmp_path / name / ".dvc/config").write_text(before)
    run("git", "init", "-q", at=tmp_path / "theirs")
    run("cmf", "init", "--artifacts", address, at=tmp_path / "ours")
    run("dvc", "remote", "add", "-d", "storage", address, at=tmp_path / "theirs")
    assert made(tmp_path / "ours")[".dvc/config"].decode() == made(tmp_path / "theirs")[".dvc/config"].decode()
    run("cmf", "init", "--artifacts", address, at=tmp_path / "ours")
    assert made(tmp_path / "ours")[".dvc/config"] == made(tmp_path / "theirs")[".dvc/config"]


def test_an_address_with_a_password_or_a_line_break_is_no_remote(tmp_path: Path, run: Run) -> None:
    told = run("cmf", "init", "--artifacts", "https://me:secret@example.org/x", at=tmp_path, ok=False)
    assert "dvc remote modify --local" in told.stderr and "secret" not in told.stderr
    run("cmf", "init", "--artifacts", "/x\n[core]", at=tmp_path, ok=False)
    assert (tmp_path / ".dvc/config").read_text() == "[core]\n    no_scm = True\n"


def test_what_cmf_pushed_dvc_pulls(site: Path, clone: Callable[[str], Path], run: Run) -> None:
    assert CLEAN in run("dvc", "status", at=site).stdout
    told = run("cmf", "artifacts", "push", at=site).stdout
    assert "5 objects" in told, "a file, a model, two files of a folder, its manifest"
    assert "in sync" in run("dvc", "status", "-c", at=site).stdout
    other = clone("other")
    run("dvc", "pull", at=other)
    assert files(other) == files(site)


def test_what_dvc_pushed_cmf_pulls(site: Path, clone: Callable[[str], Path], run: Run) -> None:
    run("dvc", "push", at=site)
    other = clone("other")
    told = run("cmf", "artifacts", "pull", "--all", at=other).stdout
    assert "3 artifacts put in place" in told
    assert files(other) == files(site)
    assert CLEAN in run("dvc", "status", at=other).stdout
    assert "nothing to fetch" in run("cmf", "artifacts", "pull", "--all", "--no-checkout", at=other).stdout
    assert "3 already there" in run("cmf", "artifacts", "pull", "--all", at=other).stdout


def test_a_program_is_one_where_its_dvc_file_says_so(site: Path, clone: Callable[[str], Path], run: Run) -> None:
    (site / "tool.sh").write_text("#!/bin/sh\n")
    (site / "tool.sh").chmod(0o755)
    with cmf.run("digits", "train", root=site) as recording:
        recording.input(site / "tool.sh")
    close_repositories()
    run("cmf", "artifacts", "push", at=site)
    run("git", "add", "-A", at=site)
    run("git", "commit", "-qm", "a tool", at=site)
    other = clone("other")
    run("cmf", "artifacts", "pull", "tool.sh", "model.pkl", at=other)
    modes = [(other / name).stat().st_mode & 0o111 for name in ("tool.sh", "model.pkl")]
    assert modes == [0o111, 0]


def test_a_remote_behind_http_serves_both(site: Path, clone: Callable[[str], Path], run: Run, tmp_path: Path) -> None:
    with HttpStore(tmp_path / "served") as store:
        run("dvc", "remote", "add", "web", f"{store.url}/data", at=site)
        run("git", "commit", "-qam", "a remote", at=site)
        assert "5 objects" in run("cmf", "artifacts", "push", "-r", "web", at=site).stdout
        other, third = clone("other"), clone("third")
        run("dvc", "pull", "-r", "web", at=other)
        told = run("cmf", "artifacts", "pull", "--all", "-r", "web", "-j", "2", at=third)
        assert told.stderr == ""
        shutil.rmtree(third / ".dvc/cache")
        missing = next((tmp_path / "served/data/files/md5").glob("*/*[0-9a-f]"))
        missing.unlink()
        told = run("cmf", "artifacts", "pull", "--all", "--no-checkout", "-r", "web", at=third, ok=False)
        assert f"has no object {missing.parent.name}{missing.name}" in told.stderr
    assert files(other) == files(third) == files(site)
    told = run("cmf", "artifacts", "push", "-r", "web", "--recheck", at=site, ok=False)
    assert "web (http://127.0.0.1" in told.stderr
