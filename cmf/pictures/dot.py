"""A lineage in the language of Graphviz."""

from __future__ import annotations

from cmf.core.model import Artifact, Edge, Execution, Lineage, Node
from cmf.pictures.labels import (
    family_of,
    headline,
    pairs,
    path_label,
    printable,
    scope,
    short_key,
    state,
    title_of,
    type_of,
)

_FILL = {
    "dataset": "#e6effd",
    "model": "#f0e9fd",
    "metrics": "#dff4f0",
    "environment": "#fbf0d9",
    "label": "#fce8f2",
    "other": "#e9edf2",
}


def to_dot(lineage: Lineage) -> str:
    """A digraph, left to right along the data; nodes are named by their keys."""
    nodes = {node.key: node for node in lineage.nodes}
    lines = [
        "digraph lineage {",
        '  graph [rankdir=LR, fontname="Helvetica", labelloc=t, '
        f"label={_said(f'{headline(lineage)} ({scope(lineage)} · {state(lineage)})')}];",
        '  node [fontname="Helvetica", fontsize=11, style="rounded,filled", shape=box, color="#8b96a5"];',
        '  edge [fontname="Helvetica", fontsize=9, color="#7c8797"];',
        *(f"  {quoted(node.key)} [{_look(node, root=node.key in lineage.roots)}];" for node in lineage.nodes),
        *(f"  {quoted(edge.source)} -> {quoted(edge.target)}{_path(edge, nodes)};" for edge in lineage.edges),
        "}",
    ]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    r"""A string of the DOT language: quotes and backslashes escaped, so that no `\n` or `\G` of a name is one of DOT's.

    >>> print(quoted('say "hi"'))
    "say \"hi\""
    """
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _said(text: str) -> str:
    # Graphviz reads HTML entities in every label.
    return quoted(text.replace("&", "&amp;"))


def _look(node: Node, *, root: bool) -> str:
    rows = [title_of(node), short_key(node.key)]
    fill = "#ffffff"
    if isinstance(node, Artifact):
        rows += [type_of(node), *pairs(node.values or {})[:4]]
        fill = _FILL[family_of(node)]
    elif isinstance(node, Execution):
        rows += [node.status, *pairs(node.parameters)[:4]]
    # A line break is DOT's own escape, so it is put between rows that are escaped already.
    label = "\\n".join(_said(row)[1:-1] for row in rows)
    look = [f'label="{label}"', f'fillcolor="{fill}"']
    if isinstance(node, Execution):
        look.append("style=filled")  # square corners: a run, no content
        look += ['color="#b01c1c"', 'fontcolor="#b01c1c"'] * (node.status == "failed")
    if node.retracted is not None or node.stub:
        look.append('style="filled,dashed", fontcolor="#566273"')
    if root:
        look.append("penwidth=3")
    return ", ".join(look)


def _path(edge: Edge, nodes: dict[str, Node]) -> str:
    label = path_label(edge, nodes.get(edge.source if edge.kind == "input" else edge.target))
    return f" [label={_said(label)}]" if label else ""
