"""Stage 3: a model with fine-grained metrics. As written for cmflib."""

import json
from pathlib import Path

from cmflib import cmf

metawriter = cmf.Cmf(filepath="mlmd", pipeline_name="penguins", graph=True)
metawriter.create_context("train")
execution = metawriter.create_execution("Train", {"C": 1.0})
metawriter.log_dataset("data/features/train.csv", "input")
for epoch in range(4):
    metawriter.log_metric("training", {"loss": 1.0 / (epoch + 1), "epoch": epoch})
steps = metawriter.commit_metrics("training")
Path("models").mkdir(exist_ok=True)
Path("models/model.json").write_text(json.dumps({"weights": [1, 2, 3]}))
model = metawriter.log_model(
    "models/model.json", "output", "own", "linear", "penguins:default", custom_properties={"depth": 3}
)
scores = metawriter.log_execution_metrics("scores", {"accuracy": 0.97, "n": 12, "note": "ok"})
Path("requirements.txt").write_text("numpy\n")
environment = metawriter.log_python_env("requirements.txt")
again = metawriter.update_model_url([model], "s3://bucket/model.json")
model.custom_properties["approved"].string_value = "yes"
metawriter.update_model_output(model)
metawriter.finalize()

print(
    json.dumps(
        {
            "steps": [steps.type, sorted(metawriter.metrics["training"])],
            "uuid": execution.properties["Execution_uuid"].string_value,
            "model": [model.type, model.properties["model_name"].string_value, len(again)],
            "scores": scores.custom_properties["accuracy"].double_value,
            "environment": environment.type,
        }
    )
)
