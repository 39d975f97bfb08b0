"""A lineage as one SVG file: cards in columns, arrows along the data, and a line that says what is shown."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

from cmf.core.model import Artifact, Edge, Lineage, Node
from cmf.pictures.cards import WIDTH, Face, draw_card, face_of
from cmf.pictures.labels import family_of, headline, path_label, printable, scope, state
from cmf.pictures.layout import Card, Layout, Link, lay_out
from cmf.pictures.palette import stylesheet
from cmf.pictures.widths import elide, px, width_of
from cmf.pictures.wires import draw_wire, place_labels

_MARGIN = 36.0
_HEADER = 74.0
_LEAST_WIDTH = 560.0
_LABEL_SIZE = 10.5
_LABEL_WIDTH = 150.0


def to_svg(lineage: Lineage) -> str:
    """The picture as a file of its own; it needs nothing else, and follows the reader's light or dark scheme.

    An edge whose end is not among the nodes has nowhere to lead and is left out.
    """
    return draw(lineage, titled=True)


def draw(lineage: Lineage, *, titled: bool) -> str:
    """The picture with or without its title line; cards and arrows carry their key as `data-key`."""
    nodes = {node.key: node for node in sorted(lineage.nodes, key=lambda node: node.key)}
    edges = [edge for edge in lineage.edges if edge.source in nodes and edge.target in nodes]
    edges.sort(key=lambda edge: (nodes[edge.source].name, nodes[edge.target].name, edge.path, edge.key))
    faces = {key: face_of(node, root=key in lineage.roots) for key, node in nodes.items()}
    labels = [_label(edge, nodes) for edge in edges]
    layout = _place(nodes, faces, edges, labels, _closing(lineage))
    top = _HEADER if titled else _MARGIN
    width = max(_LEAST_WIDTH if titled else 0.0, layout.width + 2 * _MARGIN)
    height = layout.height + top + _MARGIN
    left = (width - layout.width) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cmf" width="{px(width)}" height="{px(height)}" '
        f'viewBox="0 0 {px(width)} {px(height)}" role="img" aria-label={quoteattr(headline(lineage))}>'
        f"<style>{escape(stylesheet())}</style>"
        f'<rect class="ground" width="{px(width)}" height="{px(height)}" rx="12"/>'
        f"{_header(lineage, width) if titled else ''}"
        f'<g transform="translate({px(left)} {px(top)})">'
        f'<g class="wires">{"".join(_wires(edges, nodes, layout))}</g>'
        f'<g class="cards">{"".join(draw_card(faces[key], layout.boxes[key]) for key in nodes)}</g>'
        f'<g class="labels">{place_labels(layout.wires, labels)}</g>'
        "</g></svg>\n"
    )


def _closing(lineage: Lineage) -> Callable[[Edge], bool]:
    """Which edges are known to close a cycle: those that leave the root of an upstream answer and come back to it.
    So the root stands last, and not wherever a walk happens to cut the cycle. Downstream, the other way.
    """
    root = lineage.roots[0] if len(lineage.roots) == 1 else ""
    match lineage.direction:
        case "upstream":
            behind = _reached(root, [(edge.target, edge.source) for edge in lineage.edges])
            return lambda edge: edge.source == root and edge.target in behind
        case "downstream":
            after = _reached(root, [(edge.source, edge.target) for edge in lineage.edges])
            return lambda edge: edge.target == root and edge.source in after
        case _:
            return lambda edge: False


def _reached(start: str, steps: list[tuple[str, str]]) -> set[str]:
    onward: dict[str, list[str]] = {}
    for near, far in steps:
        onward.setdefault(near, []).append(far)
    reached, rest = {start}, [start]
    while rest:
        found = [far for far in onward.get(rest.pop(), ()) if far not in reached]
        reached.update(found)
        rest += found
    return reached


def _place(
    nodes: dict[str, Node],
    faces: dict[str, Face],
    edges: list[Edge],
    labels: list[str],
    closing: Callable[[Edge], bool],
) -> Layout:
    cards = [
        Card(key, node.name, WIDTH, faces[key].height, 0 if isinstance(node, Artifact) else 1)
        for key, node in nodes.items()
    ]
    links = [
        Link(edge.source, edge.target, width_of(label, _LABEL_SIZE) if label else 0.0, closing(edge))
        for edge, label in zip(edges, labels, strict=True)
    ]
    return lay_out(cards, links)


def _label(edge: Edge, nodes: dict[str, Node]) -> str:
    return elide(path_label(edge, _artifact_end(edge, nodes)), _LABEL_WIDTH, _LABEL_SIZE)


def _artifact_end(edge: Edge, nodes: dict[str, Node]) -> Node:
    return nodes[edge.source if edge.kind == "input" else edge.target]


def _wires(edges: list[Edge], nodes: dict[str, Node], layout: Layout) -> list[str]:
    drawn = []
    for edge, wire in zip(edges, layout.wires, strict=True):
        artifact = _artifact_end(edge, nodes)
        classes = ["wire", family_of(artifact) if isinstance(artifact, Artifact) else "other"]
        classes += ["back"] * wire.back + ["retracted"] * (edge.retracted is not None)
        ends = f"{nodes[edge.source].name} → {nodes[edge.target].name}"
        title = printable(f"{edge.kind} {edge.path}: {ends}") + (" (leads back: a loop)" if wire.back else "")
        drawn.append(
            f'<g class="{" ".join(classes)}" data-key={quoteattr(printable(edge.key))}>'
            f"<title>{escape(title)}</title>{draw_wire(wire)}</g>"
        )
    return drawn


def _header(lineage: Lineage, width: float) -> str:
    room = width - 2 * _MARGIN
    mood = "whole" if lineage.complete else "truncated"
    said = f"{scope(lineage)} · "
    return (
        f"<g><title>{escape(headline(lineage))}</title>"
        f'<text class="ink heading" x="{px(_MARGIN)}" y="32">'
        f"{escape(elide(headline(lineage), room, 18, bold=True))}</text>"
        f'<text class="soft scope" x="{px(_MARGIN)}" y="53">{escape(said)}'
        f'<tspan class="{mood} strong">{escape(state(lineage))}</tspan></text></g>'
    )
