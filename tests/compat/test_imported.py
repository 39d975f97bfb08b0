"""What cmflib itself recorded, brought in with `cmf import mlmd`, answers cmflib's questions as cmflib did."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

import cmf
from cmf import cmfquery
from cmf.ingest.mlmd.file import MlmdFile
from cmf.ingest.mlmd.importing import bring_in
from cmf.recording import close_repositories, open_repository

RECORDED = Path(__file__).parents[1] / "ingest" / "cmflib.mlmd.gz"


@pytest.fixture
def query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[cmfquery.CmfQuery]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlmd").write_bytes(gzip.decompress(RECORDED.read_bytes()))
    with MlmdFile(tmp_path / "mlmd") as file:
        bring_in(open_repository(tmp_path), file)
    yield cmfquery.CmfQuery("mlmd")
    close_repositories()


def test_executions_have_cmflibs_columns_and_uuids(query: cmfquery.CmfQuery) -> None:
    frame = query.get_all_executions_in_pipeline("digits")
    own = [column for column in frame.columns if not column.startswith("custom_properties_")]
    assert own == [
        *("Context_ID", "Context_Type", "Execution", "Execution_type_name", "Execution_uuid", "Git_End_Commit"),
        *("Git_Repo", "Git_Start_Commit", "Pipeline_Type", "Pipeline_id", "id", "name"),
    ]
    assert not [column for column in frame.columns if "mlmd" in column]
    (train,) = query.get_all_exe_in_stage("digits/train")
    uuid = train.properties["Execution_uuid"].string_value
    assert uuid in cmf.execution_list("digits", execution_uuid=uuid)
    assert train.type == "Train" and train.properties["Context_ID"] != 3, "ids are those of this graph"


def test_artifacts_have_cmflibs_columns_and_lineage(query: cmfquery.CmfQuery) -> None:
    (model,) = [name for name in query.get_all_artifacts() if name.startswith("model.pkl:")]
    row = query.get_artifact(model)
    assert row is not None and not [column for column in row.columns if "mlmd" in column]
    assert row["model_framework"][0] == "sklearn" and row["uri"][0] in model
    parents = query.get_all_parent_artifacts(model)
    assert "Dataset" in set(parents["type"])
    assert query.find_producer_execution(model) is not None


def test_a_replay_of_it_takes_up_what_was_brought_in(query: cmfquery.CmfQuery) -> None:
    (train,) = query.get_all_exe_in_stage("digits/train")
    writer = cmf.Cmf("mlmd", "digits")
    writer.merge_created_context("digits/train")
    uuid = train.properties["Execution_uuid"].string_value
    again = writer.merge_created_execution("Train", "python train.py", {"Execution_uuid": uuid}, {"late": 1})
    assert again.id == train.id
    writer.finalize()
    assert len(query.get_all_exe_in_stage("digits/train")) == 1
