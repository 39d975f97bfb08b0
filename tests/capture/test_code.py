"""Code: the state of the tree when a run starts, a branch for each execution, and nothing of the user's touched."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from work_tree import QUIET, WorkTree

import cmf
from cmf.core.errors import SettingsProblem
from cmf.core.model import Edge, Execution
from cmf.recording import close_repositories, open_repository
from cmf.versioning.git import VersioningWarning
from cmf.versioning.git_refs import branch_name


def record(root: Path | None = None) -> Execution:
    with cmf.run("digits", "train", root=root) as run:
        run.input((root or Path()) / "in.csv")
        (root or Path()).joinpath("model.pkl").write_bytes(os.urandom(20))
        run.output((root or Path()) / "model.pkl", type="Model")
    return execution(run.key, root)


def execution(key: str, root: Path | None = None) -> Execution:
    (node,) = open_repository(root or Path()).view.nodes([key])
    assert isinstance(node, Execution)
    return node


def uses(key: str, root: Path | None = None) -> dict[str, Edge]:
    detail = open_repository(root or Path()).view.detail(key, 100)
    assert detail
    return {use.path: use for use in detail.uses}


@pytest.fixture(autouse=True)
def _data(tree: WorkTree) -> None:
    (tree.folder / "in.csv").write_text("1,2\n")


HOOKS = ("pre-commit", "post-commit", "post-checkout", "post-index-change", "reference-transaction", "post-rewrite")


def test_recording_touches_nothing_of_the_users(tree: WorkTree) -> None:
    (tree.folder / "train.py").write_text("changed but not staged\n")
    (tree.folder / "staged.py").write_text("staged\n")
    tree.git("add", "staged.py")
    (tree.folder / "draft.py").write_text("stashed\n")
    tree.git("stash", "push", "-q", "--include-untracked", "draft.py")
    for hook in HOOKS:
        script = tree.folder / ".git" / "hooks" / hook
        script.write_text(f"#!/bin/sh\ntouch {tree.folder}/hook-{hook}\nexit 1\n")
        script.chmod(0o755)
    before, status = tree.untouched(), tree.status()
    first, second = record(), record()
    assert tree.untouched() == before
    news = {line[3:] for line in tree.status()} ^ {line[3:] for line in status}
    assert news == {".gitignore", "in.csv.dvc", "model.pkl.dvc", "in.csv"}
    assert not list(tree.folder.glob("hook-*"))
    assert len(tree.run_branches()) == 2 and first.end_commit != second.end_commit
    assert tree.git("fsck", "--strict", "--no-dangling") == ""
    close_repositories()
    assert not list((tree.folder / ".git" / "cmf-scratch").iterdir())


def test_each_use_names_the_commit_that_has_its_dvc_file(tree: WorkTree) -> None:
    run = record()
    (branch,) = tree.run_branches()
    assert branch == "cmf/" + branch_name("digits", "train", run.key)
    found = uses(run.key)
    md5 = hashlib.md5(b"1,2\n").hexdigest()
    assert md5 in tree.git("show", f"{found['in.csv'].commit}:in.csv.dvc")
    assert "model.pkl.dvc" not in tree.git("ls-tree", "-r", "--name-only", str(found["in.csv"].commit))
    assert found["model.pkl"].target[4:] in tree.git("show", f"{found['model.pkl'].commit}:model.pkl.dvc")
    assert run.end_commit == found["model.pkl"].commit == tree.run_branches()[branch]
    log = tree.git("log", "--format=%s", branch).splitlines()
    assert log == [
        "digits/train: output model.pkl",
        "digits/train: input in.csv",
        "The tree as it was when a run started",
        "first",
    ]


def test_a_checkout_of_its_commit_brings_code_and_data_of_that_moment_back(tree: WorkTree) -> None:
    (tree.folder / "train.py").write_text("print('as it ran')\n")
    (tree.folder / "new.py").write_text("print('not in git yet')\n")
    old = record()
    data, model = ((tree.folder / name).read_bytes() for name in ("in.csv", "model.pkl"))
    (tree.folder / "in.csv").write_text("other data\n")
    (tree.folder / "train.py").write_text("print('later')\n")
    (tree.folder / "new.py").unlink()
    record()
    tree.git("add", "-A")
    tree.git("commit", "-qm", "later")
    tree.git("checkout", "-q", str(old.end_commit))
    tree.dvc("checkout", "-q")
    assert ((tree.folder / "in.csv").read_bytes(), (tree.folder / "model.pkl").read_bytes()) == (data, model)
    assert (tree.folder / "train.py").read_text() == "print('as it ran')\n"
    assert (tree.folder / "new.py").read_text() == "print('not in git yet')\n"
    assert tree.status() == [] and tree.dvc("status") == "Data and pipelines are up to date."


def test_what_cmf_itself_makes_comes_with_a_checkout_and_git_does_not_see_it(
    tree: WorkTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMF_ENVIRONMENT", "on")
    with cmf.run("digits", "train") as run:
        run.metric("loss", 0.5, step=1)
    assert not (tree.folder / "cmf_artifacts").exists()
    tree.git("clean", "-qfdx", "--exclude=.dvc", "--exclude=.cmf")
    tree.git("checkout", "-q", str(execution(run.key).end_commit))
    tree.dvc("checkout", "-q")
    made = sorted(f.name for f in (tree.folder / "cmf_artifacts").rglob("*") if f.suffix in (".json", ".parquet"))
    assert made == ["environment.json", "series.parquet"]
    assert tree.status() == [] and tree.dvc("status") == "Data and pipelines are up to date."


def test_the_snapshot_is_the_tree_as_it_was(tree: WorkTree) -> None:
    for name in ("deleted.py", "exec.py", "moved.py", "filtered.txt", "conflict.py"):
        (tree.folder / name).write_text(f"{name}\n")
    (tree.folder / ".gitattributes").write_text("*.txt text eol=crlf\n")
    tree.git("add", "-A")
    tree.git("commit", "-qm", "more")
    (tree.folder / "deleted.py").unlink()
    (tree.folder / "exec.py").chmod(0o755)
    (tree.folder / "filtered.txt").write_bytes(b"a\r\nb\r\n")
    tree.git("mv", "moved.py", "pkg.py")
    (tree.folder / "sub dir").mkdir()
    (tree.folder / "sub dir" / "new\nline é.py").write_text("odd\n")
    (tree.folder / "link").symlink_to("nowhere")
    (tree.folder / "large.bin").write_bytes(bytes((1 << 20) + 1))
    (tree.folder / "ignored.log").write_text("x")
    (tree.folder / ".env").write_text("PASSWORD=secret")
    (tree.folder / ".git" / "info" / "exclude").write_text("*.log\n.cmf\n")
    (tree.folder / "only staged.py").write_text("staged, then deleted\n")
    tree.git("add", "only staged.py")
    (tree.folder / "only staged.py").unlink()
    with cmf.run("digits", "train") as run:
        pass
    code = execution(run.key).code
    assert code and code.dirty and code.snapshot
    # What git itself would commit of this tree, but for the file that is too large for git.
    index = tree.folder / ".git" / "other-index"
    (tree.folder / "large.bin").unlink()
    (tree.folder / ".env").unlink()
    environment = os.environ | QUIET | {"GIT_INDEX_FILE": str(index)}
    for command in (["git", "read-tree", "HEAD"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tree.folder, env=environment, check=True)
    theirs = subprocess.run(["git", "write-tree"], cwd=tree.folder, env=environment, check=True, capture_output=True)
    assert tree.git("rev-parse", f"{code.snapshot}^{{tree}}") == theirs.stdout.decode().strip()
    assert tree.git("rev-parse", f"{code.snapshot}^") == code.commit == tree.git("rev-parse", "HEAD")
    assert "2 untracked files were left out" in tree.git("log", "-1", "--format=%B", code.snapshot)
    assert tree.git("fsck", "--strict", "--no-dangling") == ""


def test_what_changed_between_two_runs_of_one_process_is_seen(tree: WorkTree) -> None:
    (tree.folder / "in.csv").unlink()
    seen = []
    for round_ in range(5):
        (tree.folder / "train.py").write_text(f"print({round_})\n")
        with cmf.run("digits", "train") as run:
            pass
        code = execution(run.key).code
        assert code and code.snapshot
        seen.append(tree.git("show", f"{code.snapshot}:train.py"))
    assert seen == [f"print({round_})" for round_ in range(5)]
    tree.git("commit", "-qam", "committed")
    with cmf.run("digits", "train") as run:
        pass
    code = execution(run.key).code
    assert code and (code.commit, code.dirty, code.snapshot) == (tree.git("rev-parse", "HEAD"), False, None)


def test_in_a_large_tree_what_the_program_has_loaded_is_looked_at_for_every_run(
    tree: WorkTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmf.versioning.git.LARGE_INDEX_BYTES", 0)
    monkeypatch.setattr("cmf.versioning.git.LOOKS_SHARE", 10**6)
    (tree.folder / "in.csv").unlink()
    (tree.folder / "step_of_a_large_tree.py").write_text("VALUE = 1\n")
    tree.git("add", "-A")
    tree.git("commit", "-qm", "step")
    monkeypatch.syspath_prepend(tree.folder)
    import step_of_a_large_tree  # type: ignore[import-not-found]  # noqa: F401

    def snapshot() -> str | None:
        with cmf.run("digits", "train") as run:
            pass
        code = execution(run.key).code
        return code.snapshot if code else None

    (tree.folder / "step_of_a_large_tree.py").with_name("__pycache__").mkdir(exist_ok=True)
    (tree.folder / ".git" / "info" / "exclude").write_text("__pycache__\n.cmf\n")
    time.sleep(0.05)
    assert snapshot() is None
    (tree.folder / "train.py").write_text("not loaded: seen later\n")
    assert snapshot() is None
    (tree.folder / "step_of_a_large_tree.py").write_text("VALUE = 2\n")
    assert snapshot() is not None


@pytest.mark.parametrize("place", ["detached", "worktree", "submodule", "shallow", "no commits", "locked", "packed"])
def test_it_works_wherever_git_works(tree: WorkTree, tmp_path: Path, place: str) -> None:
    there = tree
    match place:
        case "detached":
            tree.git("checkout", "-q", "--detach")
        case "worktree":
            tree.git("worktree", "add", "-q", str(tmp_path / "linked"))
            there = at(tmp_path / "linked")
        case "submodule":
            outer = WorkTree(tmp_path / "outer")
            outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tree.folder), "inner")
            there = at(outer.folder / "inner")
        case "shallow":
            tree.git("commit", "-q", "--allow-empty", "-m", "second")
            tree.git("clone", "-q", "--depth", "1", tree.folder.as_uri(), str(tmp_path / "shallow"))
            there = at(tmp_path / "shallow")
        case "no commits":
            there = WorkTree(tmp_path / "fresh", commit=False)
        case "locked":
            (tree.folder / ".git" / "index.lock").write_text("")
        case "packed":
            tree.git("repack", "-qad")
    (there.folder / "in.csv").write_text("1,2\n")
    before = there.untouched()
    run = record(there.folder)
    if place == "packed":
        tree.git("pack-refs", "--all")
        tree.git("repack", "-qad")
        record(there.folder)
    assert there.untouched() == before
    md5 = hashlib.md5(b"1,2\n").hexdigest()
    assert md5 in there.git("show", f"{run.end_commit}:in.csv.dvc")
    assert "train.py" in there.git("ls-tree", "--name-only", str(run.end_commit))
    assert len(there.run_branches()) == (2 if place == "packed" else 1)
    (there.folder / ".git" / "index.lock").unlink() if place == "locked" else None
    assert there.dvc("status") == "Data and pipelines are up to date."


def at(folder: Path) -> WorkTree:
    there = WorkTree.__new__(WorkTree)
    there.folder = folder
    return there


def test_a_file_in_a_submodule_is_recorded_and_the_submodule_stays_one(tree: WorkTree, tmp_path: Path) -> None:
    outer = WorkTree(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tree.folder), "inner")
    outer.git("commit", "-qm", "inner")
    with cmf.run("digits", "train", root=outer.folder) as run:
        run.input(outer.folder / "inner" / "train.py")
    assert outer.status() == []
    entry = outer.git("ls-tree", str(uses(run.key, outer.folder)["inner/train.py"].commit), "inner")
    assert entry.startswith("160000 commit ")


def test_without_git_everything_else_works(tree: WorkTree, tmp_path: Path) -> None:
    for name, path in (("no repository", os.environ["PATH"]), ("no program", "/nonexistent")):
        folder = tmp_path / name
        (folder / ".cmf").mkdir(parents=True)
        (folder / "in.csv").write_text("1,2\n")
        code = "import cmf\nwith cmf.run('p', 's') as run:\n    print(run.input('in.csv').key, run.key)"
        environment = os.environ | {"PATH": path, "PYTHONWARNINGS": "error"}
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        key, run = done.stdout.split()
        assert key == "md5:" + hashlib.md5(b"1,2\n").hexdigest()
        assert execution(run, folder).code is None and uses(run, folder)["in.csv"].commit is None


def test_a_branch_named_cmf_of_the_users_is_not_in_the_way(tree: WorkTree) -> None:
    tree.git("branch", "cmf")
    tree.git("pack-refs", "--all")
    run = record()
    assert run.end_commit in tree.git("for-each-ref", "--format=%(objectname)", "refs/heads/cmf-runs").splitlines()


def test_in_a_repository_with_sha256_objects_the_commit_is_recorded_and_none_made(tmp_path: Path) -> None:
    folder = tmp_path / "sha256"
    folder.mkdir()
    there = at(folder)
    if "fatal" in there.git("init", "-q", "--object-format=sha256", check=False):
        pytest.skip("this git knows no sha256")
    (folder / "in.csv").write_text("1,2\n")
    there.git("add", "-A")
    there.git("commit", "-qm", "first")
    run = record(folder)
    assert run.code and run.code.commit == there.git("rev-parse", "HEAD") and run.end_commit is None


def test_a_commit_that_cannot_be_made_is_told_and_the_run_is_recorded(tree: WorkTree) -> None:
    (tree.folder / ".git" / "cmf-scratch").write_text("in the way")
    with pytest.warns(VersioningWarning, match="git has no commit of this: .*cmf-scratch"):
        run = record()
    assert run.code and run.code.commit == tree.git("rev-parse", "HEAD")
    assert (run.status, run.end_commit, uses(run.key)["in.csv"].commit) == ("complete", run.code.commit, None)


def test_a_repository_that_git_cannot_read_is_named(tree: WorkTree) -> None:
    sha = tree.git("rev-parse", "HEAD^{tree}")
    (tree.folder / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    with pytest.raises(SettingsProblem, match=r"git cannot tell .*Mend that, or set CMF_VERSIONING=none"):
        record()


def test_a_lock_that_another_holds_on_a_runs_branch_is_told(tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmf.versioning.git_refs.LOCK_SECONDS", 0.2)
    with cmf.run("digits", "train") as run:
        lock = tree.folder / ".git/refs/heads/cmf" / (branch_name("digits", "train", run.key) + ".lock")
        lock.write_text("")
        with pytest.warns(VersioningWarning, match=r"\.lock is there: if no git process is at work, delete it"):
            run.input("in.csv")
        lock.unlink()
        (tree.folder / "model.pkl").write_text("m")
        run.output("model.pkl")
    found = uses(run.key)
    assert found["in.csv"].commit is None and found["model.pkl"].commit == execution(run.key).end_commit


def test_names_that_no_branch_can_have_give_a_branch(tree: WorkTree) -> None:
    for pipeline, stage in (
        ("a b/c", "..x~^:?*[\\"),
        ("@{", ".lock"),
        ("-", "é.lock"),
        ("x" * 300, "HEAD"),
        ("//", ".."),
    ):
        with cmf.run(pipeline, stage) as run:
            run.input("in.csv")
        assert execution(run.key).end_commit in tree.run_branches().values()
    assert tree.git("fsck", "--strict", "--no-dangling") == ""


def test_a_forked_child_commits_on_the_branch_of_its_run(tree: WorkTree) -> None:
    for name in ("a", "b", "c"):
        (tree.folder / name).write_text(name)
    with cmf.run("digits", "train") as run:
        run.input("a")
        child = os.fork()
        if child == 0:
            run.input("b")
            os._exit(0)
        os.waitpid(child, 0)
        run.input("c")
    names = tree.git("ls-tree", "--name-only", str(execution(run.key).end_commit)).splitlines()
    assert {"a.dvc", "b.dvc", "c.dvc"} <= set(names)


def test_a_forked_child_that_leaves_the_body_does_not_end_the_run(tree: WorkTree) -> None:
    child = -1
    with cmf.run("digits", "train") as run:
        run.input("in.csv")
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    text = "".join(file.read_text() for file in (tree.folder / ".cmf" / "journal").glob("*.jsonl"))
    assert text.count('"EndExecution"') == 1 and execution(run.key).status == "complete"


PARALLEL = """
import os, sys, warnings
warnings.simplefilter("error")
import cmf
me = sys.argv[1]
for i in range(6):
    with cmf.run("digits", f"train {me}") as run:
        run.input("in.csv")
        run.input("shared")
        with open(f"model-{me}-{i}", "w") as file:
            file.write(f"{me} {i}")
        run.output(f"model-{me}-{i}", type="Model")
        run.metrics(accuracy=i)
"""


def test_eight_processes_at_once_lose_nothing_and_leave_no_lock(tree: WorkTree) -> None:
    (tree.folder / "shared").mkdir()
    for i in range(20):
        (tree.folder / "shared" / str(i)).write_text(str(i))
    before = tree.untouched()
    command = [sys.executable, "-c", PARALLEL]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [subprocess.Popen([*command, str(n)], cwd=tree.folder, **pipes) for n in range(8)]
    for process in processes:
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0, out
    assert tree.untouched() == before
    assert tree.git("fsck", "--strict", "--no-dangling") == ""
    assert tree.dvc("status") == "Data and pipelines are up to date."
    runs = [n for n in cmf.query().executions() if isinstance(n, Execution)]
    assert len(runs) == 48 and all(run.status == "complete" for run in runs)
    assert sorted(tree.run_branches().values()) == sorted(str(run.end_commit) for run in runs)
    for run in runs:
        found = {path: use for path, use in uses(run.key).items() if path != "metrics"}
        assert len(found) == 3
        names = tree.git("ls-tree", "-r", "--name-only", str(run.end_commit)).splitlines()
        assert {f"{path}.dvc" for path in found} <= set(names)
    ignored = (tree.folder / ".gitignore").read_text().splitlines()
    assert len(ignored) == len(set(ignored)) == 50
