"""Operations that Hypothesis makes: few names, so that they meet in diamonds, cycles and shared content."""

from __future__ import annotations

from hypothesis import strategies as st

from cmf.clock import written
from cmf.core.identity import pipeline_key, stage_key, use_key
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    NamedIdentity,
    Operation,
    PutArtifact,
    PutExecution,
    PutPoints,
    PutRelation,
    PutUse,
    RecordIdentity,
    Retract,
    RunIdentity,
    SetProperty,
    put_context,
    put_execution,
    put_record,
)
from cmf.core.records import Stamp, make_stamp
from cmf.core.values import to_json

HOSTILE = 'x"}) DETACH DELETE a //'
NAMES = ["train", "évaluer", HOSTILE, "a'b`c"]

times = st.integers(0, 40).map(lambda second: written(1_700_000_000_000_000 + second))
artifacts = st.sampled_from([f"md5:{digit * 32}" for digit in "0123456"] + [f"md5:{'7' * 32}.dir"])
runs = st.builds(
    lambda pipeline, stage, second, parameters: put_execution(
        RunIdentity(
            pipeline=pipeline,
            stage=stage,
            type="Train",
            uuid=f"u{second}",
            started_at=written(1_700_000_000_000_000 + second),
            project="digits",
            branch="main" if second % 2 else None,
            command=("python", "train.py"),
            parameters=parameters,
        )
    ),
    st.sampled_from(NAMES[:2]),
    st.sampled_from(NAMES),
    st.integers(0, 3),
    st.sampled_from([{}, {"C": 1.0, "name": "x"}]),
)
others = st.sampled_from(
    [
        put_execution(NamedIdentity(pipeline="train", stage="again", name="nightly")),
        put_execution(ForeignIdentity(source="openlineage", run="run-1")),
        put_execution(ForeignIdentity(source="mlmd", run="run-2")),
    ]
)
executions = st.one_of(runs, runs, others)
execution_keys = executions.map(lambda put: put.key)
directions = st.sampled_from(["input", "output"])
paths = st.sampled_from(["data/a.csv", "model.pkl", HOSTILE])
uses = st.builds(
    PutUse,
    execution=execution_keys,
    artifact=artifacts,
    direction=directions,
    path=paths,
    commit=st.sampled_from([None, None, "c1", "c2"]),
    url=st.sampled_from([None, None, "s3://a", "s3://b"]),
)
use_keys = uses.map(lambda use: use_key(use.execution, use.artifact, use.direction, use.path))
records = st.builds(
    lambda execution, accuracy: put_record(
        RecordIdentity(kind="Metrics", execution=execution, name="metrics", values={"accuracy": to_json(accuracy)})
    ),
    execution_keys,
    st.sampled_from([0.5, float("nan"), 1]),
)
any_keys = st.one_of(artifacts, execution_keys, use_keys, st.just(stage_key("train", "train", None)))
values = st.sampled_from(
    [None, 1, 2.5, -3, True, "text", HOSTILE, [1, 2], ["a", None, 1], [], {"a": {"b": [1.5, None]}}, [[1], [2]]]
    + [to_json(v) for v in (float("nan"), float("-inf"), 2**53, -(2**70), {"$number": "x"})]
    + [2**53 - 1, "", "1970-01-01", "é\u0000\u2028😀"]
)

CONTEXTS = [
    put_context("pipeline", "train"),
    put_context("stage", "train", parent=pipeline_key("train", None)),
    put_context("stage", "évaluer", parent=pipeline_key("alone", None)),
]
PLACES = [context.key for context in CONTEXTS]
STATED: list[tuple[str, object]] = [
    ("cmf.name", "nightly"),
    ("cmf.type", "Train"),
    ("cmf.started_at", "2023-11-14T22:13:30.000000Z"),
    ("cmf.started_at", "yesterday"),
    ("cmf.command", ["python", "train.py"]),
    ("cmf.command", "python"),
    ("cmf.code", {"commit": "c7", "dirty": True}),
    ("cmf.code", {"commit": "c7", "other": 1}),
    ("cmf.project", "digits"),
    ("cmf.project", None),
    ("cmf.branch", "main"),
    ("cmf.status", "running"),
    ("cmf.status", "complete"),
    ("cmf.parameter.C", 1.0),
    ("cmf.other", 1),
]

operations: st.SearchStrategy[Operation] = st.one_of(
    uses,
    uses,
    executions,
    records,
    st.builds(
        PutArtifact,
        key=artifacts,
        name=st.sampled_from(["a.csv", "model.pkl", HOSTILE]),
        types=st.sampled_from([("Dataset",), ("Model",), ("Dataset", "Mine"), (HOSTILE,)]),
        size_bytes=st.sampled_from([None, 0, 10, 2**52]),
        sha256=st.sampled_from([None, "0" * 64, "f" * 64]),
    ),
    st.builds(
        EndExecution,
        key=execution_keys,
        status=st.sampled_from(["complete", "failed", "aborted"]),
        ended_at=times,
        started_at=st.one_of(st.none(), times),
        end_commit=st.sampled_from([None, "c9"]),
        error=st.sampled_from([None, "ValueError: no"]),
    ),
    st.builds(
        lambda execution, said: SetProperty(key=execution, name=said[0], value=said[1]),
        execution_keys,
        st.sampled_from(STATED),
    ),
    st.builds(PutRelation, kind=st.just("ran_in"), source=execution_keys, target=st.sampled_from(PLACES)),
    st.builds(PutRelation, kind=st.just("ran_in"), source=execution_keys, target=st.sampled_from(PLACES)),
    st.builds(SetProperty, key=any_keys, name=st.sampled_from(["accuracy", "name", "key", HOSTILE]), value=values),
    st.builds(Retract, key=any_keys, reason=st.sampled_from([None, "bad data", HOSTILE])),
    st.builds(PutRelation, kind=st.sampled_from(["derived_from", "labels"]), source=artifacts, target=artifacts),
    st.builds(PutRelation, kind=st.just("part_of"), source=execution_keys, target=execution_keys),
    st.builds(
        PutPoints,
        execution=execution_keys,
        series=st.sampled_from(["loss", HOSTILE]),
        chunk=st.integers(0, 2),
        rows=st.sampled_from([((0, 1.5, 0.25),), ((None, 2.0, {"$number": "NaN"}), (2, 3.0, 7))]),
    ),
    st.sampled_from([put_context("pipeline", "alone"), put_context("pipeline", "alone", namespace="team")]),
    st.sampled_from(CONTEXTS),
)

stamps = st.builds(
    make_stamp,
    st.integers(0, 5).map(lambda s: written(1_700_000_000_000_000 + s)),
    st.sampled_from("AB"),
    st.integers(1, 9),
)
stamped: st.SearchStrategy[tuple[Stamp, Operation]] = st.tuples(stamps, operations)


def is_execution(operation: Operation) -> bool:
    return isinstance(operation, PutExecution)
