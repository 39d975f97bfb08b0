"""The layout and the SVG over any graph, cycles, diamonds and doubled uses included."""

from __future__ import annotations

import random
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from pictures.examples import artifact, chain, cycle, execution, lineage, use

from cmf.core.model import Lineage
from cmf.pictures import to_svg
from cmf.pictures.layout import Card, Layout, Link, lay_out

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw: st.DrawFn) -> Lineage:
    artifacts = [artifact(f"a{n}", values={"v": n} if n % 3 == 0 else None) for n in range(draw(st.integers(1, 9)))]
    executions = [execution(f"e{n}", parameters={"p": n}) for n in range(draw(st.integers(0, 8)))]
    ends = st.tuples(st.sampled_from(artifacts), st.sampled_from(executions or [None]), st.booleans())
    uses = draw(st.lists(ends, max_size=24)) if executions else []
    edges = [use(a, e, f"{n}.bin") if reads else use(e, a, f"{n}.bin") for n, (a, e, reads) in enumerate(uses)]
    return lineage([artifacts[0].key], [*artifacts, *executions], edges)


def laid_out(graph: Lineage) -> Layout:
    cards = [Card(n.key, n.name, 200, 50 + len(n.name) * 7, n.key.startswith("execution:")) for n in graph.nodes]
    return lay_out(cards, [Link(edge.source, edge.target) for edge in graph.edges])


@given(graphs())
def test_no_two_cards_overlap_and_all_lie_on_the_sheet(graph: Lineage) -> None:
    layout = laid_out(graph)
    assert set(layout.boxes) == {node.key for node in graph.nodes}
    for one, other in combinations(layout.boxes.values(), 2):
        apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
        apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
        assert apart_x or apart_y
    for box in layout.boxes.values():
        assert 0 <= box.x <= box.x + box.width <= layout.width
        assert 0 <= box.y <= box.y + box.height <= layout.height + 0.2


@given(graphs())
def test_wires_lead_from_card_to_card_and_rightwards_unless_marked(graph: Lineage) -> None:
    layout = laid_out(graph)
    for edge, wire in zip(graph.edges, layout.wires, strict=True):
        source, target = layout.boxes[edge.source], layout.boxes[edge.target]
        xs = [x for x, _ in wire.points]
        if wire.back:
            assert xs == sorted(xs, reverse=True)
            assert (xs[0], xs[-1]) == (source.x, target.x + target.width)
        else:
            assert xs == sorted(xs)
            assert (xs[0], xs[-1]) == (source.x + source.width, target.x)
        assert source.y <= wire.points[0][1] <= source.y + source.height
        assert target.y <= wire.points[-1][1] <= target.y + target.height


@given(graphs())
def test_no_wire_passes_a_card(graph: Lineage) -> None:
    layout = laid_out(graph)
    for wire in layout.wires:
        inner = sorted(wire.points)[1:-1]
        for (left, y), (right, _) in zip(inner[::2], inner[1::2], strict=True):
            for box in layout.boxes.values():
                beside = box.x + box.width <= left or right <= box.x
                assert beside or not box.y < y < box.y + box.height


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_picture_does_not_depend_on_the_order_of_the_answer(graph: Lineage, chance: random.Random) -> None:
    nodes, edges = list(graph.nodes), list(graph.edges)
    chance.shuffle(nodes)
    chance.shuffle(edges)
    assert to_svg(lineage(graph.roots, nodes, edges)) == to_svg(graph)


@given(graphs())
@settings(max_examples=50)
def test_every_node_and_edge_is_drawn_exactly_once(graph: Lineage) -> None:
    tree = ElementTree.fromstring(to_svg(graph))
    drawn = sorted(element.attrib["data-key"] for element in tree.iter(f"{SVG}g") if "data-key" in element.attrib)
    assert drawn == sorted([node.key for node in graph.nodes] + [edge.key for edge in graph.edges])


def test_loops_are_marked_and_only_they() -> None:
    tree = ElementTree.fromstring(to_svg(cycle()))
    back = [e.findtext(f"{SVG}title") for e in tree.iter(f"{SVG}g") if "back" in e.get("class", "").split()]
    assert back == [
        "input config v2.yaml: config v2.yaml → revert (leads back: a loop)",
        "input config v2.yaml: config v2.yaml → touch (leads back: a loop)",
    ]


def test_a_chain_of_ten_thousand_is_drawn() -> None:
    graph = chain(10_000)
    assert to_svg(graph).count('class="card ') == 10_000
