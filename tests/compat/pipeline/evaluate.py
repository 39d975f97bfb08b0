"""Stage 4: an execution that is used again by its name, and that nobody finalizes. As written for cmflib."""

import json

from cmflib import cmf

metawriter = cmf.Cmf(filepath="mlmd", pipeline_name="penguins")
metawriter.create_context("evaluate")
first = metawriter.create_execution("Evaluate", {"again": "yes"}, create_new_execution=False)
metawriter.log_model("models/model.json", "input")
metawriter.log_dataset("data/features/test.csv", "input")
second = metawriter.create_execution("Evaluate", {"again": "twice"}, create_new_execution=False)
metawriter.log_execution_metrics("evaluation", {"accuracy": 0.9})
validation = metawriter.log_validation_output("v1", {"passed": 1})
print(
    json.dumps(
        {
            "same": first.id == second.id,
            "name": second.name,
            "validation": [validation.type, validation.properties["version"].string_value],
        }
    )
)
