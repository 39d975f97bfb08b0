"""What people see: labels, plain properties, times, and that names stay data."""

import math
from datetime import UTC, datetime

import neo4j
import pytest

from cmf.core.delta import fold
from cmf.core.identity import pipeline_key, use_key
from cmf.core.operations import (
    Code,
    EndExecution,
    Operation,
    PutArtifact,
    PutRelation,
    PutUse,
    RecordIdentity,
    RunIdentity,
    SetProperty,
    put_execution,
    put_record,
)
from cmf.core.records import make_stamp
from cmf_graph.plain import STRUCTURAL, mirrored, plain, user_name
from cmf_graph.queries import folder
from cmf_graph.shape import RELATION_TYPES
from cmf_graph.store import Neo4jStore

RUN = RunIdentity(
    pipeline="digits",
    stage="train",
    type="train",
    uuid="1",
    started_at="2026-05-04T09:12:31.250001Z",
    project="github.com/org/digits",
    code=Code(commit="abc", dirty=True),
    parameters={"C": 1.0, "layers": [64, None], "name": "svm"},
)
EXECUTION = put_execution(RUN)
DATA, MODEL = "md5:" + "a" * 32, "md5:" + "b" * 32
METRICS = put_record(
    RecordIdentity(kind="Metrics", execution=EXECUTION.key, name="metrics", values={"accuracy": 0.97, "n": None})
)
EVIL = 'x"}) DETACH DELETE a //'


def put(store: Neo4jStore, *operations: Operation) -> None:
    stamped = [(make_stamp("2026-05-04T10:00:00.000000Z", "test", i), o) for i, o in enumerate(operations, 1)]
    store.write(lambda transaction: transaction.merge(fold(stamped)))


@pytest.fixture
def trained(store: Neo4jStore) -> Neo4jStore:
    """data.csv ──INPUT──► train ──OUTPUT──► model.pkl, metrics"""
    put(
        store,
        EXECUTION,
        PutArtifact(key=DATA, name="data.csv", types=("Dataset", "raw")),
        PutArtifact(key=MODEL, name="model.pkl", types=("Model",), size_bytes=7),
        METRICS,
        PutUse(execution=EXECUTION.key, artifact=DATA, direction="input", path="data/data.csv"),
        PutUse(execution=EXECUTION.key, artifact=MODEL, direction="output", path="model.pkl"),
        PutUse(execution=EXECUTION.key, artifact=METRICS.key, direction="output", path="metrics"),
        EndExecution(key=EXECUTION.key, status="complete", ended_at="2026-05-04T09:13:00.000007Z"),
        SetProperty(key=EXECUTION.key, name="accuracy", value=0.93),
        SetProperty(key=EXECUTION.key, name="status", value="good"),
    )
    return store


def one(driver: neo4j.Driver, text: str, **parameters: object) -> list[object]:
    records = driver.execute_query(text, parameters).records
    assert len(records) == 1
    return list(records[0].values())


def test_nodes_have_labels_of_their_kind_and_known_types(trained: Neo4jStore, driver: neo4j.Driver) -> None:
    found = driver.execute_query("MATCH (n:Entity) RETURN n.name, labels(n)").records
    assert sorted((name, sorted(set(labels) - {"Entity"})) for name, labels in found) == [
        ("data.csv", ["Artifact", "Dataset"]),
        ("digits", ["Pipeline"]),
        ("metrics", ["Artifact", "Metrics"]),
        ("model.pkl", ["Artifact", "Model"]),
        ("train", ["Execution"]),
        ("train", ["Stage"]),
    ]


def test_the_graph_reads_along_the_data(trained: Neo4jStore, driver: neo4j.Driver) -> None:
    assert one(
        driver,
        """MATCH (:Pipeline {name: 'digits'})-[:HAS_STAGE]->(:Stage {name: 'train'})-[:RAN]->(e:Execution)
           MATCH (:Dataset)-[input:INPUT]->(e)-[output:OUTPUT]->(:Model)
           RETURN input.path, output.path, e.pipeline, e.stage, e.status""",
    ) == ["data/data.csv", "model.pkl", "digits", "train", "complete"]


def test_what_users_record_can_be_asked_for(trained: Neo4jStore, driver: neo4j.Driver) -> None:
    assert one(
        driver,
        """MATCH (e:Execution)-[:OUTPUT]->(m:Metrics) WHERE e.accuracy > 0.9 AND m.metric_accuracy > 0.9
           RETURN e.parameter_C, e.parameter_layers, e.parameter_name, e.property_status, m.metric_n""",
    ) == [1.0, "[64,null]", "svm", "good", None]


def test_times_are_datetimes_to_the_microsecond(trained: Neo4jStore, driver: neo4j.Driver) -> None:
    started, ended = one(driver, "MATCH (e:Execution) RETURN e.started_at, e.ended_at")
    assert isinstance(started, neo4j.time.DateTime) and isinstance(ended, neo4j.time.DateTime)
    assert started.to_native() == datetime(2026, 5, 4, 9, 12, 31, 250001, tzinfo=UTC)
    assert ended.to_native() == datetime(2026, 5, 4, 9, 13, 0, 7, tzinfo=UTC)
    (node,) = trained.nodes([EXECUTION.key])
    assert (node.started_at, node.ended_at) == ("2026-05-04T09:12:31.250001Z", "2026-05-04T09:13:00.000007Z")


def test_a_node_known_as_an_end_only_is_a_stub_until_it_is_told_of(store: Neo4jStore, driver: neo4j.Driver) -> None:
    put(
        store,
        PutUse(execution=EXECUTION.key, artifact=DATA, direction="input", path="d"),
        PutRelation(kind="ran_in", source=EXECUTION.key, target=pipeline_key("digits", None)),
    )
    labels = "MATCH (n:Entity {key: $key}) RETURN labels(n)"
    assert set(one(driver, labels, key=DATA)[0]) == {"Entity", "Artifact", "Stub"}
    assert set(one(driver, labels, key=pipeline_key("digits", None))[0]) == {"Entity", "Context", "Stub"}
    put(store, EXECUTION, PutArtifact(key=DATA, name="d", types=("Dataset",)))
    assert set(one(driver, labels, key=DATA)[0]) == {"Entity", "Artifact", "Dataset"}
    assert set(one(driver, labels, key=pipeline_key("digits", None))[0]) == {"Entity", "Pipeline"}
    assert set(one(driver, labels, key=EXECUTION.key)[0]) == {"Entity", "Execution"}


def test_a_deleted_property_is_gone(trained: Neo4jStore, driver: neo4j.Driver) -> None:
    put(trained, *[SetProperty(key=EXECUTION.key, name="accuracy", value=v) for v in (0.95, None)], EXECUTION)
    later = make_stamp("2026-06-01T00:00:00.000000Z", "test", 1)
    trained.write(lambda t: t.merge(fold([(later, SetProperty(key=EXECUTION.key, name="accuracy"))])))
    assert one(driver, "MATCH (e:Execution) RETURN e.accuracy") == [None]


def test_names_stay_data(store: Neo4jStore, driver: neo4j.Driver) -> None:
    key = use_key(EXECUTION.key, DATA, "input", EVIL)
    put(
        store,
        put_execution(
            RunIdentity(
                pipeline=EVIL, stage=EVIL, type=EVIL, uuid=EVIL, project=EVIL, started_at=RUN.started_at,
                parameters={EVIL: EVIL, "": 1, "`": 1, "a\x00b": 1, "n" * 5000: 1, "\n": 1},
            )
        ),
        PutArtifact(key=DATA, name=EVIL, types=(EVIL, "Execution")),
        PutUse(execution=EXECUTION.key, artifact=DATA, direction="input", path=EVIL),
        *[SetProperty(key=k, name=EVIL, value=EVIL) for k in (DATA, EXECUTION.key, key)],
    )  # fmt: skip
    (node,) = store.nodes([DATA])
    assert node.properties == {EVIL: EVIL} and node.name == EVIL
    assert store.at_path(EVIL) == DATA
    labels, _, _ = driver.execute_query("CALL db.labels() YIELD label RETURN label")
    assert EVIL not in [row[0] for row in labels]
    assert set(one(driver, "MATCH (n:Entity {key: $key}) RETURN labels(n)", key=DATA)[0]) == {"Entity", "Artifact"}


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (2**53 - 1, 2**53 - 1),
        ({"$number": str(2**62)}, 2**62),
        ({"$number": str(2**63)}, '{"$number":"9223372036854775808"}'),
        ({"$number": "-Infinity"}, -math.inf),
        ([1, 2], [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        ([True, 1], "[true,1]"),
        (["a", None], '["a",null]'),
        ([[1]], "[[1]]"),
        ([{"$number": "Infinity"}, 1.0], [math.inf, 1.0]),
        (["a", {"b": 1}], '["a",{"b":1}]'),
        ({"a": 1}, '{"a":1}'),
        ([], []),
    ],
)
def test_a_value_is_held_as_it_is_where_neo4j_can(value: object, held: object) -> None:
    assert plain(value) == held
    assert type(plain(value)) is type(held)


def test_no_two_names_of_users_meet() -> None:
    names = ["accuracy", "name", "property_name", "property_property_name", "parameter_x", "cmf_identity", *STRUCTURAL]
    assert len({user_name(name) for name in names}) == len(set(names))
    assert not {user_name(name) for name in names} & STRUCTURAL


def test_every_property_that_cmf_sets_is_structural(trained: Neo4jStore, driver: neo4j.Driver) -> None:
    set_by_cmf = one(driver, "MATCH (n:Entity) UNWIND keys(n) AS k RETURN collect(DISTINCT k)")[0]
    on_uses = one(driver, "MATCH ()-[u]->() UNWIND keys(u) AS k RETURN collect(DISTINCT k)")[0]
    own = {k for k in (*set_by_cmf, *on_uses) if not k.startswith(("cmf_", "parameter_", "metric_", "property_"))}
    assert own - {"accuracy"} <= STRUCTURAL


def test_the_style_has_every_label() -> None:
    style = (folder() / "explore" / "style.grass").read_text()
    for label in ("Artifact", "Dataset", "Model", "Metrics", "StepMetrics", "Dataslice", "Label", "Environment"):
        assert f"node.{label} {{" in style
    for label in ("Execution", "Stage", "Pipeline", "Stub", "Points"):
        assert f"node.{label} {{" in style
    assert style.count("{\n") == style.count("\n}")


def test_mirrored_properties_leave_out_deleted_ones() -> None:
    assert mirrored({"a": None, "b": 1}) == {"b": 1}


def test_relation_types_are_all_there() -> None:
    text = (folder() / "read" / "relations_of.cypher").read_text()
    assert all(type_ in text for type_ in RELATION_TYPES.values())
