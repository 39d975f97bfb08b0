"""Every query file: its header, and what the real Neo4j makes of it."""

from collections.abc import Iterator
from pathlib import Path

import neo4j
import pytest

from cmf_graph import queries
from cmf_graph.lineage import BOUNDS, bounded
from cmf_graph.queries import Query
from cmf_graph.store import Neo4jStore

FILES = sorted(queries.folder().glob("*/*.cypher"))
NAMES = [f"{path.parent.name}/{path.stem}" for path in FILES]

ENUMERATES_PATHS = {"VarLengthExpand(All)", "VarLengthExpand(Into)", "Repeat(Trail)"}

VALUES = {"rows": [], "keys": ["md5:x"], "ids": ["x"], "limit": 5, "chunk": 1, "include_retracted": False, "used": True}
"""Parameters whose type matters to a plan; all others are text."""


def test_every_folder_has_queries() -> None:
    assert {path.parent.name for path in FILES} == {"schema", "merge", "read", "lineage", "search", "explore"}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("schema/")])
def test_neo4j_plans_the_query(store: Neo4jStore, driver: neo4j.Driver, name: str) -> None:
    assert operators(driver, queries.load(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name.split("/")[0] in {"read", "lineage", "search"}])
def test_a_query_returns_the_columns_that_its_header_names(store: Neo4jStore, driver: neo4j.Driver, name: str) -> None:
    query = queries.load(name)
    _, _, columns = driver.execute_query(query.text, {name: VALUES.get(name, "x") for name in query.parameters})
    assert tuple(columns) == query.returns


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("schema/")])
def test_a_definition_may_be_repeated(store: Neo4jStore, name: str) -> None:
    store._connection.define(queries.load(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("explore/")])
def test_a_saved_query_runs_and_is_limited(driver: neo4j.Driver, store: Neo4jStore, name: str) -> None:
    query = queries.load(name)
    assert "LIMIT" in query.text.splitlines()[-1]
    assert not query.parameters
    driver.execute_query(query.text)


@pytest.mark.parametrize("bound", [*BOUNDS, None])
@pytest.mark.parametrize("name", ["lineage/upstream", "lineage/downstream"])
def test_a_walk_visits_each_node_once(store: Neo4jStore, driver: neo4j.Driver, name: str, bound: int | None) -> None:
    plan = operators(driver, bounded(queries.load(name), bound))
    assert not plan & ENUMERATES_PATHS
    assert "VarLengthExpand(Pruning,BFS,All)" in plan
    assert "NodeUniqueIndexSeek" in plan


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.split("/")[0] in {"lineage", "read", "search", "merge"}]
)
def test_no_query_enumerates_paths(store: Neo4jStore, driver: neo4j.Driver, name: str) -> None:
    assert not operators(driver, queries.load(name)) & ENUMERATES_PATHS


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (s:Entity {key: 'a'}) MATCH p = (s)<-[:INPUT|OUTPUT*0..]-(n) RETURN p",
        "MATCH (s:Entity {key: 'a'}), (t:Entity {key: 'b'}) MATCH (s)-[:INPUT*1..]->(t) RETURN count(*)",
        "MATCH (s:Entity {key: 'a'}) MATCH (s) (()-[:INPUT]->()){1,20} (n) RETURN n",
    ],
)
def test_the_guard_sees_queries_that_enumerate_paths(driver: neo4j.Driver, store: Neo4jStore, text: str) -> None:
    assert operators(driver, Query(Path("x/y.cypher"), "", (), (), text)) & ENUMERATES_PATHS


@pytest.mark.parametrize("kind", ["artifacts", "executions", "pipelines"])
def test_a_list_is_read_in_the_order_of_its_index(store: Neo4jStore, driver: neo4j.Driver, kind: str) -> None:
    plan = operators(driver, queries.load(f"search/{kind}"))
    assert "NodeIndexSeek" in plan
    assert not plan & {"Sort", "Top", "NodeByLabelScan"}


def test_keys_are_read_in_the_order_of_their_index(store: Neo4jStore, driver: neo4j.Driver) -> None:
    plan = operators(driver, queries.load("read/keys"))
    assert "NodeUniqueIndexSeekByRange" in plan
    assert not plan & {"Sort", "Top"}


COUNT_OR_LIST_ALL = {
    "merge/any_pending",
    "read/kinds",
    "read/pending",
    "read/types",
    "search/artifacts_count",
    "search/executions_count",
    "search/pipelines_count",
}


@pytest.mark.parametrize("size", [0, 30])
def test_only_counts_scan_however_little_is_there(store: Neo4jStore, driver: neo4j.Driver, size: int) -> None:
    """The planner likes scans on a small graph, and a plan is kept for a while when the graph grows."""
    driver.execute_query("UNWIND range(1, $size) AS i CREATE (:Entity:Execution {key: 'execution:' + i})", size=size)
    driver.execute_query("CALL db.clearQueryCaches()")
    scanning = {name for name in NAMES if name.split("/")[0] in {"merge", "read", "search", "lineage"}}
    scanning = {name for name in scanning if any("Scan" in step for step in operators(driver, queries.load(name)))}
    assert scanning <= COUNT_OR_LIST_ALL


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("MATCH (n) RETURN n", 1),
        ("// Title\nMATCH (n) RETURN n", 2),
        ("// Title\n// parameters: none\n\nMATCH (n) RETURN n", 3),
        ("// Title\n// parameters: none\n// returns: n\n", 4),
        ("// Title\n// parameters: none\n// returns: n\nRETURN 1; RETURN 2", 4),
        ("// Title\n// parameters: none\n// returns: n\nRETURN $x AS n", 2),
        ("// Title\n// parameters: x, y\n// returns: n\nRETURN $x AS n", 2),
    ],
)
def test_a_wrong_header_is_reported_with_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "wrong.cypher"
    path.write_text(text)
    with pytest.raises(RuntimeError, match=rf"wrong\.cypher:{line}: "):
        queries.read(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"nothing\.cypher:1: "):
        queries.load("merge/nothing")


def operators(driver: neo4j.Driver, query: Query) -> set[str]:
    """The operators of a query's plan on the real server."""
    parameters = {name: VALUES.get(name, "x") for name in query.parameters}
    _, summary, _ = driver.execute_query("EXPLAIN " + query.text, parameters)
    return {step["operatorType"].partition("@")[0] for step in _steps(summary.plan)}


def _steps(plan: dict) -> Iterator[dict]:
    yield plan
    for child in plan.get("children", ()):
        yield from _steps(child)
