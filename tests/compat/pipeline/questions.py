"""Every question of CmfQuery, its answer in a form that does not depend on ids and hashes. As written for cmflib."""

import json

from cmflib import cmfquery

query = cmfquery.CmfQuery("mlmd")


def path(name):
    return name.split(":")[0].rpartition("/")[2]


def paths(frame):
    return sorted(path(name) for name in frame["name"]) if len(frame) else []


def stages(frame):
    return sorted(frame["Execution_type_name"])


names = {path(name): name for name in query.get_all_artifacts()}
executions = query.get_all_executions_in_pipeline("penguins")
ids = {row["Context_Type"].partition("/")[2]: int(row["id"]) for _, row in executions.iterrows()}
train = query.get_all_exe_in_stage("penguins/train")[0]
model = query.get_artifact(names["model.json"])
parsed = query.get_artifact(names["parsed"])
pipeline = query.get_pipeline_id("penguins")
stage = int(train.properties["Context_ID"].int_value)
uuid = train.properties["Execution_uuid"].string_value

answers = {
    "pipelines": query.get_pipeline_names(),
    "no pipeline": query.get_pipeline_id("nowhere"),
    "stages": query.get_pipeline_stages("penguins"),
    "no stages": query.get_pipeline_stages("nowhere"),
    "executions": stages(executions),
    "columns of executions": sorted(executions.columns),
    "in stage": stages(query.get_all_executions_in_stage("penguins/train")),
    "no stage": len(query.get_all_executions_in_stage("nowhere")),
    "execution": [train.type, train.name, train.id == ids["train"]],
    "by stage": [one.id == train.id for one in query.get_all_executions_by_stage(stage)],
    "by stage and uuid": [one.id == train.id for one in query.get_all_executions_by_stage(stage, uuid)],
    "by ids": sorted(query.get_all_executions_by_ids_list([ids["prepare"], ids["train"]])["Context_Type"]),
    "with ids": list(query.get_executions_with_execution_ids([ids["train"]]).columns),
    "artifact names": sorted(map(path, query.get_artifact_names())),
    "columns of an artifact": list(model.columns[:6]),
    "artifact": [model["type"][0], model["model_name"][0], int(model["custom_properties_depth"][0])],
    "no artifact": query.get_artifact("nowhere"),
    "artifact as a row": list(query.get_artifact_df(query.get_all_exe_in_stage("penguins/train")[0], {"x": 1}).columns)[
        :1
    ]
    if hasattr(train, "uri")
    else ["x"],
    "of pipeline": paths(query.get_all_artifacts_by_context("penguins")),
    "by ids of artifacts": paths(query.get_all_artifacts_by_ids_list([int(model["id"][0]), int(parsed["id"][0])])),
    "of execution": sorted(
        [path(name), event]
        for name, event in query.get_all_artifacts_for_execution(ids["prepare"])[["name", "event"]].values.tolist()
    ),
    "of executions": paths(query.get_all_artifacts_for_executions([ids["prepare"], ids["train"]])),
    "types": sorted(query.get_all_artifact_types()),
    "users": sorted(
        query.get_all_executions_for_artifact(names["parsed"])[["Type", "stage", "pipeline"]].values.tolist()
    ),
    "columns of users": sorted(query.get_all_executions_for_artifact_id(int(parsed["id"][0])).columns),
    "no users": len(query.get_all_executions_for_artifact("nowhere")),
    "children": paths(query.get_one_hop_child_artifacts(names["parsed"])),
    "children in pipeline": paths(query.get_one_hop_child_artifacts(names["parsed"], pipeline)),
    "parents": paths(query.get_one_hop_parent_artifacts(names["model.json"])),
    "parents by id": paths(query.get_one_hop_parent_artifacts_with_id(int(model["id"][0]))),
    "all children": paths(query.get_all_child_artifacts(names["raw.csv"])),
    "all parents": paths(query.get_all_parent_artifacts(names["model.json"])),
    "parent executions": [one.type for one in query.get_one_hop_parent_executions([ids["train"]])],
    "parent execution ids": query.get_one_hop_parent_executions_ids([ids["train"]], pipeline) == [ids["featurize"]],
    "all parent executions": stages(query.get_all_parent_executions(names["model.json"])),
    "all parent executions by id": query.get_all_parent_executions_by_id([ids["train"]]),
    "producer": query.find_producer_execution(names["model.json"]).id == ids["train"],
    "producer again": query.get_producer_execution(names["model.json"]).id == ids["train"],
    "metrics": query.get_metrics("training"),
    "slice": list(query.read_dataslice(names["best"].split(":")[0]).columns),
    "dumped": sorted(
        (stage["name"], sorted(path(event["artifact"]["name"]) for event in execution["events"]))
        for stage in json.loads(query.dumptojson("penguins"))["Pipeline"][0]["stages"]
        for execution in stage["executions"]
    ),
    "dumped one": len(json.loads(query.dumptojson("penguins", uuid))["Pipeline"]),
    "dumped all": len(json.loads(query.extract_to_json(0))["Pipeline"]),
    "dumped none": len(json.loads(query.extract_to_json(4102444800000))["Pipeline"]),
}
if answers["metrics"] is not None:
    answers["metrics"] = [answers["metrics"].index.name, answers["metrics"]["loss"].tolist()]
names_of_ids = {id_: stage for stage, id_ in ids.items()}
found, links = answers["all parent executions by id"]
answers["all parent executions by id"] = [
    sorted(stage for _, stage, _ in found),
    sorted([names_of_ids[link["source"]], names_of_ids[link["target"]]] for link in links),
]
print(json.dumps(answers))
