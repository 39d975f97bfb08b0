"""Pushing bytes: what is new goes, once; what cannot go is named and holds up nothing else; bytes before metadata."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from http_store import HttpStore
from server_process import ServerProcess
from sites import Run

import cmf
from cmf import artifacts
from cmf.core.identity import md5_of
from cmf.recording import close_repositories
from cmf.repository import Repository
from cmf.starting import Start, start_run


def objects(share: Path) -> set[str]:
    return {path.parent.name + path.name for path in (share / "files/md5").glob("*/*")}


def test_a_push_with_nothing_new_asks_nothing_of_the_remote(site: Path, run: Run, tmp_path: Path) -> None:
    with HttpStore(tmp_path / "share") as store:
        run("cmf", "init", "--artifacts", store.url, at=site)
        assert "5 objects" in run("cmf", "artifacts", "push", at=site).stdout
        sent = len(store.asked)
        assert "nothing new" in run("cmf", "artifacts", "push", at=site).stdout
        assert len(store.asked) == sent
        with cmf.run("digits", "test", root=site) as testing:
            testing.input(site / "data/img")
        close_repositories()
        assert "nothing new" in run("cmf", "artifacts", "push", at=site).stdout
        assert len(store.asked) == sent + 1, "a folder that the remote has costs one question, not one a file"
        shutil.rmtree(site / ".cmf/pushed")
        shutil.rmtree(tmp_path / "share")
        assert "5 objects" in run("cmf", "artifacts", "push", at=site).stdout, "the note may be deleted"
        shutil.rmtree(tmp_path / "share")
        assert "5 objects" in run("cmf", "artifacts", "push", "--recheck", at=site).stdout
        next(iter((site / ".cmf/pushed").iterdir())).write_text("{")
        assert "nothing new" in run("cmf", "artifacts", "push", at=site).stdout, "nor is it missed when damaged"


def test_what_the_cache_lost_is_named_and_the_rest_goes(site: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    lost = {md5_of(b"weights"): b"weights", md5_of(b""): b""}  # the model, and a file of the folder
    for md5 in lost:
        (site / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    for name in ("model.pkl", "data/img/more/two.png"):
        (site / name).write_text("something else by now")
    repository = Repository.find(site)
    pushed = artifacts.push(repository)
    assert [path for path, _ in pushed.problems] == ["data/img", "model.pkl"]
    assert "1 of 2 files" in pushed.problems[0][1]
    assert objects(share) == {md5_of(b"1,2\n"), md5_of(bytes(range(256)))}, "no folder without its files"
    again = artifacts.push(repository)
    assert (again.problems, again.lost) == ((), 2), "it is told once, and not forgotten"
    assert artifacts.push(repository, recheck=True).problems == pushed.problems
    for md5, content in lost.items():
        repository.cache.add_bytes(content, md5)
    again = artifacts.push(repository)
    assert (again.objects, again.problems, again.lost) == (3, (), 0)
    assert len(objects(share)) == 5
    repository.close()


def test_what_was_recorded_before_dvc_was_set_up_is_taken_from_the_tree(tmp_path: Path) -> None:
    from cmf.versioning.dvc_setup import set_default_remote, set_up

    (tmp_path / "data").mkdir()
    for name in ("data/a", "data/b", "same", "changed"):
        (tmp_path / name).write_text(name)
    with cmf.run("p", "s", root=tmp_path) as run:
        for name in ("data", "same", "changed"):
            run.input(tmp_path / name)
    close_repositories()
    made = tmp_path / "made.json"
    made.write_text("cmf's own")
    repository = Repository.find(tmp_path)
    recorder = start_run(repository, Start.of("p", "s"))
    recorder.keep("input", made, "made.json", ("Environment",))  # as an environment is
    recorder.end("complete")
    repository.close()
    made.unlink()
    (tmp_path / "changed").write_text("since then")
    set_up(tmp_path, in_git=False)
    set_default_remote(tmp_path, "share", tmp_path)
    repository = Repository.find(tmp_path)
    pushed = artifacts.push(repository)
    assert [path for path, _ in pushed.problems] == ["changed"] and pushed.objects == 5
    assert objects(tmp_path / "share") >= {md5_of(b"same"), md5_of(b"data/a"), md5_of(b"cmf's own")}
    assert not repository.cache.has(md5_of(b"since then"))
    repository.close()


def test_an_object_that_was_changed_in_the_cache_is_not_sent(site: Path, tmp_path: Path) -> None:
    repository = Repository.find(site)
    place = repository.cache.path(md5_of(b"weights"))
    place.chmod(0o644)
    place.write_text("edited through a link")
    ((path, problem),) = artifacts.push(repository).problems
    assert path == "model.pkl" and "was changed" in problem
    assert md5_of(b"weights") not in objects(tmp_path / "share")
    repository.close()


def test_killed_half_way_nothing_half_has_a_name_and_the_next_push_goes_on(
    site: Path, run: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    content = os.urandom(1 << 20) * 128
    (site / "big").write_bytes(content)
    with cmf.run("p", "s", root=site) as recording:
        recording.output(site / "big")
    close_repositories()
    command = [sys.executable, "-m", "cmf.cli", "artifacts", "push"]
    place = tmp_path / "share/files/md5" / md5_of(content)[:2]
    with subprocess.Popen(command, cwd=site, env=environment, stdout=subprocess.DEVNULL) as pushing:
        deadline = time.monotonic() + 60
        while not list(place.glob("*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        pushing.send_signal(signal.SIGKILL)
    named = place / md5_of(content)[2:]
    assert not named.exists() or named.read_bytes() == content
    run("cmf", "artifacts", "push", at=site)
    assert named.read_bytes() == content


def test_without_dvcs_packages_the_error_names_the_extra(site: Path) -> None:
    code = "import sys; sys.modules['dvc'] = None; import cmf.cli; sys.exit(cmf.cli.main())"
    command = [sys.executable, "-c", code, "artifacts", "push"]
    told = subprocess.run(command, cwd=site, capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and "pip install 'cmf-lineage[dvc]'" in told.stderr and "Traceback" not in told.stderr


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path, f"sqlite:///{tmp_path}/graph.db")


def test_push_sends_bytes_before_metadata(site: Path, run: Run, server: ServerProcess, tmp_path: Path) -> None:
    with server:
        run("cmf", "init", "--server", server.url, "--artifacts", "http://127.0.0.1:9/nothing", at=site)
        told = run("cmf", "push", at=site, ok=False)
        assert "storage-2 (http://127.0.0.1:9/nothing)" in told.stderr and "--metadata-only" in told.stderr
        assert json.loads(run("cmf", "status", "--json", at=site).stdout)["server"]["unpushed_bytes"] > 0
        run("cmf", "init", "--artifacts", str(tmp_path / "share"), at=site)
        told = run("cmf", "push", "--json", at=site)
        assert json.loads(told.stdout)["artifacts"]["objects"] == 5 and told.stderr == ""
        assert len(objects(tmp_path / "share")) == 5
        assert json.loads(run("cmf", "status", "--json", at=site).stdout)["server"]["unpushed_bytes"] == 0
        assert "everything is on the server" in run("cmf", "push", at=site).stdout


def test_push_sends_metadata_where_there_is_no_place_for_bytes_or_none_are_to_go(
    tmp_path: Path, run: Run, server: ServerProcess
) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    with server:
        run("cmf", "init", "--server", server.url, at=root)
        with cmf.run("p", "s", root=root) as recording:
            (root / "lost").write_text("lost")
            recording.output(root / "lost")
        close_repositories()
        told = run("cmf", "push", at=root)
        assert told.stderr.count("note:") == 1 and "no DVC remote is set" in told.stderr
        assert "records sent" in told.stdout
        shutil.rmtree(root / ".dvc/cache")
        (root / "lost").unlink()
        run("cmf", "init", "--artifacts", str(tmp_path / "share"), at=root)
        told = run("cmf", "push", at=root)
        assert "lost: its bytes are not in the cache" in told.stderr, "what is lost holds the metadata up no more"
        assert run("cmf", "push", "--metadata-only", at=root).stderr == ""


def test_a_remote_that_has_vanished_is_not_made_anew_in_its_place(site: Path, run: Run, tmp_path: Path) -> None:
    """As when a share is not mounted: what was pushed before would be missing, and everything said to be there."""
    run("cmf", "artifacts", "push", at=site)
    (tmp_path / "share").rename(tmp_path / "unmounted")
    (site / "model.pkl").write_text("new weights")
    with cmf.run("digits", "train", root=site) as train:
        train.output(site / "model.pkl")
    close_repositories()
    for command in (["push"], ["list", "--remote"]):
        assert "is something not mounted?" in run("cmf", "artifacts", *command, at=site, ok=False).stderr
    assert not (tmp_path / "share").exists()
    (tmp_path / "unmounted").rename(tmp_path / "share")
    assert "1 object" in run("cmf", "artifacts", "push", at=site).stdout


def test_a_damaged_object_is_not_put_into_the_tree(site: Path, run: Run) -> None:
    md5 = md5_of((site / "model.pkl").read_bytes())
    place = site / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    place.chmod(0o644)
    place.write_text("damaged")
    place.chmod(0o444)
    (site / "model.pkl").unlink()
    told = run("cmf", "artifacts", "pull", "model.pkl", at=site, ok=False)
    assert (
        f"its object in the cache is damaged; delete {place}" in told.stderr and "nothing to fetch" not in told.stdout
    )
    assert not (site / "model.pkl").exists()


def test_files_that_steer_git_or_dvc_are_put_in_place_only_when_named(site: Path, run: Run) -> None:
    (site / ".gitattributes").write_text("*.py text")
    with cmf.run("digits", "steer", root=site) as steer:
        steer.output(site / ".gitattributes")
    close_repositories()
    (site / ".gitattributes").unlink()
    run("cmf", "artifacts", "pull", steer.key, at=site)
    assert not (site / ".gitattributes").exists()
    run("cmf", "artifacts", "pull", ".gitattributes", at=site)
    assert (site / ".gitattributes").read_text() == "*.py text"


def test_what_cmf_made_is_put_in_place_unseen_by_git_and_in_nobodys_way(
    site: Path, clone: Callable[[str], Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(root: Path) -> str:
        return run("git", "status", "--porcelain", "--untracked-files=all", at=root).stdout

    made = "cmf_artifacts/environment.json"
    monkeypatch.setenv("CMF_ENVIRONMENT", "on")
    with cmf.run("digits", "again", root=site) as again:
        again.input(site / "data/a.csv")
    close_repositories()
    run("cmf", "artifacts", "push", at=site)
    other = clone("other")
    before = seen(other)
    run("cmf", "artifacts", "pull", made, at=other)
    assert (other / made).is_file() and seen(other) == before
    [branch] = run(
        "git", "branch", "-r", "--list", "origin/cmf/digits/again/*", "--format=%(refname)", at=other
    ).stdout.split()
    run("git", "checkout", "-q", "--detach", branch, at=other)  # which has its .dvc file, and a .gitignore, in git
    assert (other / f"{made}.dvc").is_file() and "cmf_artifacts" not in seen(other)
    run("git", "checkout", "-q", "-", at=other)
    assert made in seen(other)
    (other / "cmf_artifacts/.gitignore").write_text("/mine\n")
    run("cmf", "artifacts", "pull", made, at=other)
    assert (other / "cmf_artifacts/.gitignore").read_text() == "/mine\n"
    (other / "cmf_artifacts/.gitignore").unlink()
    run("cmf", "artifacts", "pull", made, at=other)
    assert seen(other) == before


def test_a_remote_that_wants_credentials_is_named_and_nothing_is_taken_for_sent(
    site: Path, clone: Callable[[str], Path], run: Run, tmp_path: Path
) -> None:
    with HttpStore(tmp_path / "share", secret="Basic") as store:
        run("cmf", "init", "--artifacts", store.url, at=site)
        other = clone("other")
        run("cmf", "init", "--artifacts", store.url, at=other)
        told = run("cmf", "artifacts", "push", at=site, ok=False)
        assert store.url in told.stderr and "401" in told.stderr
        told = run("cmf", "artifacts", "list", "--remote", at=other, ok=False)
        assert store.url in told.stderr and "401" in told.stderr
        assert "wants credentials" in told.stderr and "dvc remote modify --local storage-2" in told.stderr
        told = run("cmf", "artifacts", "pull", "model.pkl", at=other, ok=False)
        assert "401" in told.stderr and not (other / "model.pkl").exists()
        name = "storage-2"
        for option, value in (("auth", "basic"), ("user", "a"), ("password", "b")):
            run("dvc", "remote", "modify", "--local", name, option, value, at=site)
        listed = json.loads(run("cmf", "artifacts", "list", "--remote", "--json", at=site).stdout)["items"]
        assert listed and not any(one["remote"] for one in listed)
        assert "5 objects" in run("cmf", "artifacts", "push", at=site).stdout
