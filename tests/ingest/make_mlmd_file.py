"""How `tfx.mlmd.gz` was made: by real calls of ml-metadata, with everything that its schema can hold.

python -m venv env && env/bin/pip install ml-metadata==1.15.0 'protobuf<5'     # Python 3.9 to 3.11
env/bin/python make_mlmd_file.py
"""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

from google.protobuf import struct_pb2
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

KINDS = {"an_int": pb.INT, "a_double": pb.DOUBLE, "a_string": pb.STRING, "a_bool": pb.BOOLEAN, "a_proto": pb.PROTO}
KINDS["a_struct"] = pb.STRUCT


def fill(node, factor: int) -> None:
    """Give a node every kind of property, declared and custom, under the same names."""
    for values in (node.properties, node.custom_properties):
        values["an_int"].int_value = factor * 2**53
        values["a_double"].double_value = factor * 0.5
        values["a_string"].string_value = f"text {factor}\nwith lines, é and a {chr(0)}"
        values["a_bool"].bool_value = factor % 2 == 0
        values["a_proto"].proto_value.Pack(struct_pb2.Value(number_value=factor))
        values["a_struct"].struct_value.update({"nested": {"list": [factor, None, "x"]}})
        factor += 1
    node.custom_properties["whole"].double_value = 3.0
    node.custom_properties["cmf.command"].string_value = "not ours"


def make(path: str) -> None:
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = path
    store = metadata_store.MetadataStore(config)
    contexts = {}
    for kind in ("pipeline", "pipeline_run", "node"):
        contexts[kind] = store.put_context_type(pb.ContextType(name=kind, properties=KINDS))
    examples = store.put_artifact_type(pb.ArtifactType(name="Examples", version="2", properties=KINDS))
    model = store.put_artifact_type(pb.ArtifactType(name="Model", properties=KINDS))
    trainer = store.put_execution_type(pb.ExecutionType(name="tfx.components.trainer.Trainer", properties=KINDS))

    artifacts = []
    for number, state in enumerate(pb.Artifact.State.values(), 1):
        made = pb.Artifact(type_id=examples, uri=f"/data/span-{number}", name=f"span {number}", state=state)
        made.external_id = f"ext-artifact-{number}"
        fill(made, number)
        artifacts.append(made)
    artifacts.append(pb.Artifact(type_id=model, uri="sha256:" + "ab" * 32))
    artifacts.append(pb.Artifact(type_id=model, uri=""))
    artifact_ids = store.put_artifacts(artifacts)

    executions = []
    for number, state in enumerate(pb.Execution.State.values(), 1):
        made = pb.Execution(type_id=trainer, name=f"run {number}", last_known_state=state)
        fill(made, number)
        executions.append(made)
    executions[0].external_id = "ext-execution"
    execution_ids = store.put_executions(executions)

    named = [pb.Context(type_id=contexts["pipeline"], name="taxi")]
    named += [pb.Context(type_id=contexts["pipeline_run"], name="2021-03-04")]
    named += [
        pb.Context(type_id=contexts["node"], name="taxi.Trainer"),
        pb.Context(type_id=contexts["node"], name="up"),
    ]
    for number, context in enumerate(named, 1):
        fill(context, number)
    context_ids = store.put_contexts(named)
    store.put_parent_contexts([pb.ParentContext(child_id=context_ids[3], parent_id=context_ids[0])])

    events = [
        pb.Event(artifact_id=artifact_ids[number], execution_id=execution_ids[0], type=type_)
        for number, type_ in enumerate(pb.Event.Type.values()[1:])
    ]
    events[3].path.steps.add().key = "examples"
    events[3].path.steps.add().index = 7
    events[4].milliseconds_since_epoch = 1_600_000_000_123
    store.put_events(events)
    store.put_attributions_and_associations(
        [pb.Attribution(artifact_id=id_, context_id=context_ids[0]) for id_ in artifact_ids],
        [pb.Association(execution_id=id_, context_id=c) for id_ in execution_ids for c in context_ids[:3]]
        + [pb.Association(execution_id=execution_ids[0], context_id=context_ids[3])],
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "mlmd")
        make(file)
        to = Path(__file__).parent / "tfx.mlmd.gz"
        to.write_bytes(gzip.compress(Path(file).read_bytes(), mtime=0))
