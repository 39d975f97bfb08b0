"""The digits example, run whole as a user runs it: a process, once on an embedded store, once on a real Neo4j.

raw.csv ─ prepare ─ digits.npz ─ split ┬ train.npz ─ train ×3 ─ models ┐
                                       └ test.npz ─────────────────── evaluate ×3 ─ metrics ─ select ─ one of the models
corrected raw.csv ─ prepare ─ other digits.npz
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import empty

from cmf import query
from cmf_graph.store import Neo4jStore

DEMO = Path(__file__).resolve().parents[2] / "examples" / "digits" / "demo.py"
ORIGINAL_RAW = "md5:c11d5958397e26125add2a50859f40e5"  # scikit-learn's digits as prepare.py writes them
PATIENCE_SECONDS = 240  # it takes 25 on an idle machine

Answer = dict[str, Any]


@dataclass(frozen=True)
class Demo:
    """A demo that has ended: what it printed, where it worked; and a server on the graph that it left, at `url`."""

    pid: int
    screen: str
    folder: Path
    url: str

    def key(self, site: str, path: str) -> str:
        found: str = json.loads(cmf(self.folder / site, "show", path, "--json"))["node"]["key"]
        return found

    def lineage(self, site: str, *arguments: str) -> Answer:
        found: Answer = json.loads(cmf(self.folder / site, "lineage", *arguments, "--json"))
        return found


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("digits") / "demo"
    yield from demo_on("sqlite", f"sqlite:///{folder / 'server.db'}", folder)


@pytest.fixture(scope="module")
def on_neo4j(neo4j_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with closing(Neo4jStore(neo4j_uri)) as store:
        empty(store)
    yield from demo_on(neo4j_uri, neo4j_uri, tmp_path_factory.mktemp("digits") / "demo")


@pytest.fixture(params=["on_sqlite", "on_neo4j"])
def demo(request: pytest.FixtureRequest) -> Demo:
    found: Demo = request.getfixturevalue(request.param)
    return found


def demo_on(option: str, store: str, folder: Path) -> Iterator[Demo]:
    pid, screen = run_demo(option, folder)
    with serving(store) as url:
        yield Demo(pid, screen, folder, url)


def run_demo(option: str, folder: Path) -> tuple[int, str]:
    """Run the demo in an empty home and a session of its own, in which whatever it leaves running can be found.

    The server that CMF_SERVER names is none of the demo's business.
    """
    home = folder.parent / "home"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, DEMO, f"--store={option}", f"--folder={folder}", "--no-wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CMF_SERVER": "http://127.0.0.1:9"},
        cwd=home,
        start_new_session=True,
    )
    try:
        screen, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, screen
    return process.pid, screen


def test_the_tree_leads_from_the_raw_data_to_the_selected_model(demo: Demo) -> None:
    tree = demo.screen.partition("7/7")[0].rpartition("cmf lineage")[0].rpartition("6/7")[2]
    for name in ("select wrote models/selected.pkl", "evaluate", "train", "split", "prepare", "raw.csv"):
        assert name in tree
    assert "upstream · whole depth · 19 nodes · complete" in tree


def test_the_server_holds_what_was_recorded_and_nothing_twice(demo: Demo) -> None:
    stats = query(demo.url).stats()
    # Runs: prepare twice, split, train and evaluate three times, select. Artifacts: raw and clean data twice, its two
    # parts, models, metrics, the steps of each training, one environment. Uses: one of the environment each, and 2 a
    # prepare, 3 of split, 3 a train, 3 an evaluate, 4 of select.
    assert stats.kinds == {"artifact": 16, "execution": 10, "pipeline": 1, "stage": 5, "use": 39}
    assert stats.types == {"Dataset": 6, "Environment": 1, "Metrics": 3, "Model": 3, "StepMetrics": 3}
    assert stats.sites == 2


def test_the_selected_model_is_one_of_the_three(demo: Demo) -> None:
    made = edges(demo.lineage("site-b", "models/selected.pkl", "--up", "--depth", "1"))
    assert sorted(edge["path"] for edge in made if edge["kind"] == "output") == [
        "models/hidden-32.pkl",
        "models/selected.pkl",
    ]


@pytest.mark.parametrize("direction", ["--up", "--both"])
def test_the_empty_clone_answers_offline_as_the_server_does(demo: Demo, direction: str) -> None:
    selected = demo.key("site-b", "models/selected.pkl")
    here = demo.lineage("site-c", selected, direction)
    there = demo.lineage("site-c", selected, direction, "--server", demo.url)
    assert len(nodes(here)) == 20, "what the picture shows, and the environment"
    assert without_arrival(here) == without_arrival(there)


def test_the_old_raw_data_touched_every_model_and_the_new_none(demo: Demo) -> None:
    old = demo.lineage("site-a", ORIGINAL_RAW, "--down", "--server", demo.url)
    new = demo.lineage("site-a", "data/raw.csv", "--down", "--server", demo.url)
    assert models(old) == ["hidden-10.pkl", "hidden-16.pkl", "hidden-32.pkl"]
    assert models(new) == []
    assert [node["name"] for node in nodes(new)] == ["raw.csv", "prepare", "digits.npz"]
    assert new["roots"] != old["roots"]
    assert "3 models saw the old raw data and need training again: hidden-10.pkl, hidden-16.pkl" in demo.screen
    assert "The corrected raw data has touched no model yet." in demo.screen


def test_the_picture_is_whole(demo: Demo) -> None:
    page = (demo.folder / "selected-model.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert '<span class="state complete">complete</span>' in page
    embedded = re.search(r'<script type="application/json" id="lineage">(.*?)</script>', page)
    assert embedded is not None
    assert len(json.loads(embedded[1])["nodes"]) == 19


def test_what_to_try_next_works_as_it_is_pasted(demo: Demo) -> None:
    next_ = demo.screen.rpartition("What to try next")[2].partition("The server is stopped")[0]
    commands = [line.strip() for line in next_.splitlines() if line.startswith("    ")]
    assert len(commands) >= 5
    subprocess.run(["bash", "-euc", "\n".join(commands)], cwd=demo.folder.parent / "home", check=True)
    assert (demo.folder / "site-c" / "slice.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_selected_model_is_made_again_to_the_byte(demo: Demo) -> None:
    assert "reproduced: 1 of 1 outputs are identical" in demo.screen
    again = demo.folder / "again"
    assert (again / "models/hidden-32.pkl").read_bytes() == (demo.folder / "site-b/models/selected.pkl").read_bytes()
    assert len(json.loads(cmf(again, "log", "--json"))) == 1


def test_nothing_is_left_running(demo: Demo) -> None:
    left = [process for process in psutil.process_iter() if session_of(process.pid) == demo.pid]
    assert left == []


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, DEMO, f"--folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def cmf(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "cmf.cli", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


@contextmanager
def serving(store: str) -> Iterator[str]:
    """A server on the graph that a demo left."""
    command = [sys.executable, "-m", "cmf.cli", "server", "--store", store, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


def nodes(answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer["nodes"]
    return found


def edges(answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer["edges"]
    return found


def models(answer: Answer) -> list[str]:
    return sorted(node["name"] for node in nodes(answer) if "Model" in node.get("types", ()))


def without_arrival(answer: Answer) -> Answer:
    """The answer without what is each store's own: when it first held a node."""
    kept = [{name: value for name, value in node.items() if name != "recorded_at"} for node in nodes(answer)]
    return {**answer, "nodes": kept}
