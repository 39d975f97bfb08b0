"""The four stages of a pipeline written for cmflib: what they see, what the graph has of them, what git has not.

raw.csv ─► prepare ─► parsed/ ─► featurize ─► features/train.csv ─► train ─► model.json ─► evaluate ─► metrics
labels.csv ─┘                        └──────► features/test.csv ───────────────────────────────┘
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from migrated import STAGES, run_program

from cmf.core.model import Artifact, Execution
from cmf.core.store import Filters
from cmf.questions import Query, StoreSource
from cmf.repository import Repository
from cmf.segments import check


def test_a_pipeline_written_for_cmflib_runs_and_its_questions_are_answered(project: Path) -> None:
    def tree() -> str:
        if not (project / ".git").exists():
            return ""
        asked = [["symbolic-ref", "HEAD"], ["rev-parse", "HEAD"], ["ls-files", "--stage"], ["stash", "list"]]
        told = [subprocess.run(["git", *one], cwd=project, capture_output=True, text=True).stdout for one in asked]
        return "".join(told)

    before = tree()
    said = {stage: run_program(stage, project) for stage in STAGES}
    assert said["prepare"]["context"] == ["penguins/prepare", 1]
    assert said["prepare"]["execution"] == ["python prepare.py --seed 7", 7, "0.25", "first", 2]
    assert said["prepare"]["raw"][2:] == ["Dataset", "survey"]
    assert said["featurize"]["stage"] == "penguins/featurize"
    assert (said["featurize"]["before"], said["featurize"]["after"]) == ("low", "fair")
    assert said["train"]["steps"] == ["Step_Metrics", [1, 2, 3, 4]]
    assert said["evaluate"] == {"same": True, "name": "Evaluate", "validation": ["Validation_output", "v1"]}
    metrics = project / "cmf_artifacts" / said["train"]["uuid"] / "metrics" / "training"
    assert metrics.read_bytes()[:4] == b"PAR1", "the file is where cmflib puts it"

    answers = run_program("questions", project)
    assert_answers(answers)
    assert tree() == before, "HEAD, its branch, the index and the stash are as they were"
    assert_recorded(project)


def assert_answers(answers: dict[str, object]) -> None:
    stages = [f"penguins/{stage}" for stage in STAGES]
    assert answers["pipelines"] == ["penguins"] and answers["stages"] == stages
    assert (answers["no pipeline"], answers["no stages"], answers["no artifact"]) == (-1, [], None)
    assert answers["executions"] == sorted(stages)
    assert answers["in stage"] == ["penguins/train"] and answers["execution"] == ["Train", "", True]
    assert set(answers["columns of executions"]) >= {  # type: ignore[call-overload]
        *("Context_ID", "Context_Type", "Execution", "Execution_type_name", "Execution_uuid", "Git_End_Commit"),
        *("Git_Repo", "Git_Start_Commit", "Pipeline_Type", "Pipeline_id", "id", "name"),
        *("custom_properties_C", "custom_properties_seed", "custom_properties_note", "custom_properties_again"),
    }
    columns = ["id", "type", "uri", "name", "create_time_since_epoch", "last_update_time_since_epoch"]
    assert answers["columns of an artifact"] == columns
    assert answers["artifact"] == ["Model", "penguins:default", 3]
    assert answers["types"] == sorted(
        ["Dataset", "Dataslice", "Environment", "Label", "Metrics", "Model", "Step_Metrics", "Validation_output"]
    )
    assert answers["users"] == [
        ["INPUT", "penguins/featurize", "penguins"],
        ["OUTPUT", "penguins/prepare", "penguins"],
    ]
    environment = {"environment.json", "requirements.txt"}
    assert set(answers["parents"]) - environment == {"train.csv"}  # type: ignore[call-overload]
    assert answers["parents by id"] == ["train.csv"]
    assert {"parsed", "train.csv", "test.csv", "model.json", "best"} <= set(answers["all children"])  # type: ignore[call-overload]
    assert set(answers["all parents"]) - environment == {"labels.csv", "parsed", "raw.csv", "train.csv"}  # type: ignore[call-overload]
    assert answers["parent executions"] == ["featurize"] and answers["parent execution ids"] is True
    assert answers["all parent executions"] == ["penguins/featurize", "penguins/prepare"]
    assert answers["all parent executions by id"] == [
        ["penguins/featurize", "penguins/prepare"],
        [["featurize", "train"], ["prepare", "featurize"]],
    ]
    assert answers["producer"] is True and answers["producer again"] is True
    assert answers["metrics"] == ["SequenceNumber", [1.0, 1 / 2, 1 / 3, 1 / 4]]
    assert answers["slice"] == ["hash", "quality"]
    assert [name for name, _ in answers["dumped"]] == sorted(stages)  # type: ignore[attr-defined]
    assert (answers["dumped one"], answers["dumped all"], answers["dumped none"]) == (1, 1, 0)


def assert_recorded(project: Path) -> None:
    """The same, asked of the graph itself."""
    repository = Repository.find(project)
    asked = Query(StoreSource(repository.view), project)
    runs = {node.stage: node for node in asked.executions() if isinstance(node, Execution)}
    assert {stage: run.status for stage, run in runs.items()} == dict.fromkeys(STAGES, "complete")
    assert runs["prepare"].parameters == {"split": 0.25, "seed": 7}
    assert runs["prepare"].properties == {"note": "first", "attempts": 2}
    assert runs["prepare"].command == ("python", "prepare.py", "--seed", "7")
    assert runs["train"].series == ("training.epoch", "training.loss")
    assert runs["evaluate"].started_at and runs["evaluate"].started_at < (runs["evaluate"].ended_at or "")
    (model,) = asked.artifacts(Filters(type="Model"))
    assert isinstance(model, Artifact) and model.properties["approved"] == "yes"
    answer = asked.lineage(model.key, "upstream")
    assert {node.stage for node in answer.nodes if isinstance(node, Execution)} == {"prepare", "featurize", "train"}
    relations = {relation.kind for relation in asked.show("data/raw.csv").relations}
    assert relations == {"labels", "derived_from"}
    new, old = asked.artifacts(Filters(type="Dataslice"))
    assert new.properties == old.properties == {"why": "balanced"}
    assert [r.target for r in asked.show(new.key).relations if r.kind == "version_of"] == [old.key]
    slices = {
        relation.target
        for node in asked.artifacts(Filters(type="Dataslice"))
        for relation in asked.show(node.key).relations
        if relation.kind == "slice_of"
    }
    assert slices == {asked.key("data/features/train.csv"), asked.key("data/features/test.csv")}
    (pipeline,) = asked.pipelines()
    assert pipeline.properties == {"owner": "ana"}
    assert not list(check(repository.segments))
    repository.close()
