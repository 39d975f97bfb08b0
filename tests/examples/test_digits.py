"""The digits example, run whole as a user runs it: a process, on an embedded store and on a real Neo4j.

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

import psutil
import pytest

from cmf.core.model import Stats
from cmf.core.store import Store

DEMO = Path(__file__).resolve().parents[2] / "examples" / "digits" / "demo.py"
ORIGINAL_RAW = "md5:c11d5958397e26125add2a50859f40e5"  # scikit-learn's digits as prepare.py writes them
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Demo:
    """A demo that has ended: what it printed, where it worked, which store it left the graph in."""

    pid: int
    screen: str
    folder: Path
    store: str

    def stats(self) -> Stats:
        with closing(self._open()) as store:
            return store.stats()

    def _open(self) -> Store:
        from cmf_api.stores import open_store

        return open_store(self.store)

    def lineage(self, site: str, *arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(cmf(self.folder / site, "lineage", *arguments, "--json"))
        return answer


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("digits") / "demo"
    return run_demo("sqlite", folder, store=f"sqlite:///{folder / 'server.db'}")


@pytest.fixture(scope="module")
def on_neo4j(neo4j_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    from conftest import empty

    from cmf_graph.store import Neo4jStore

    with closing(Neo4jStore(neo4j_uri)) as store:
        empty(store)
    return run_demo(neo4j_uri, tmp_path_factory.mktemp("digits") / "demo", store=neo4j_uri)


@pytest.fixture(params=["on_sqlite", "on_neo4j"])
def demo(request: pytest.FixtureRequest) -> Demo:
    found: Demo = request.getfixturevalue(request.param)
    return found


def run_demo(option: str, folder: Path, *, store: str) -> Demo:
    """Run the demo in an empty home and a session of its own, in which whatever it leaves running can be found."""
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
    return Demo(process.pid, screen, folder, store)


def test_the_tree_leads_from_the_raw_data_to_the_selected_model(demo: Demo) -> None:
    tree = demo.screen.rpartition("cmf lineage")[0].rpartition("6/6")[2]
    for name in ("select wrote models/selected.pkl", "evaluate", "train", "split", "prepare", "raw.csv"):
        assert name in tree
    assert "upstream · whole depth · 19 nodes · complete" in tree


def test_the_server_holds_what_was_recorded_and_nothing_twice(demo: Demo) -> None:
    stats = demo.stats()
    # prepare twice, split, train and evaluate three times, select; raw and clean data twice, two parts, models, metrics
    assert stats.kinds == {"artifact": 12, "execution": 10, "pipeline": 1, "stage": 5}
    assert stats.types == {"Dataset": 6, "Metrics": 3, "Model": 3}
    assert stats.sites == 2


def test_the_selected_model_is_one_of_the_three(demo: Demo) -> None:
    selected = shown(demo, "site-b", "models/selected.pkl")
    assert selected in {shown(demo, "site-b", f"models/hidden-{hidden}.pkl") for hidden in (10, 20, 40)}


def test_the_empty_clone_answers_offline_as_the_server_does(demo: Demo) -> None:
    selected = shown(demo, "site-b", "models/selected.pkl")
    with serving(demo.store) as url:
        for direction in ("--up", "--down", "--both"):
            here = demo.lineage("site-c", selected, direction)
            there = demo.lineage("site-c", selected, direction, "--server", url)
            assert without_arrival(here) == without_arrival(there)
            assert len(nodes(here)) > 1


def test_the_old_raw_data_touched_every_model_and_the_new_none(demo: Demo) -> None:
    with serving(demo.store) as url:
        old = demo.lineage("site-a", ORIGINAL_RAW, "--down", "--server", url)
        new = demo.lineage("site-a", "data/raw.csv", "--down", "--server", url)
    assert models(old) == ["hidden-10.pkl", "hidden-20.pkl", "hidden-40.pkl"]
    assert models(new) == []
    assert new["roots"] != [ORIGINAL_RAW]
    assert "3 models saw the old raw data and need training again: hidden-10.pkl, hidden-20.pkl" in demo.screen
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


def shown(demo: Demo, site: str, path: str) -> str:
    key: str = json.loads(cmf(demo.folder / site, "show", path, "--json"))["node"]["key"]
    return key


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


def nodes(answer: dict[str, object]) -> list[dict[str, object]]:
    found = answer["nodes"]
    assert isinstance(found, list)
    return found


def models(answer: dict[str, object]) -> list[object]:
    return sorted(node["name"] for node in nodes(answer) if "Model" in node.get("types", ()))  # type: ignore[operator]


def without_arrival(answer: dict[str, object]) -> dict[str, object]:
    """The answer without the one thing that is each store's own: when it first held a node."""
    return {
        **answer,
        "nodes": [{k: v for k, v in node.items() if k != "recorded_at"} for node in nodes(answer)],
    }
