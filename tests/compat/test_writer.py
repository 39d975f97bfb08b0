"""`cmf.Cmf` and `CmfQuery` beside the well-trodden path: how executions end, what is refused, ids, replays, lineage."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cmf
from cmf import cmfquery
from cmf.compat.ids import id_of
from cmf.core.errors import FileProblem, InvalidValue, NotARepository, UnknownKey
from cmf.core.model import Artifact, Execution
from cmf.core.store import Filters
from cmf.recording import close_repositories, open_repository
from cmf.repository import Repository


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.csv").write_text("1,2\n")
    yield tmp_path
    close_repositories()


def executions(clone: Path) -> list[Execution]:
    view = open_repository(clone).view
    found = view.list_nodes("execution", Filters(), 100, None).items
    return [node for node in found if isinstance(node, Execution)][::-1]


def test_an_execution_ends_with_the_next_one_with_finalize_or_with_its_block(clone: Path) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.create_context("a")
    writer.create_execution("first")
    writer.create_execution("second")
    assert [(e.type, e.status) for e in executions(clone)] == [("first", "complete"), ("second", "running")]
    writer.finalize()
    writer.finalize()
    assert [e.status for e in executions(clone)] == ["complete", "complete"]
    writer.log_execution_metrics("late", {"accuracy": 1})
    assert len(executions(clone)) == 2, "what follows finalize is of the same execution"
    with pytest.raises(ValueError, match="no data"), cmf.Cmf(pipeline_name="digits") as block:
        block.create_context("a")
        block.create_execution("third")
        raise ValueError("no data")
    assert executions(clone)[-1].error == "ValueError: no data"


@pytest.mark.parametrize(
    ("ending", "status"),
    [("", "complete"), ("raise ValueError('no data')", "failed"), ("raise KeyboardInterrupt", "aborted")],
)
def test_an_execution_that_nobody_finalizes_ends_as_its_program_does(clone: Path, ending: str, status: str) -> None:
    program = f"""
import os, cmf
writer = cmf.Cmf(pipeline_name="digits")
writer.log_dataset("raw.csv", "input")
if os.fork() == 0:
    raise SystemExit  # a child does not end what its parent began
os.wait()
assert cmf.cmfquery.CmfQuery().get_pipeline_stages("digits") == ["digits/job"]
{ending}
"""
    (clone / "job.py").write_text(program)
    subprocess.run([sys.executable, "job.py"], cwd=clone, stderr=subprocess.DEVNULL, timeout=60)
    (execution,) = executions(clone)
    assert (execution.stage, execution.type, execution.status) == ("job", "job", status)
    journal = "".join(file.read_text() for file in (clone / ".cmf" / "journal").glob("*.jsonl"))
    assert journal.count("EndExecution") == 1


def test_paths_count_from_the_folder_of_the_file_and_nothing_else_moves(clone: Path, tmp_path: Path) -> None:
    (clone / "project" / "data").mkdir(parents=True)
    (clone / "project" / "data" / "raw.csv").write_text("3\n")
    writer = cmf.Cmf(filepath="project/mlmd", pipeline_name="")
    assert (writer.pipeline_name, writer.branch_name) == ("project", "mlmd")
    os.chdir("/")
    found = writer.log_dataset("data/raw.csv", "input")
    assert found.name.startswith("data/raw.csv:") and Path.cwd() == Path("/")
    assert not (clone / "project" / "mlmd").exists()
    writer.finalize()


def test_what_cannot_be_recorded_is_an_error_that_leaves_no_trace(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.create_context("train")
    writer.create_execution("Train")
    before = open_repository(clone).view.state()
    with pytest.raises(FileProblem, match="nothing.csv"):
        writer.log_dataset("nothing.csv", "input")
    with pytest.raises(InvalidValue, match="what is elsewhere is not fetched"):
        writer.log_dataset("s3://bucket/raw.csv", "input")
    with pytest.raises(InvalidValue, match="neither 'input' nor 'output'"):
        writer.log_model("raw.csv", "read")
    with pytest.raises(InvalidValue, match="log_metric"):
        writer.commit_metrics("loss")
    with pytest.raises(InvalidValue, match="is empty"):
        writer.create_dataslice("none").commit()
    with pytest.raises(InvalidValue, match="cannot be the name of a file"):
        writer.log_metric("../loss", {"loss": 1.5})
        writer.commit_metrics("../loss")
    with pytest.raises(UnknownKey, match="log the dataset before its labels"):
        writer.log_label("raw.csv", "unknown.csv")
    for wrong in (-1, 2**60, True, "7"):
        with pytest.raises(InvalidValue, match="is no id|artifact_id must be a whole number, not str"):
            writer.get_artifact(wrong)  # type: ignore[arg-type]
    for call in (writer.get_artifact, writer.update_execution):
        with pytest.raises(UnknownKey, match="the id 7 of an"):
            call(7)
    with pytest.raises(UnknownKey):
        writer.update_context("Pipeline_Stage", "digits/train", 7)
    (elsewhere := tmp_path_factory.mktemp("elsewhere")).joinpath("mlmd").touch()
    with pytest.raises(NotARepository):
        cmfquery.CmfQuery(str(elsewhere / "mlmd"))
    after = open_repository(clone).view.state()
    assert {**after.artifacts, **after.uses} == {**before.artifacts, **before.uses}
    writer.finalize()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda w: cmf.Cmf(7), "filepath must be a path, as text or as a Path, not int (7)"),
        (lambda w: w.create_execution("E", ["C", 1]), "create_execution: custom_properties must be a dict"),
        (lambda w: w.log_dataset(123, "input"), "log_dataset: url must be a path"),
        (lambda w: w.log_dataset("raw.csv", "input", {1: 2}), "name must be text, not int"),
        (
            lambda w: w.log_metric("m", [1]),
            "log_metric: custom_properties must be a dict of names and values, not list",
        ),
        (lambda w: w.log_metric("m", {"loss": object()}), "metric 'loss' is a object, which JSON cannot hold"),
        (lambda w: w.update_dataset_url("raw.csv", "u"), "artifact must be an artifact, as get_artifact(id) gives it"),
        (lambda w: w.update_model_url([3], "u"), "artifact must be an artifact"),
        (lambda w: w.log_dataset_with_version("a", None, "input"), "version must be text, not NoneType"),
        (lambda w: w.create_dataslice("s").add_data(b"raw.csv"), "add_data: path must be a path"),
        (lambda w: cmfquery.CmfQuery().get_artifact(b"raw.csv"), "get_artifact: name must be text, not bytes"),
        (lambda w: cmfquery.CmfQuery().get_artifact("\ud800"), "get_artifact: name '\\ud800' is not valid Unicode"),
        (lambda w: cmfquery.CmfQuery().get_all_executions_by_ids_list(7), "exe_ids must be a list of ids, not int"),
        (lambda w: cmf.metadata_push("p", execution_uuid=7), "execution_uuid must be text, not int"),
    ],
)
def test_an_argument_of_another_type_is_told_by_its_name(
    clone: Path, call: Callable[[cmf.Cmf], object], problem: str
) -> None:
    with cmf.Cmf(pipeline_name="digits") as writer:
        with pytest.raises(InvalidValue, match=re.escape(problem)):
            call(writer)
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'event'"):
            writer.log_dataset("raw.csv")  # type: ignore[call-arg]
        assert writer.log_dataset(clone / "raw.csv", event="input").name.startswith("raw.csv:")


def test_what_a_call_gives_is_what_a_question_answers(clone: Path) -> None:
    (clone / "copy.csv").write_text("1,2\n")
    (clone / "model.pkl").write_text("a model")
    with cmf.Cmf(pipeline_name="digits", custom_properties={"owner": "ana"}) as writer:
        contexts = [
            writer.parent_context,
            writer.create_context("train", {"team": "a"}),
            writer.create_context("train"),
        ]
        for is_new in (True, False):
            begun = writer.create_execution("Train", {"C": 1}, create_new_execution=is_new)
            assert begun == writer.update_execution(begun.id)
        made = [
            writer.log_model("model.pkl", "output", model_name="m", custom_properties={"depth": 2}),
            writer.log_model("model.pkl", "input"),
            writer.log_dataset("raw.csv", "input", {"rows": 1}),
            writer.log_dataset("copy.csv", "output"),
            writer.log_execution_metrics("scores", {"accuracy": 0.5}),
            writer.log_validation_output("v1"),
            writer.log_dataset_with_version("s3://b/x", "d" * 32, "input", {"url": "s3://b/x"}),
        ]
        writer.update_existing_artifact(made[2], {"rows": 2})
        assert made[2].custom_properties == {"rows": 2}
        writer.update_model_url([made[0]], "s3://b/model")
        graph = writer._session.graph
        assert contexts[1:] == [graph.context(context.id) for context in contexts[1:]]
        assert (contexts[0].custom_properties, contexts[2].custom_properties) == ({"owner": "ana"}, {"team": "a"})
    assert made[0].properties["url"] == "s3://b/model"
    query = cmfquery.CmfQuery()
    for artifact in (made[0], *made[2:]):
        known = query.get_artifact_df(artifact).iloc[0].to_dict()
        known.pop("custom_properties_rows", None)  # those of the copy are of before the update
        found = query.get_artifact(artifact.name)
        assert found is not None
        asked = found.iloc[0].to_dict()
        asked.pop("custom_properties_rows", None)
        assert known == asked and known["create_time_since_epoch"] > 0


def test_a_forked_child_is_told_of_what_it_records_without_the_graph(clone: Path) -> None:
    program = """
import os, cmf
with cmf.Cmf(pipeline_name="digits") as writer:
    writer.create_context("train", {"team": "a"})
    writer.create_execution("Train", {"C": 1})
    if os.fork() == 0:
        model = writer.log_model("raw.csv", "output", custom_properties={"depth": 2})
        assert model.name.startswith("raw.csv:") and model.custom_properties == {"depth": 2}
        assert model.create_time_since_epoch > 0
        context = writer.create_context("test", {"team": "b"})
        assert (context.name, context.custom_properties) == ("digits/test", {"team": "b"})
        execution = writer.create_execution("N", {"C": 2}, create_new_execution=False)
        assert execution.name == "N" and execution.custom_properties == {"C": 2}
        writer.finalize()
        os._exit(0)
    assert os.wait()[1] == 0
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=clone, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [e.status for e in executions(clone)] == ["complete", "complete"]


def test_ids_are_made_of_keys_and_outlive_the_view(clone: Path) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.create_context("train")
    execution = writer.create_execution("Train")
    file = writer.log_dataset("raw.csv", "input")
    elsewhere = writer.replay("input", "s3://b/x", "etag:notHexAtAll", "Dataset", None, None)
    metrics = writer.log_execution_metrics("scores", {"accuracy": 1})
    writer.finalize()
    close_repositories()
    repository = Repository(clone, catch_up=False)
    repository.rebuild()
    repository.close()
    again = cmf.Cmf(pipeline_name="digits")
    for artifact in (file, elsewhere, metrics):
        assert again.get_artifact(artifact.id).key == artifact.key
        assert artifact.id == id_of(artifact.key) < 2**53
    assert again.update_execution(execution.id).key == execution.key
    frame = cmfquery.CmfQuery().get_all_artifacts_by_ids_list([file.id, elsewhere.id, metrics.id])
    assert sorted(frame["id"]) == sorted([file.id, elsewhere.id, metrics.id])


def test_properties_are_those_of_ml_metadata_and_plain_values_too(clone: Path) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.create_context("train")
    execution = writer.create_execution("Train", {"C": 0.5, "seed": 7, "name": "x", "gone": None})
    properties = execution.custom_properties
    assert (properties["seed"].int_value, properties["C"].double_value, properties["C"].string_value) == (7, 0.5, "0.5")
    assert properties["seed"] == 7 and properties["name"] == "x" and str(properties["C"]) == "0.5"
    assert properties["seed"].HasField("int_value") and properties["name"].WhichOneof("value") == "string_value"
    assert "unknown" not in properties and properties["unknown"].string_value == ""
    row = cmfquery.CmfQuery().get_all_executions_by_ids_list([execution.id]).iloc[0]
    assert (row["custom_properties_C"], row["custom_properties_seed"]) == (0.5, 7)
    writer.finalize()


def test_a_dump_replayed_elsewhere_gives_the_same_executions_however_often(clone: Path, tmp_path: Path) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.create_context("train", {"team": "a"})
    key = writer.create_execution("Train", {"C": 1}).key
    writer.log_dataset("raw.csv", "input", {"rows": 1})
    writer.log_execution_metrics("scores", {"accuracy": 0.5})
    writer.finalize()
    dumped = cmfquery.CmfQuery().dumptojson("digits")
    assert dumped is not None
    (other := tmp_path / "other").mkdir()
    (other / ".cmf").mkdir()
    for _ in range(2):
        replay(json.loads(dumped), other)
    (execution,) = executions(other)
    assert (execution.properties["C"], execution.status) == (1, "complete")
    replay(json.loads(dumped), clone)
    assert [e.key for e in executions(clone)] == [key], "it is known here, and taken up"
    view = open_repository(other).view
    found = view.list_nodes("artifact", Filters(type="Dataset"), 10, None).items
    assert [(node.name, node.properties.get("rows")) for node in found if isinstance(node, Artifact)] == [
        ("raw.csv", 1)
    ]


def replay(dumped: dict[str, object], into: Path) -> None:
    """What cmflib's server does with a push."""
    (pipeline,) = dumped["Pipeline"]  # type: ignore[misc]
    writer = cmf.Cmf(str(into / "mlmd"), pipeline["name"], is_server=True)
    for stage in pipeline["stages"]:
        writer.merge_created_context(stage["name"], stage["custom_properties"])
        for execution in stage["executions"]:
            properties, custom = execution["properties"], execution["custom_properties"]
            writer.merge_created_execution(execution["type"], properties["Execution"], properties, custom)
            for event in execution["events"]:
                artifact = event["artifact"]
                direction = {3: "input", 4: "output"}[event["type"]]
                told = artifact["properties"], artifact["custom_properties"]
                if artifact["type"] == "Metrics":
                    writer.log_execution_metrics_from_client(artifact["name"], artifact["custom_properties"])
                elif artifact["type"] == "Environment":
                    writer.log_python_env_from_client(artifact["name"], artifact["uri"], artifact["properties"])
                else:
                    writer.log_dataset_with_version(artifact["name"], artifact["uri"], direction, *told)
    writer.finalize()


def test_everything_else_that_can_be_replayed(clone: Path) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.merge_created_context("digits/train")
    writer.merge_created_execution("Train", "python train.py", None, {"C": 1}, "kept", create_new_execution=False)
    md5 = "0123456789abcdef0123456789abcdef"
    model = writer.log_model_with_version(f"m.pkl:{md5}:3", "OUTPUT", {"uri": md5, "model_name": "m"}, {"depth": 2})
    assert (model.uri, model.properties["model_name"], model.custom_properties["depth"]) == (md5, "m", 2)
    assert writer.log_label_with_version(f"l.csv:{'d' * 32}", "d" * 32).name == f"l.csv:{'d' * 32}"
    steps = writer.log_step_metrics_from_client("loss", "f" * 32, {"url": "s3://b/loss"})
    assert (steps.type, steps.properties["url"]) == ("Step_Metrics", "s3://b/loss")
    dataslice = writer.create_dataslice("best").log_dataslice_from_client("e" * 32, {"Commit": "e" * 32})
    assert dataslice.type == "Dataslice"
    with pytest.raises(InvalidValue, match="has no hash"):
        writer.log_model_with_version("m.pkl", "input")
    writer.finalize()
    assert executions(clone)[0].name == "kept"


def test_a_ladder_of_diamonds_is_walked_once(clone: Path) -> None:
    """Two ways at each of forty rungs: 2^40 paths."""
    writer = cmf.Cmf(pipeline_name="ladder")
    writer.create_context("rung")
    key = "{:032x}".format
    for rung in range(40):
        writer.create_execution("Rung")
        for side in (0, 1):
            writer.replay("input", f"{rung}.{side}", f"md5:{key(16 * rung + side + 1 << 64)}", "Dataset", None, None)
        for side in (0, 1):
            name, number = f"{rung + 1}.{side}", 16 * (rung + 1) + side + 1 << 64
            writer.replay("output", name, f"md5:{key(number)}", "Dataset", None, None)
    writer.finalize()
    began = time.monotonic()
    query = cmfquery.CmfQuery()
    parents = query.get_all_parent_artifacts("40.0")
    assert len(parents[parents["type"] == "Dataset"]) == 80
    last = query.find_producer_execution("40.0")
    assert last is not None
    found, links = query.get_all_parent_executions_by_id([last.id])
    assert (len(found), len(links)) == (39, 39)
    assert time.monotonic() - began < 20


def test_a_revert_makes_a_cycle_that_ends(clone: Path) -> None:
    writer = cmf.Cmf(pipeline_name="digits")
    writer.create_context("edit")
    for before, after in (("a", "b"), ("b", "a")):
        writer.create_execution("Edit")
        for text, event in ((before, "input"), (after, "output")):
            (clone / "text").write_text(text)
            writer.log_dataset("text", event)
    writer.finalize()
    query = cmfquery.CmfQuery()
    name = next(name for name in query.get_all_artifacts() if name.startswith("text"))
    parents, children = query.get_all_parent_artifacts(name), query.get_all_child_artifacts(name)
    assert len(parents[parents["type"] == "Dataset"]) == len(children[children["type"] == "Dataset"]) == 1
    first, second = executions(clone)
    found, links = query.get_all_parent_executions_by_id([id_of(second.key)])
    assert [id_ for id_, *_ in found] == [id_of(first.key)]
    assert len(links) == 2


def test_importing_cmf_loads_nothing_of_this_and_a_missing_pandas_is_named(clone: Path) -> None:
    program = """
import sys, cmf
assert not {"cmf.compat", "cmf.cmfquery", "pandas", "pyarrow"} & set(sys.modules)
sys.modules["pandas"] = None
writer = cmf.Cmf(pipeline_name="digits")
writer.create_context("train"); writer.create_execution("Train")
writer.log_dataset("raw.csv", "input")
writer.log_metric("loss", {"loss": 0.5})
from cmf import cmfquery
query = cmfquery.CmfQuery()
for ask in (lambda: writer.commit_metrics("loss"), lambda: query.get_all_executions_in_pipeline("digits")):
    try:
        ask()
    except cmf.CmfError as exc:
        assert "pip install 'cmf-lineage[pandas]'" in str(exc), exc
    else:
        raise AssertionError
assert cmfquery.CmfQuery().get_pipeline_names() == ["digits"]
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert executions(clone)[0].series == ("loss.loss",), "the points are there though no file could be written"


def test_a_script_that_imports_the_class_itself_needs_no_more() -> None:
    from cmf import Cmf
    from cmf.cmfquery import CmfQuery

    assert Cmf is cmf.Cmf and CmfQuery is cmf.cmfquery.CmfQuery
    with pytest.raises(AttributeError, match="has no attribute 'Cmff'"):
        cmf.Cmff  # noqa: B018
