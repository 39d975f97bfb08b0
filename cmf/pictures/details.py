"""Everything that is known of a node, as rows to show beside a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cmf.core.model import Answer, Artifact, Code, Execution, Lineage, Node
from cmf.core.values import Json
from cmf.pictures.labels import command_line, duration, printable, size, title_of, type_of, whole_value

Rows = list[tuple[str, str]]


def details(node: Node) -> dict[str, object]:
    """`key`, `title`, `kind`, and `sections`: pairs of a heading and its rows. All of them are text, ready to show."""
    sections = [("", _facts(node)), *_sections(node), ("Properties", _rows(node.properties))]
    return {
        "key": printable(node.key),
        "title": title_of(node),
        "kind": type_of(node) if isinstance(node, Artifact) else type(node).__name__,
        "sections": [(heading, rows) for heading, rows in sections if rows],
    }


def neighbours(lineage: Lineage) -> list[tuple[str, str, str]]:
    """The edges as keys: the edge's, its source's, its target's."""
    known = {node.key for node in lineage.nodes}
    return [
        (printable(edge.key), printable(edge.source), printable(edge.target))
        for edge in lineage.edges
        if edge.source in known and edge.target in known
    ]


def _facts(node: Answer) -> Rows:
    distance = None if node.distance is None else str(node.distance)
    rows = [("key", node.key), ("distance", distance), ("first seen", node.first_seen), ("recorded", node.recorded_at)]
    rows.append(("retracted", node.retracted))
    rows.append(("retracted at", node.retracted_at))
    rows.append(("stub", "only named by an edge so far" if node.stub else None))
    return _told(rows)


def _sections(node: Node) -> list[tuple[str, Rows]]:
    match node:
        case Artifact():
            bytes_ = None if node.size_bytes is None else f"{size(node.size_bytes)} ({node.size_bytes:,} bytes)"
            content = _told([("types", ", ".join(node.types)), ("size", bytes_), ("sha256", node.sha256)])
            return [("Content", content), ("Values", _rows(node.values or {}))]
        case Execution():
            return [("Run", _run(node)), ("Parameters", _rows(node.parameters)), ("Code", _code(node))]
        case _:
            return []


def _run(node: Execution) -> Rows:
    rows = [("status", node.status), ("error", node.error), ("pipeline", node.pipeline), ("stage", node.stage)]
    rows += [("type", node.type), ("project", node.project), ("branch", node.branch)]
    rows += [("started", node.started_at), ("ended", node.ended_at), ("took", duration(node))]
    rows += [("command", command_line(node.command)), ("series", ", ".join(node.series))]
    return _told(rows)


def _code(node: Execution) -> Rows:
    code = node.code or Code()
    dirty = "yes: the tree differed from the commit" if code.dirty else None
    ended = node.end_commit
    return _told(
        [
            ("commit", code.commit),
            ("remote", code.remote),
            ("dirty", dirty),
            ("snapshot", code.snapshot),
            ("end commit", ended),
        ]
    )


def _rows(values: Mapping[str, Json]) -> Rows:
    return [(printable(name), whole_value(content)) for name, content in values.items()]


def _told(rows: Iterable[tuple[str, str | None]]) -> Rows:
    return [(name, printable(text)) for name, text in rows if text]
