"""`cmf import mlmd`: nothing that the file holds is lost, nothing is said twice, and the file is only read."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmf.core.errors import BadQuestion, FileProblem
from cmf.core.model import Artifact, Edge, Execution, Node, Pipeline, Stage
from cmf.core.store import Filters
from cmf.core.values import Json, from_json
from cmf.ingest.mlmd import Imported, MlmdFile, bring_in
from cmf.ingest.mlmd.file import ARTIFACT_STATES, EVENT_TYPES, EXECUTION_STATES
from cmf.questions import Query, StoreSource
from cmf.repository import Repository
from cmf.stores.memory import MemoryStore

Unpack = Callable[[str], Path]


def clone_at(folder: Path) -> Repository:
    (folder / ".cmf").mkdir(parents=True, exist_ok=True)
    return Repository.create(folder)


def imported(file: Path, repository: Repository, pipeline: str | None = None) -> Imported:
    with MlmdFile(file) as opened:
        return bring_in(repository, opened, pipeline)


def lines(repository: Repository) -> int:
    return sum(len(segment.path.read_bytes().splitlines()) for segment in repository.segments)


def listed(repository: Repository, kind: str, **filters: str) -> list[Any]:
    return list(repository.view.list_nodes(kind, Filters(**filters), 1_000, None).items)  # type: ignore[arg-type]


class Graph:
    """Everything that a clone's view holds, to look things up in."""

    def __init__(self, repository: Repository) -> None:
        nodes = repository.view.nodes(repository.view.all_keys())
        self.nodes: list[Node] = list(nodes)
        self.uses: list[Edge] = []
        self.relations: set[tuple[str, str, str]] = set()
        for node in nodes:
            detail = repository.view.detail(node.key, 1_000)
            assert detail
            self.uses += detail.uses
            self.relations |= {(found.kind, found.source, found.target) for found in detail.relations}

    def of_row(self, kind: type[Node] | tuple[type[Node], ...], id_: int) -> list[Node]:
        """The nodes that tell of a row. One content may stand for several rows, a context for several stages."""
        return [node for node in self.nodes if isinstance(node, kind) and any(f["id"] == id_ for f in facts_of(node))]


def facts_of(node: Node) -> list[dict[str, Any]]:
    """What a node says of the rows that it stands for."""
    said = [value for name, value in node.properties.items() if name == "mlmd" or name.startswith("mlmd.")]
    return [facts for facts in said if isinstance(facts, dict) and "id" in facts]


def test_a_file_of_cmflib_reads_as_what_was_recorded_here(unpacked: Unpack, tmp_path: Path) -> None:
    repository = clone_at(tmp_path / "clone")
    done = imported(unpacked("cmflib"), repository)
    assert (done.executions, done.artifacts, done.contexts) == (3, 11, 4)
    (train,) = listed(repository, "execution", pipeline="digits", stage="train")
    assert (train.name, train.type, train.parameters["C"]) == ("train", "Train", "1.0")
    assert (train.command, train.project) == (
        ("tests/ingest/make_cmflib_file.py", "/tmp/cmflib"),
        "example.org/team/digits",
    )
    assert train.code.commit and train.code.remote == "https://example.org/team/digits.git"
    assert train.started_at and train.status == "unknown", "cmflib does not say how a run ended"
    graph = Query(StoreSource(repository.view))
    assert graph.metrics([train.key])[train.key] == {"accuracy": 0.97, "n": 12, "note": "ok"}
    answer = graph.lineage("model.pkl", "upstream")
    assert {node.name for node in answer.nodes if isinstance(node, Execution)} == {"prepare", "train"}
    names = {node.name: node for node in answer.nodes}
    assert names["parts"].key.endswith(".dir") and names["parts"].types == ("Dataset",)
    assert {edge.path for edge in answer.edges} >= {"raw.csv", "parts", "model.pkl", "labels.csv"}
    label, data = names["labels.csv"], names["raw.csv"]
    assert ("labels", label.key, data.key) in Graph(repository).relations
    assert len(listed(repository, "artifact", type="StepMetrics")) == 1, "the same values twice are one content"


@pytest.mark.parametrize("name", ["cmflib", "cmflib-early", "tfx"])
def test_nothing_is_lost(name: str, unpacked: Unpack, tmp_path: Path) -> None:
    """Walks every table of the file, and finds in the graph what each of its rows says."""
    file, repository = unpacked(name), clone_at(tmp_path / "clone")
    imported(file, repository)
    graph = Graph(repository)
    with sqlite3.connect(file) as db:
        db.row_factory = sqlite3.Row
        types = {row["id"]: row for row in db.execute("SELECT * FROM Type")}
        _check_nodes(graph, db, types)
        _check_properties(graph, db)
        _check_events(graph, db)
        _check_contexts(graph, db)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # Types are told of with what is of them; the rest is SQLite's and the schema's own.
    assert tables == CHECKED | {"Type", "TypeProperty", "ParentType", "MLMDEnv", "sqlite_sequence"}


CHECKED = {"Artifact", "Execution", "Context", "ArtifactProperty", "ExecutionProperty", "ContextProperty"}
CHECKED |= {"Event", "EventPath", "Association", "Attribution", "ParentContext"}
KINDS: dict[str, type[Node] | tuple[type[Node], ...]] = {
    "Artifact": Artifact,
    "Execution": Execution,
    "Context": (Pipeline, Stage),
}
STATES = {"Artifact": ("state", ARTIFACT_STATES), "Execution": ("last_known_state", EXECUTION_STATES)}


def _check_nodes(graph: Graph, db: sqlite3.Connection, types: dict[int, sqlite3.Row]) -> None:
    for table, kind in KINDS.items():
        for row in db.execute(f"SELECT * FROM {table}"):
            (node, *_) = graph.of_row(kind, row["id"])
            (facts, *_) = [facts for facts in facts_of(node) if facts["id"] == row["id"]]
            expected = {
                "type": types[row["type_id"]]["name"],
                "type_version": types[row["type_id"]]["version"],
                "name": row["name"],
                "external_id": row["external_id"],
                "created": row["create_time_since_epoch"],
                "updated": row["last_update_time_since_epoch"],
            }
            if table == "Artifact":
                expected["uri"] = row["uri"]
            if table in STATES and row[STATES[table][0]] is not None:
                expected["state"] = STATES[table][1][row[STATES[table][0]]]
            assert {name: facts.get(name) for name in expected} == expected


def _check_properties(graph: Graph, db: sqlite3.Connection) -> None:
    for table, kind in KINDS.items():
        for row in db.execute(f"SELECT * FROM {table}Property"):
            id_, name = row[f"{table.lower()}_id"], row["name"]
            expected = _value_of(row)
            (node, *_) = graph.of_row(kind, id_)
            assert expected in [plain(value) for value in _said(node, id_, name, row["is_custom_property"])], (
                id_,
                name,
            )


def _said(node: Node, id_: int, name: str, custom: int) -> list[Json]:
    """Where a property of a row may stand."""
    if isinstance(node, Execution) and custom:
        return [node.parameters[name]]
    plain_names = [name, f"property.{name}", *([f"custom_properties_{name}"] if custom else [])]
    found = [node.properties[name] for name in plain_names if name in node.properties]
    if isinstance(node, Artifact) and custom and node.values:
        found += [node.values[name]] if name in node.values else []
    whole = [facts for facts in facts_of(node) if facts["id"] == id_ and "custom_properties" in facts]
    group = "custom_properties" if custom else "properties"
    return found + [facts[group][name] for facts in whole if name in facts[group]]


def _value_of(row: sqlite3.Row) -> object:
    if row["bool_value"] is not None:
        return bool(row["bool_value"])
    if row["proto_value"] is not None:
        return {"proto": row["proto_value"]}
    found = next(row[column] for column in ("int_value", "double_value", "string_value") if row[column] is not None)
    return found.replace("ana:secret@", "") if isinstance(found, str) else found


def plain(value: Json) -> object:
    return from_json(value)


def _check_events(graph: Graph, db: sqlite3.Connection) -> None:
    for row in db.execute("SELECT * FROM Event"):
        artifacts = {node.key for node in graph.of_row(Artifact, row["artifact_id"])}
        executions = {node.key for node in graph.of_row(Execution, row["execution_id"])}
        steps = db.execute("SELECT * FROM EventPath WHERE event_id = ? ORDER BY rowid", (row["id"],)).fetchall()
        path = [step["step_index"] if step["is_index_step"] else step["step_key"] for step in steps]
        expected = {"type": EVENT_TYPES[row["type"]], "at": row["milliseconds_since_epoch"], "path": path}
        found = [
            use
            for use in graph.uses
            if {use.source, use.target} & artifacts
            and {use.source, use.target} & executions
            and expected in use.properties["mlmd.events"]
        ]
        assert found, dict(row)
        assert {use.kind for use in found} == {"input" if "INPUT" in expected["type"] else "output"}


def _check_contexts(graph: Graph, db: sqlite3.Connection) -> None:
    for row in db.execute("SELECT * FROM Association"):
        (execution,) = graph.of_row(Execution, row["execution_id"])
        contexts = graph.of_row((Pipeline, Stage), row["context_id"])
        assert any(("ran_in", execution.key, context.key) in graph.relations for context in contexts)
    for row in db.execute("SELECT * FROM Attribution"):
        (artifact, *_) = graph.of_row(Artifact, row["artifact_id"])
        contexts = graph.of_row((Pipeline, Stage), row["context_id"])
        assert any(artifact.properties.get(f"mlmd.in.{_label(graph, context)}") for context in contexts)
    for row in db.execute("SELECT * FROM ParentContext"):
        (child, *_) = graph.of_row(Stage, row["context_id"])
        (parent,) = graph.of_row(Pipeline, row["parent_context_id"])
        assert isinstance(child, Stage) and child.pipeline == parent.key


def _label(graph: Graph, context: Node) -> str:
    if isinstance(context, Stage):
        (pipeline,) = [node for node in graph.nodes if node.key == context.pipeline]
        return f"{pipeline.name}/{context.name}"
    return context.name


def test_importing_again_adds_no_record_and_a_grown_copy_only_its_news(unpacked: Unpack, tmp_path: Path) -> None:
    repository = clone_at(tmp_path / "clone")
    imported(unpacked("cmflib-early"), repository)
    first = lines(repository)
    assert imported(unpacked("cmflib-early"), repository).statements == 0
    grown = imported(unpacked("cmflib"), repository)
    assert 0 < grown.statements < 60
    assert imported(unpacked("cmflib"), repository).statements == 0
    assert imported(unpacked("cmflib-early"), repository).statements == 0, "what is older is no news"
    assert lines(repository) == first + grown.statements
    assert len(listed(repository, "execution")) == 3


def test_two_sites_that_import_copies_of_a_file_converge(unpacked: Unpack, tmp_path: Path) -> None:
    """Whatever the order, in one graph they make what one import of the newer copy makes."""
    one, two, alone = (clone_at(tmp_path / name) for name in ("one", "two", "alone"))
    imported(unpacked("cmflib-early"), one)
    imported(unpacked("cmflib"), two)
    imported(unpacked("cmflib"), alone)
    graphs = []
    for sites in ((one, two), (two, one), (alone,)):
        store = MemoryStore()
        for repository in sites:
            state = repository.view.state()
            store.write(lambda transaction, state=state: transaction.merge(state))  # type: ignore[misc]
        graphs.append(store.state())
    assert graphs[0] == graphs[1]
    assert graphs[0].keys() == graphs[2].keys()
    assert {key: value.value for key, value in graphs[0].properties.items()} == {
        key: value.value for key, value in graphs[2].properties.items()
    }


def test_the_same_runs_in_another_file_under_other_ids_are_the_same_runs(unpacked: Unpack, tmp_path: Path) -> None:
    """As on a cmflib server, which gives every row a new id."""
    file, repository = unpacked("cmflib"), clone_at(tmp_path / "clone")
    imported(file, repository)
    before = {node.key for node in Graph(repository).nodes}
    columns = {"Artifact": "id", "ArtifactProperty": "artifact_id", "Attribution": "artifact_id"}
    columns |= {"Execution": "id", "ExecutionProperty": "execution_id", "Association": "execution_id"}
    with sqlite3.connect(file) as db:
        for table, column in columns.items():
            db.execute(f"UPDATE {table} SET {column} = {column} + 1000")
        db.execute("UPDATE Event SET artifact_id = artifact_id + 1000, execution_id = execution_id + 1000")
    db.close()
    imported(file, repository)
    assert {node.key for node in Graph(repository).nodes} == before


def test_only_one_pipeline_may_be_asked_for(unpacked: Unpack, tmp_path: Path) -> None:
    repository = clone_at(tmp_path / "clone")
    done = imported(unpacked("tfx"), repository, "pipeline_run:2021-03-04")
    assert (done.executions, done.contexts) == (7, 1)
    with pytest.raises(BadQuestion, match="no pipeline 'digits' in this file; it has .*'taxi'"):
        imported(unpacked("tfx"), repository, "digits")


def test_a_run_in_several_places_is_found_in_each(unpacked: Unpack, tmp_path: Path) -> None:
    repository = clone_at(tmp_path / "clone")
    imported(unpacked("tfx"), repository)
    assert {node.stage for node in listed(repository, "execution", pipeline="taxi")} == {"Trainer"}
    assert len(listed(repository, "execution", pipeline="taxi", stage="up")) == 1
    assert len(listed(repository, "execution", pipeline="pipeline_run:2021-03-04")) == 7
    assert len(repository.view.members([], ["pipeline_run:2021-03-04"])) == 7
    statuses = [node.status for node in listed(repository, "execution")]
    assert sorted(statuses) == ["aborted", "complete", "complete", "failed", "running", "unknown", "unknown"]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_file_that_is_being_written_is_read_as_of_one_moment_and_never_changed(
    mode: str, unpacked: Unpack, tmp_path: Path
) -> None:
    file, repository = unpacked("cmflib"), clone_at(tmp_path / "clone")
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute(f"PRAGMA journal_mode = {mode}")
    stop = threading.Event()
    failures: list[Exception] = []

    def write() -> None:
        db = sqlite3.connect(file, isolation_level=None, timeout=10)
        try:
            while not stop.is_set():
                db.execute("UPDATE Execution SET last_update_time_since_epoch = last_update_time_since_epoch + 1")
        except Exception as exc:
            failures.append(exc)
        finally:
            db.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert imported(file, repository).executions == 3
    finally:
        stop.set()
        thread.join()
        writer.close()
    assert not failures, "an import does not hold up whoever writes"
    before = file.read_bytes()
    assert imported(file, repository).executions == 3
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone", "cmflib.mlmd"]


def test_what_is_no_such_file_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be one" * 100)
    (tmp_path / "empty").touch()
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE Artifact (id INT)")
    db.close()
    for name, problem in (
        ("text", "not a database"),
        ("empty", "no table Artifact"),
        ("other", "no table ArtifactProperty"),
        ("nothing", "is not there"),
        (".", "is no file"),
    ):
        with pytest.raises(FileProblem, match=problem):
            MlmdFile(tmp_path / name)


def test_odd_content_is_kept_and_noted(unpacked: Unpack, tmp_path: Path) -> None:
    file, repository = unpacked("cmflib"), clone_at(tmp_path / "clone")
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO Event VALUES (99, 2, 1, 0, NULL), (100, 77, 1, 3, 5), (101, 2, 1, 42, -5)")
        db.execute("INSERT INTO ExecutionProperty VALUES (1, 'nothing', 1, NULL, NULL, NULL, NULL, NULL, NULL)")
        db.execute("INSERT INTO ExecutionProperty VALUES (1, 'a\nb', 1, NULL, 1e999, NULL, NULL, NULL, NULL)")
        db.execute(
            "INSERT INTO ExecutionProperty VALUES (1, 'long', 1, NULL, NULL, ?, NULL, NULL, NULL)", ("é" * 10**6,)
        )
        db.execute(
            "UPDATE Execution SET create_time_since_epoch = -7, last_update_time_since_epoch = 99999999999999999"
        )
        db.execute("INSERT INTO ParentContext VALUES (1, 2)")  # a circle
    db.close()
    done = imported(file, repository)
    assert any("no known type" in note for note in done.notes)
    assert any("not in the file" in note for note in done.notes)
    assert any("longer than a value may be" in note for note in done.notes)
    (prepare,) = [node for node in listed(repository, "execution") if node.type == "Prepare"]
    assert prepare.properties["mlmd"]["unset"] == ["nothing"]
    assert from_json(prepare.parameters["a\N{REPLACEMENT CHARACTER}b"]) == float("inf")
    assert "".join(part for name, part in sorted(prepare.parameters.items()) if name.startswith("long")) == "é" * 10**6
    assert imported(file, repository).statements == 0
    assert repository.view.greatest_time() < "2199", "a time that has not come does not move clocks"  # type: ignore[operator]


def test_the_command_says_what_it_found(unpacked: Unpack, tmp_path: Path, run: Callable[..., Any]) -> None:
    file = unpacked("cmflib")
    (tmp_path / "clone" / ".cmf").mkdir(parents=True)
    done = run("cmf", "import", "mlmd", str(file), at=tmp_path / "clone")
    assert done.stdout.startswith("3 executions, 11 artifacts, ")
    assert "without the user and password" in done.stderr
    assert "secret" not in "".join(path.read_text() for path in (tmp_path / "clone/.cmf/journal").glob("*.jsonl"))
    again = json.loads(run("cmf", "import", "mlmd", str(file), "--json", at=tmp_path / "clone").stdout)
    assert again["statements"] == 0
    log = run("cmf", "log", "--pipeline", "digits", "--stage", "evaluate", at=tmp_path / "clone").stdout
    assert "digits/evaluate" in log
    again = run("cmf", "import", "mlmd", str(file), at=tmp_path / "clone").stdout
    assert again.endswith(": nothing new, all known already\n")
    with sqlite3.connect(file) as db:
        for table in ("Execution", "Artifact", "Event", "Context", "Association", "Attribution", "ParentContext"):
            db.execute(f"DELETE FROM {table}")
    first = run("cmf", "import", "mlmd", str(file), at=tmp_path / "clone").stdout
    assert first == "nothing to record: the file holds nothing that was asked for\n"
    failed = run("cmf", "import", "mlmd", str(tmp_path / "nothing"), at=tmp_path / "clone", fails=True)
    assert failed.stderr == f"cmf: {tmp_path / 'nothing'}: is not there\n"
