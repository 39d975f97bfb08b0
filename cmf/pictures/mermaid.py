"""A lineage as a Mermaid flowchart, for Markdown pages that draw one."""

from __future__ import annotations

from cmf.core.model import Artifact, Edge, Execution, Lineage, Node
from cmf.pictures.labels import family_of, headline, pairs, path_label, scope, short_key, state, title_of, type_of

_CLASSES = """\
  classDef dataset fill:#e6effd,stroke:#2459c4,color:#18212d
  classDef model fill:#f0e9fd,stroke:#6d3fc4,color:#18212d
  classDef metrics fill:#dff4f0,stroke:#0b6e62,color:#18212d
  classDef environment fill:#fbf0d9,stroke:#86590a,color:#18212d
  classDef label fill:#fce8f2,stroke:#a72c6b,color:#18212d
  classDef other fill:#e9edf2,stroke:#475569,color:#18212d
  classDef run fill:#ffffff,stroke:#566273,color:#18212d
  classDef failed fill:#fff7f7,stroke:#b01c1c,color:#b01c1c
  classDef gone stroke-dasharray:5 4,color:#566273
  classDef root stroke-width:4px"""


def to_mermaid(lineage: Lineage) -> str:
    """A flowchart, left to right along the data; nodes are numbered in the order of the answer."""
    numbers = {node.key: f"n{number}" for number, node in enumerate(lineage.nodes)}
    nodes = {node.key: node for node in lineage.nodes}
    lines = [
        f"%% {encoded(headline(lineage))} ({scope(lineage)} · {state(lineage)})",
        "flowchart LR",
        *(f"  {numbers[node.key]}{_shape(node)}" for node in lineage.nodes),
        *(
            f"  {numbers[edge.source]} -->{_path(edge, nodes)} {numbers[edge.target]}"
            for edge in lineage.edges
            if edge.source in numbers and edge.target in numbers
        ),
        _CLASSES,
        *(f"  class {numbers[node.key]} {name}" for node in lineage.nodes for name in _classes(node, lineage)),
    ]
    return "\n".join(lines) + "\n"


def encoded(text: str) -> str:
    """Text for a quoted label: whatever Mermaid or HTML could read as syntax becomes Mermaid's `#code;`.

    >>> encoded('<b>"x"</b>')
    '#60;b#62;#34;x#34;#60;/b#62;'
    """
    plain = " .,-_/=:+()"
    return "".join(
        character if character.isalnum() or character in plain or ord(character) > 127 else f"#{ord(character)};"
        for character in text
    )


def _shape(node: Node) -> str:
    rows = [title_of(node)]
    if isinstance(node, Artifact):
        rows += [f"{type_of(node)} {short_key(node.key)}", *pairs(node.values or {})[:4]]
        return f'["{_label(rows)}"]'
    if isinstance(node, Execution):
        rows += [f"{node.status} {short_key(node.key)}", *pairs(node.parameters)[:4]]
    return f'(["{_label(rows)}"])'


def _label(rows: list[str]) -> str:
    return "<br/>".join(map(encoded, rows))


def _classes(node: Node, lineage: Lineage) -> list[str]:
    if isinstance(node, Artifact):
        names = [family_of(node)]
    else:
        names = ["failed" if isinstance(node, Execution) and node.status == "failed" else "run"]
    gone = node.retracted is not None or node.stub
    return names + ["gone"] * gone + ["root"] * (node.key in lineage.roots)


def _path(edge: Edge, nodes: dict[str, Node]) -> str:
    label = path_label(edge, nodes.get(edge.source if edge.kind == "input" else edge.target))
    return f'|"{encoded(label)}"|' if label else ""
