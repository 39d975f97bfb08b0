"""Names are anybody's text: in no format do they become anything else."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest
from pictures.examples import artifact, chain, cycle, digits, execution, fan_out, generated, lineage, use
from rich.console import Console

from cmf.core.model import Lineage
from cmf.pictures import to_dot, to_html, to_mermaid, to_svg, to_tree
from cmf.pictures.labels import pairs, printable, size
from cmf.pictures.widths import elide, width_of

HOSTILE = [
    "</svg><script>alert(1)</script>",
    "</script><script>alert(1)</script><!--",
    "[bold red]not markup[/]",
    "\x1b[31mred\x07\x00 \ud800 \u202e reversed \ufffe",
    'quote " back\\slash \\n new\nline',
    "`*markdown*` #35; %%{init: {}}%% end",
]


def hostile(text: str) -> Lineage:
    one = artifact(text, text, values={text: text, "nan": {"$number": "NaN"}}, properties={text: [text, {text: None}]})
    run = execution(text, pipeline=text, stage=text, error=text, status="failed", parameters={text: text})
    return lineage([one.key], [one, run], [use(run, one, text + "/" + text)])


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data


def printed(graph: Lineage, width: int = 200) -> str:
    out = StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=False).print(to_tree(graph))
    return out.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_svg(text: str) -> None:
    tree = ElementTree.fromstring(to_svg(hostile(text)).encode())
    assert not [element for element in tree.iter() if element.tag.endswith("script")]
    titles = "\n".join(element.text or "" for element in tree.iter() if element.tag.endswith("title"))
    assert printable(text) in titles


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_html(text: str) -> None:
    page = Page(to_html(hostile(text)).encode().decode())
    embedded, code = page.scripts
    assert page.tags.count("script") == 2
    assert "alert" not in code
    assert json.loads(embedded)["nodes"][0]["title"] == printable(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_a_terminal(text: str) -> None:
    shown = printed(hostile(text), width=2000)
    assert printable(text) in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_dot_and_mermaid(text: str) -> None:
    dot, mermaid = to_dot(hostile(text)), to_mermaid(hostile(text))
    strings = dot.replace("\\\\", "").replace('\\"', "").count('"')
    assert strings % 2 == 0
    assert len(dot.splitlines()) == 8
    drawn = [line for line in mermaid.splitlines() if line.startswith("  n")]
    assert len(drawn) == 3
    assert all(line.count('"') in (0, 2) for line in drawn)
    assert "<script" not in mermaid
    assert "`" not in "".join(drawn)


@pytest.mark.parametrize("text", [*HOSTILE, "W" * 300, "特徴量の抽出" * 20, "👩‍🔬" * 40, "e\u0301" * 90])
def test_text_is_cut_to_its_room(text: str) -> None:
    for room in (40, 150):
        cut = elide(printable(text), room, 13.5, bold=True)
        assert width_of(cut, 13.5, bold=True) <= room
        assert cut.endswith("…")


@pytest.mark.parametrize("graph", [digits(), cycle(), generated(50), fan_out(40)], ids=lambda g: str(len(g.nodes)))
def test_every_format_says_whether_the_answer_is_whole(graph: Lineage) -> None:
    told = "complete" if graph.complete else "truncated: 42 of 1,204 nodes"
    for picture in (to_svg(graph), to_html(graph), printed(graph), to_dot(graph), to_mermaid(graph)):
        assert told in picture


def test_a_picture_of_nothing_is_still_a_picture() -> None:
    nothing = lineage([], [], [])
    ElementTree.fromstring(to_svg(nothing))
    assert "0 nodes" in printed(nothing)
    assert to_html(nothing) and to_dot(nothing) and to_mermaid(nothing)


def test_the_tree_refers_to_what_it_has_shown_and_marks_cycles() -> None:
    assert printed(cycle()).splitlines() == [
        "config v2.yaml  Config 99 B  b077297f",
        "├── edit  complete  digits  de95b43b",
        "│   ├── 00000000 as lost.bin  Artifact  00000000  stub: only named by an edge so far",
        "│   └── config v1.yaml  Config 120 B  d2f267b1",
        "│       └── revert wrote config.yaml  complete  digits  4bc48a3c",
        "│           └── config v2.yaml  b077297f  ↺ cycle",
        "└── touch  failed  digits  b96ba508  disk full",
        "    └── config v2.yaml  b077297f  ↺ cycle",
        "upstream · whole depth · 6 nodes · complete",
    ]
    shown = printed(digits())
    assert shown.count("Dataset 737 kB") == 1
    assert "C=1.0 kernel=rbf" in shown


@pytest.mark.parametrize("graph", [chain(10_000), fan_out(10_000)], ids=["chain", "fan"])
def test_a_tree_of_ten_thousand_is_cut_and_says_how_to_see_the_rest(graph: Lineage) -> None:
    lines = printed(graph).splitlines()
    assert len(lines) < 220
    assert sum("cmf lineage" in line for line in lines) == 1
    assert "not shown here" in lines[-1]


def test_numbers_are_short_but_true() -> None:
    assert pairs({"C": 1.0, "accuracy": 0.9722222, "n": 360, "tiny": 1e-9, "on": True}) == [
        "C=1.0",
        "accuracy=0.9722",
        "n=360",
        "tiny=1e-09",
        "on=true",
    ]
    assert [size(n) for n in (0, 999, 1000, 999_950, 1_312_004, 10**15)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1 MB",
        "1.31 MB",
        "1 PB",
    ]
