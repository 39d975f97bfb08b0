"""Reproducing what another site recorded: commits are fetched, what is missing is named, nothing is taken on trust."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from typed import TRAIN, Site

from cmf.core.delta import operations
from cmf.core.errors import FileProblem
from cmf.core.identity import file_key, md5_of
from cmf.core.model import Code
from cmf.core.operations import PutArtifact, PutUse, RunIdentity, SetProperty, put_execution
from cmf.core.records import Stamped
from cmf.pulled import write_pulled
from cmf.repository import Repository
from cmf.reproducing.holdings import Part
from cmf.reproducing.laying import put
from cmf.scratch import Scratch
from cmf.versioning.work_tree import WorkTree

Make = Callable[..., Site]


@pytest.fixture
def author(site: Site, make: Make) -> Site:
    """`site`, with a remote that it has pushed its code to, and one more run since."""
    hub = make("hub.git")
    hub.git("config", "core.bare", "true")
    site.git("remote", "add", "origin", (hub.folder / ".git").as_uri())
    site.git("push", "--quiet", "origin", "main")
    site.python("train.py", "4")
    return site


@pytest.fixture
def other(author: Site, make: Make) -> Site:
    """A clone of the same code at another site, made before the author went on; it has pulled the author's records."""
    here = make("here")
    here.git("remote", "add", "origin", author.git("remote", "get-url", "origin").strip())
    here.git("pull", "--quiet", "origin", "main")
    return here


def pull(source: Site, target: Site) -> None:
    theirs, ours = Repository(source.folder), Repository.create(target.folder)
    state = theirs.view.state(list(theirs.view.all_keys()))
    write_pulled(ours.folder / "journal" / "pulled", [Stamped(*told) for told in operations(state)], None)
    theirs.close()
    ours.close()


def test_a_commit_that_is_not_here_is_fetched_from_the_remote(author: Site, other: Site) -> None:
    author.git("commit", "--quiet", "--allow-empty", "--message=Later")
    author.git("push", "--quiet", "origin", "main")
    author.python("train.py", "5")
    pull(author, other)
    other.write("train.txt", (author.folder / "train.txt").read_text())
    before = other.state()

    done = other.cmf("reproduce", "model.txt", "--run", "-o", "../again")

    assert "2 of 2 outputs are identical" in done.stdout
    assert "recorded at another site" in done.stderr
    assert other.state() == before
    assert not (other.folder / ".git/FETCH_HEAD").read_text().startswith(author.git("rev-parse", "HEAD").strip())


@pytest.mark.parametrize("prefix", ["cmf", "cmf-runs"])
def test_a_snapshot_is_fetched_by_the_branch_of_the_run(author: Site, other: Site, prefix: str) -> None:
    if prefix == "cmf-runs":  # somebody has a branch `cmf`, beside which git allows no `cmf/…`
        author.git("branch", "-D", *author.git("branch", "--list", "--format=%(refname:short)", "cmf/*").split())
        author.git("branch", "cmf")
    author.write("train.py", TRAIN.replace("* factor", "* factor + 'dirty'"))
    author.python("train.py", "2")
    pull(author, other)
    other.write("train.txt", (author.folder / "train.txt").read_text())
    branch = author.json("show", "model.txt")["recipe"]["branch"]
    assert branch.startswith(f"{prefix}/digits/train/")
    assert f"{branch}\n" in author.cmf("show", "model.txt").stdout
    assert f"{branch.replace(prefix, 'cmf')}  (not here)\n" in other.cmf("show", "model.txt").stdout
    told = other.cmf("reproduce", "model.txt", "--run", code=1).stderr
    assert f"git push {author.git('remote', 'get-url', 'origin').strip()} cmf/" in told
    assert branch in told

    author.git("push", "--quiet", "origin", branch)
    told = other.cmf("reproduce", "model.txt", "--run").stdout
    assert "2 of 2 outputs are identical" in told
    assert (next((other.folder / ".cmf/reproduced").iterdir()) / "model.txt").read_text().endswith("dirty")


def test_a_shallow_clone_stays_one(author: Site, make: Make) -> None:
    author.git("commit", "--quiet", "--allow-empty", "--message=Later")
    author.git("push", "--quiet", "origin", "main")
    shallow = make("shallow", Site(author.folder.parent / "hub.git" / ".git", author.environment), "--depth=1")
    pull(author, shallow)
    shallow.write("train.txt", (author.folder / "train.txt").read_text())
    assert "2 of 2" in shallow.cmf("reproduce", "model.txt", "--run").stdout
    assert shallow.git("rev-parse", "--is-shallow-repository").strip() == "true"


def test_nothing_is_fetched_from_an_address_that_only_a_record_names(author: Site, make: Make) -> None:
    stranger = make("stranger")
    stranger.git("commit", "--quiet", "--allow-empty", "--message=Other code")
    pull(author, stranger)
    told = stranger.cmf("reproduce", "model.txt", code=1).stderr
    assert "if you trust file:///" in told
    assert "git remote add NAME" in told


def test_missing_inputs_are_named_and_nothing_is_run_without_them(author: Site, other: Site) -> None:
    pull(author, other)
    done = other.cmf("reproduce", "model.txt", "--run", code=1)
    assert "missing  train.txt  (" in done.stdout
    assert "1 of 1 inputs are missing, first train.txt" in done.stderr
    again = other.cmf("reproduce", "model.txt", "--run", code=1).stderr
    assert "is there already" in again
    remove = again.partition("remove it with '")[2].partition("'")[0]
    other.run("bash", "-euc", remove)
    assert "the folder is prepared" in other.cmf("reproduce", "model.txt", "--run", code=1).stderr


def test_inputs_that_are_not_here_come_from_the_dvc_remote(site: Site, make: Make, tmp_path: Path) -> None:
    site.git("rm", "--quiet", ".gitignore")
    site.cmf("init", "--artifacts", str(tmp_path / "bytes"))
    hub = make("hub.git")
    hub.git("config", "core.bare", "true")
    site.git("remote", "add", "origin", (hub.folder / ".git").as_uri())
    site.git("add", ".dvc", ".dvcignore")
    site.git("commit", "--quiet", "--message=DVC")
    site.python("prepare.py")
    site.python("train.py", "4")
    site.git("push", "--quiet", "origin", "main", "refs/heads/cmf/*")
    site.cmf("artifacts", "push", code=1)  # a model from before DVC was set up has no bytes
    other = make("other", Site(hub.folder / ".git", site.environment), "--branch=main")
    pull(site, other)
    told = other.json("reproduce", "model.txt", "--run")
    assert [laid["state"] for laid in told["inputs"]] == ["cache"]
    assert [out["judgement"] for out in told["outputs"]] == ["identical", "identical"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (None, "no commit of its code was recorded"),
        (Code(commit="--upload-pack=touch evil"), "which is no commit's id"),
        (Code(commit="0" * 40, remote="ext::sh -c touch% evil"), "if you trust ext::sh"),
        (Code(commit="0" * 40), "no remote to fetch it from was recorded"),
    ],
)
def test_code_that_cannot_be_had_is_said_to_be_so(site: Site, code: Code | None, told: str) -> None:
    key = _forge(site, code, "model.txt")
    assert told in site.cmf("reproduce", key, "--run", code=1).stderr
    assert not (site.folder / ".cmf" / "reproduced").exists()
    assert not (site.folder / "evil").exists()


def test_outside_of_git_it_says_where_to_go(tmp_path: Path, site: Site) -> None:
    bare = Site(tmp_path / "no-git", site.environment)
    (bare.folder / ".cmf").mkdir(parents=True)
    bare.write("run.py", "import cmf\nwith cmf.run('p', 's') as run:\n    run.metrics(a=1)\n")
    bare.python("run.py")
    key = bare.json("log")[0]["key"]
    assert "is not in a git repository" in bare.cmf("reproduce", key, code=1).stderr
    assert "none was recorded" in bare.cmf("show", key).stdout.partition("To run it again")[2]


@pytest.mark.parametrize(
    "path",
    ["../evil.txt", "a/../../evil.txt", "/tmp/cmf-evil.txt", ".git", ".git/config", ".CMF/site", "link/e.txt"],
)
def test_recorded_paths_never_lead_out_of_the_folder(site: Site, tmp_path: Path, path: str) -> None:
    """A record of another site names a path of its choice for bytes that are here."""
    (site.folder / "link").symlink_to("../elsewhere")
    (tmp_path / "elsewhere").mkdir()
    site.git("add", "link")
    site.git("commit", "--quiet", "--message=A link out of the tree")
    commit = site.git("rev-parse", "HEAD").strip()
    raw = (site.folder / "raw.txt").read_bytes()
    cache = site.folder / ".cmf/cache/files/md5" / md5_of(raw)[:2]
    cache.mkdir(parents=True, exist_ok=True)
    (cache / md5_of(raw)[2:]).write_bytes(raw)
    key = _forge(site, Code(commit=commit), path, len(raw), md5_of(raw))
    before = _files(tmp_path)
    told = site.json("reproduce", key)
    assert told["inputs"][0]["state"] == "missing"
    made = _files(tmp_path) - before
    assert all(file.is_relative_to(site.folder / ".cmf") or ".git/worktrees" in str(file) for file in made)
    assert not (tmp_path / "elsewhere" / "e.txt").exists()
    assert not Path("/tmp/cmf-evil.txt").exists()


def test_an_input_behind_a_link_that_stays_in_the_tree_is_put_where_it_leads(with_dvc: Site) -> None:
    site = with_dvc
    site.write("store/.gitignore", "in.txt\n")
    (site.folder / "data").symlink_to("store")
    site.write("store/in.txt", "in")
    code = "import cmf\nwith cmf.run('p', 'linked') as run:\n    run.input('data/in.txt')\n    run.input('empty')\n"
    site.write(
        "linked.py", code + "    open('out.txt', 'w').write(open('data/in.txt').read()); run.output('out.txt')\n"
    )
    site.git("add", "store/.gitignore", "data")
    site.git("commit", "--quiet", "--message=A link in the tree")
    site.run("mkdir", "empty")
    site.python("linked.py")
    told = site.json("reproduce", "out.txt", "--run", "-o", "../again")
    assert {laid["path"]: laid["state"] for laid in told["inputs"]} == {"data/in.txt": "cache", "empty": "cache"}
    assert (site.folder / "../again/store/in.txt").read_text() == "in"


def test_a_manifest_that_names_files_outside_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "images").mkdir(parents=True)
    source = tmp_path / "source"
    source.write_text("evil")
    (base / "out").symlink_to(tmp_path)
    scratch = Scratch(base / "scratch")
    for path, name in [("images", "../../evil"), ("images", "/evil"), ("images", "../.git"), ("out/deep", "evil")]:
        with pytest.raises(FileProblem):
            put(WorkTree(base, scratch), path, [Part("well", "", source), Part(name, md5_of(b"evil"), source)])
    scratch.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "source"]


def test_a_damaged_object_of_the_cache_is_not_put_anywhere(with_dvc: Site) -> None:
    site = with_dvc
    md5 = md5_of((site.folder / "train.txt").read_bytes())
    damaged = site.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    damaged.chmod(0o644)
    damaged.write_text("damaged")
    key = site.json("log", "--stage", "train")[0]["key"]
    done = site.cmf("reproduce", key, "-o", "../again", code=1)
    assert f"{damaged}: its content is not what it was" in done.stderr
    assert not (site.folder / "../again").exists()
    assert site.git("worktree", "list").count("\n") == 1


def test_a_run_that_writes_outside_of_the_tree_is_not_run(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    site.write(
        "far.py",
        f"import cmf\nopen({str(out)!r}, 'a').write('x')\nwith cmf.run('p', 'far') as run:\n"
        f"    run.output({str(out)!r})\n",
    )
    site.python("far.py")
    told = site.cmf("reproduce", site.json("log")[0]["key"], "--run", code=1).stderr
    assert f"it writes outside of the tree, to {out}" in told
    assert out.read_text() == "x"


def test_a_command_that_fails_says_so(site: Site) -> None:
    site.write(
        "fails.py",
        "import cmf, os, sys\nwith cmf.run('p', 'f') as run:\n    run.metrics(a=1)\n"
        "sys.exit('AGAIN' in os.environ and 7)\n",
    )
    site.python("fails.py")
    key = site.json("log")[0]["key"]
    assert "ended with exit code 7" in site.cmf("reproduce", key, "--run", code=1, AGAIN="1").stderr


def test_differences_of_the_environment_are_shown_before_it_runs(site: Site) -> None:
    commit = site.git("rev-parse", "HEAD").strip()
    versions = {"msgspec": "0.0.1", "no-such-thing": {"version": "2.0"}}
    key = _forge(site, Code(commit=commit), "cmf_artifacts/environment.json", types=("Environment",), about=versions)
    told = site.cmf("reproduce", key).stdout
    assert "The environment differs" in told
    rows = {line.split()[0]: line.split()[1:] for line in told.partition("here\n")[2].splitlines() if line.strip()}
    assert rows["python"][:2] == ["cpython", "3.0.0"]
    assert rows["msgspec"][0] == "0.0.1"
    assert rows["no-such-thing"] == ["2.0", "not", "installed"]
    assert "cpython 3.0.0" in site.cmf("show", key).stdout.partition("To run it again")[2]


def test_distributions_are_installed_as_recorded_for_one_run_alone(site: Site, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "cmf_test_oracle-2.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("cmf_test_oracle.py", "ANSWER = 42\n")
        wheel.writestr(
            "cmf_test_oracle-2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: cmf-test-oracle\nVersion: 2.0\n"
        )
        wheel.writestr(
            "cmf_test_oracle-2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("cmf_test_oracle-2.0.dist-info/RECORD", "")
    commit = site.git("rev-parse", "HEAD").strip()
    told: dict[str, object] = {"cmf-test-oracle": "2.0"}
    command = (sys.executable, "-c", "import cmf_test_oracle; print(cmf_test_oracle.ANSWER)")
    key = _forge(site, Code(commit=commit), "cmf_artifacts/e.json", types=("Environment",), about=told, command=command)
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    assert "exit code 1" in site.cmf("reproduce", key, "--run", "-o", "../without", code=1, **offline).stderr
    assert "\n42\n" in site.cmf("reproduce", key, "--run", "--env", "-o", "../with", **offline).stdout
    (tmp_path / "cmf_test_oracle-2.0-py3-none-any.whl").unlink()
    done = site.cmf("reproduce", key, "--run", "--env", "-o", "../gone", code=1, **offline)
    assert "the recorded distributions cannot be installed: ERROR: " in done.stderr
    assert not (tmp_path / "gone").exists()


def _forge(
    site: Site,
    code: Code | None,
    path: str,
    size: int = 1,
    md5: str = "0" * 32,
    types: tuple[str, ...] = ("Dataset",),
    about: dict[str, object] | None = None,
    command: tuple[str, ...] = (sys.executable, "-c", "open('evil', 'w')"),
) -> str:
    """An execution with one input, pulled from a site that says of it what it likes; → its key."""
    start = put_execution(
        RunIdentity(
            pipeline="p",
            stage="s",
            type="s",
            uuid="1",
            started_at="2026-01-02T03:04:05.000000Z",
            project="x",
            command=command,
            code=code,
        )
    )
    told = [
        start,
        PutArtifact(key=file_key(md5), name="x", types=types, size_bytes=size),
        PutUse(execution=start.key, artifact=file_key(md5), direction="input", path=path),
    ]
    if about:
        told += [
            SetProperty(key=file_key(md5), name="python", value="cpython 3.0.0"),
            SetProperty(key=file_key(md5), name="distributions", value=about),  # type: ignore[arg-type]
        ]
    stamped = [Stamped(f"2026-01-02T03:04:05.000000Z elsewhere {i:012}", op) for i, op in enumerate(told, 1)]
    write_pulled(site.folder / ".cmf" / "journal" / "pulled", stamped, None)
    return start.key


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
