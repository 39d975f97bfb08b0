"""Stage 1: split the raw data. As written for cmflib."""

import csv
import json
from pathlib import Path

from cmflib import cmf

metawriter = cmf.Cmf(filepath="mlmd", pipeline_name="penguins", custom_properties={"owner": "ana"})
context = metawriter.create_context(pipeline_stage="prepare", custom_properties={"team": "data"})
execution = metawriter.create_execution(
    execution_type="Prepare", custom_properties={"split": 0.25, "seed": 7}, cmd="python prepare.py --seed 7"
)
raw = metawriter.log_dataset(
    "data/raw.csv",
    "input",
    custom_properties={"source": "survey"},
    label="data/labels.csv",
    label_properties={"annotator": "bo"},
)

rows = list(csv.reader(Path("data/raw.csv").read_text().splitlines()))
Path("parsed").mkdir(exist_ok=True)
for name, some in (("train.csv", rows[::2]), ("test.csv", rows[1::2])):
    with Path("parsed", name).open("w", newline="") as file:
        csv.writer(file).writerows(some)
parsed = metawriter.log_dataset("parsed", "OUTPUT", custom_properties={"rows": len(rows)})

updated = metawriter.update_context("Pipeline_Stage", "penguins/prepare", context.id, None, {"reviewed": 1})
rerun = metawriter.update_execution(execution.id, {"note": "first", "attempts": 2})
found = metawriter.get_artifact(raw.id)
metawriter.update_existing_artifact(found, {"checked": "yes"})
metawriter.update_dataset_url(parsed, "s3://bucket/parsed")
metawriter.link_artifacts(raw, parsed)
metawriter.finalize()

print(
    json.dumps(
        {
            "context": [context.name, updated.custom_properties["reviewed"].int_value],
            "execution": [
                execution.properties["Execution"].string_value,
                rerun.custom_properties["seed"].int_value,
                rerun.custom_properties["split"].string_value,
                rerun.custom_properties["note"].string_value,
                rerun.custom_properties["attempts"].int_value,
            ],
            "raw": [found.name, found.uri, found.type, found.custom_properties["source"].string_value],
        }
    )
)
