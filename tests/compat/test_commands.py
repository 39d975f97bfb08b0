"""cmflib's commands and functions, against a real server and a real DVC remote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from migrated import STAGES, make_project, run_program
from server_process import ServerProcess

import cmf
from cmf.cmfquery import CmfQuery
from cmf.core.errors import BadQuestion, FileProblem, InvalidValue, NotARepository, SettingsProblem, UnknownKey
from cmf.recording import close_repositories


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the pipeline ran, set up by `cmf init local`."""
    root = tmp_path_factory.mktemp("recorded") / "project"
    make_project(root)
    remotes = ["--path", str(root.parent / "bytes"), "--git-remote-url", str(root.parent / "code.git")]
    assert alias("init", "local", *remotes, "--cmf-server-url", "http://127.0.0.1:9", at=root).returncode == 0
    for stage in STAGES:
        run_program(stage, root)
    return root


@pytest.fixture
def clone(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project, as the current folder."""
    monkeypatch.chdir(recorded)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield recorded
    close_repositories()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'server.db'}") as process:
        monkeypatch.setenv("CMF_SERVER", process.url)
        yield process


def alias(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    """A command as it is typed; whatever happens, it shows no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "cmf.cli", *arguments], cwd=at, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_metadata_and_bytes_go_from_one_clone_to_another(clone: Path, server: ServerProcess, tmp_path: Path) -> None:
    assert "records sent to" in cmf.metadata_push("penguins", "./mlmd")
    assert "everything is on the server" in cmf.metadata_push("penguins")
    assert cmf.artifact_push("penguins").status == "success"
    other = tmp_path / "other"
    other.mkdir()
    where = ["--path", str(clone.parent / "bytes"), "--git-remote-url", "x"]
    assert alias("init", "local", *where, "--cmf-server-url", server.url, at=other).returncode == 0
    pulled = alias("metadata", "pull", "-p", "penguins", "-f", "./mlmd", at=other)
    assert pulled.returncode == 0 and "pulled from" in pulled.stdout, pulled.stderr
    brought = alias("artifact", "pull", "-p", "penguins", "-a", "model.json", at=other)
    assert brought.returncode == 0, brought.stderr
    assert (other / "models" / "model.json").read_bytes() == (clone / "models" / "model.json").read_bytes()
    assert not (other / "data").exists()
    assert alias("artifact", "pull", "-p", "penguins", at=other).returncode == 0
    assert (other / "data" / "raw.csv").read_bytes() == (clone / "data" / "raw.csv").read_bytes()
    listed = [alias("execution", "list", "-p", "penguins", at=root).stdout for root in (clone, other)]
    assert listed[0] == listed[1] and listed[0].count("penguins/") == len(STAGES), "ids are the same in every clone"


def test_a_server_answers_as_the_clone_does(clone: Path, server: ServerProcess) -> None:
    cmf.metadata_push("penguins")
    here, there, its = CmfQuery("mlmd"), CmfQuery(server.url), CmfQuery("mlmd", is_server=True)
    for query in (there, its):
        assert query.get_pipeline_names() == ["penguins"]
        assert query.get_pipeline_stages("penguins") == here.get_pipeline_stages("penguins")
        assert sorted(query.get_all_artifacts()) == sorted(here.get_all_artifacts())
        for ask in ("get_all_executions_in_pipeline", "get_all_artifacts_by_context"):
            assert getattr(query, ask)("penguins").equals(getattr(here, ask)("penguins")), ask
        (model,) = [name for name in query.get_all_artifacts() if "model.json" in name]
        assert query.get_all_parent_artifacts(model).equals(here.get_all_parent_artifacts(model))
        id_ = int(here.get_artifact(model)["id"][0])  # type: ignore[index]
        assert query.get_all_artifacts_by_ids_list([id_]).equals(here.get_all_artifacts_by_ids_list([id_]))
        with pytest.raises(UnknownKey):
            query.get_all_artifacts_for_execution(7)
        assert query.get_artifact("nothing") is None
    with pytest.raises(BadQuestion, match="ask CmfQuery of a folder"):
        there.get_metrics("training")


def test_one_execution_can_be_pulled_by_its_uuid(clone: Path, server: ServerProcess, tmp_path: Path) -> None:
    cmf.metadata_push("penguins")
    uuid = _uuid(clone)
    (tmp_path / "other").mkdir()
    os.chdir(tmp_path / "other")
    cmf.metadata_pull("penguins", execution_uuid=uuid)
    assert uuid in cmf.execution_list("penguins")
    assert cmf.execution_list("penguins").count("penguins/") == 1
    os.chdir(clone)


def _uuid(clone: Path) -> str:
    found = CmfQuery(str(clone / "mlmd")).get_all_exe_in_stage("penguins/train")
    return str(found[0].properties["Execution_uuid"])


def test_lists_name_what_there_is(clone: Path) -> None:
    assert cmf.pipeline_list() == "['penguins']"
    assert alias("pipeline", "list", at=clone).stdout == "['penguins']\n"
    heading, *rows = cmf.artifact_list("penguins", artifact_name="model.json").splitlines()
    assert heading.split() == ["id", "name", "type", "create_time_since_epoch", "url", "uri"]
    assert len(rows) == 1 and " Model " in rows[0] and "s3://bucket/model.json" in rows[0]
    assert _uuid(clone) in cmf.execution_list("penguins", execution_uuid=_uuid(clone))


def test_an_export_overwrites_nothing(clone: Path, tmp_path: Path) -> None:
    file = tmp_path / "penguins.json"
    cmf.metadata_export("penguins", str(file))
    assert len(json.loads(file.read_text())["Pipeline"][0]["stages"]) == len(STAGES)
    with pytest.raises(FileProblem, match="is there already"):
        cmf.metadata_export("penguins", str(file))


def test_failures_are_errors_and_exit_codes(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMF_SERVER", "http://127.0.0.1:9")
    wrong = [
        ("metadata", "push", "-p", "penguins"),
        ("execution", "list", "-p", "nowhere"),
        ("dvc", "ingest", "-f", "nowhere/mlmd"),
        ("init", "osdfremote", "--path", "https://x", "--git-remote-url", "x", "--key-id", "k"),
    ]
    for arguments in wrong:
        done = alias(*arguments, at=clone)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert done.stderr.startswith("cmf: ") and done.stderr.count("\n") == 1, done.stderr
    assert alias("metadata", "push", at=clone).returncode == 2
    for twice in (("execution", "list", "-p", "penguins", "-p", "other"), ("init", "local", "--path=a", "--path", "a")):
        done = alias(*twice, at=clone)
        assert (done.returncode, done.stdout) == (2, "") and "is given 2 times" in " ".join(done.stderr.split())
    with pytest.raises(UnknownKey, match="nearest: penguins"):
        cmf.artifact_list("penguin")
    for call in (cmf.metadata_push, cmf.metadata_export, cmf.artifact_push, cmf.repo_push):
        with pytest.raises(UnknownKey):
            call("nowhere")
    with pytest.raises(InvalidValue, match="is no UUID"):
        cmf.metadata_push("penguins", execution_uuid="no-uuid")
    with pytest.raises(UnknownKey, match="the artifact nothing"):
        cmf.artifact_pull("penguins", artifact_name="nothing")
    with pytest.raises(NotARepository):
        cmf.pipeline_list(str(tmp_path / "mlmd"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsProblem, match="no server is set"):
        monkeypatch.delenv("CMF_SERVER")
        cmf.metadata_pull("penguins")


def test_a_server_that_has_nothing_of_it_is_an_error(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(BadQuestion, match="has nothing of the pipeline 'penguins'"):
        cmf.metadata_pull("penguins")
    close_repositories()


def test_tensorboard_logs_that_are_not_sent_are_spoken_of(clone: Path, server: ServerProcess) -> None:
    with pytest.warns(UserWarning, match="logs of TensorBoard are not sent"):
        cmf.metadata_push("penguins", tensorboard_path="runs")
    told = alias("metadata", "push", "-p", "penguins", "-t", "runs", at=clone)
    assert told.returncode == 0 and "logs of TensorBoard are not sent" in told.stderr


def test_keys_and_passwords_stay_out_of_git_and_of_sight(tmp_path: Path) -> None:
    keys = ["--access-key-id", "THE-ID", "--secret-key", "THE-KEY", "--git-remote-url", "/srv/code.git"]
    where = ["--url", "s3://bucket/store", "--endpoint-url", "http://127.0.0.1:9000"]
    assert alias("init", "minioS3", *where, *keys, at=tmp_path).returncode == 0
    assert "THE-KEY" not in (tmp_path / ".dvc" / "config").read_text()
    local = tmp_path / ".dvc" / "config.local"
    assert "secret_access_key = THE-KEY" in local.read_text() and local.stat().st_mode & 0o077 == 0
    shown = alias("init", "show", at=tmp_path)
    assert "s3://bucket/store" in shown.stdout and "THE-" not in shown.stdout
    dvc = subprocess.run(
        [sys.executable, "-m", "dvc", "remote", "list"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "s3://bucket/store" in dvc.stdout
    ignored = subprocess.run(["git", "check-ignore", ".dvc/config.local"], cwd=tmp_path, capture_output=True)
    assert ignored.returncode == 0
    origin = subprocess.run(["git", "remote", "-v"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "cmf_origin\t/srv/code.git" in origin


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"type": "local"}, "local needs path"),
        ({"type": "floppy", "path": "a"}, "'floppy' is no type of remote"),
        ({"type": "local", "path": "a", "secret_key": "k"}, "secret_key: not of local"),
        ({"type": "minioS3", "url": "s3://b"}, "minioS3 needs endpoint_url"),
    ],
)
def test_arguments_of_another_kind_of_remote_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsProblem, match=problem):
        cmf.cmf_init(**arguments)
    assert not list(tmp_path.iterdir())
    assert cmf.non_related_args("local", {"path": "a", "user": "b", "port": 0}) == ["user"]


def test_code_is_pushed_and_pulled_where_that_is_asked_for(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """repo push sends bytes, metadata, the branch and those of the executions; another clone pulls them."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ana")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ana@example.org")

    def git(*arguments: str, at: Path) -> str:
        return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet", "--bare", "--initial-branch", "main", "code.git", at=tmp_path)
    root, other = tmp_path / "project", tmp_path / "other"
    make_project(root)
    git("init", "--quiet", "--initial-branch", "main", at=root)
    remotes = ["--path", str(tmp_path / "bytes"), "--git-remote-url", str(tmp_path / "code.git")]
    assert alias("init", "local", *remotes, "--cmf-server-url", server.url, at=root).returncode == 0
    git("add", "*.py", ".dvc", at=root)
    git("commit", "--quiet", "-m", "start", at=root)
    run_program("prepare", root)
    pushed = alias("repo", "push", "-p", "penguins", at=root)
    assert pushed.returncode == 0, pushed.stderr
    branches = git("branch", "--list", at=tmp_path / "code.git")
    assert "main" in branches and "cmf/penguins/prepare/" in branches
    git("clone", "--quiet", str(tmp_path / "code.git"), "other", at=tmp_path)
    assert alias("init", "--server", server.url, at=other).returncode == 0
    pulled = alias("repo", "pull", "-p", "penguins", at=other)
    assert pulled.returncode == 0, pulled.stderr
    assert (other / "parsed" / "train.csv").read_bytes() == (root / "parsed" / "train.csv").read_bytes()
