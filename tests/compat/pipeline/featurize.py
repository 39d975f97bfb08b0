"""Stage 2: features, and a slice of them. Stage and execution are made by the first call. As written for cmflib."""

import json
from pathlib import Path

from cmflib import cmf

metawriter = cmf.Cmf("mlmd", "penguins")
metawriter.log_dataset("parsed", "input")
Path("data/features").mkdir(exist_ok=True)
for name in ("train.csv", "test.csv"):
    text = Path("parsed", name).read_text()
    Path("data/features", name).write_text(text.replace(",", ";"))
    metawriter.log_dataset(f"data/features/{name}", "output", {"separator": ";"})

dataslice = metawriter.create_dataslice("best")
dataslice.add_data("data/features/train.csv", {"quality": "high"})
dataslice.add_data("data/features/test.csv", {"quality": "low"})
committed = dataslice.commit({"why": "balanced"})
before = metawriter.read_dataslice("best")
metawriter.update_dataslice("best", "data/features/test.csv", {"quality": "fair"})
after = metawriter.read_dataslice("best")

label = metawriter.log_label("data/labels.csv", "data/raw.csv", {"annotator": "cy"})
Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
commit = metawriter.log_dvc_lock("dvc.lock")
metawriter.finalize()

print(
    json.dumps(
        {
            "stage": metawriter.child_context.name,
            "slice": [committed.type, committed.custom_properties["why"].string_value, before.index.name],
            "columns": sorted(before.columns),
            "before": before.loc["data/features/test.csv", "quality"],
            "after": after.loc["data/features/test.csv", "quality"],
            "label": [label.name.split(":")[0], label.type],
            "commit": commit,
        }
    )
)
