"""Questions to the local view: status, log, show and lineage, for people and as JSON."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import cmf
from cmf.core.store import Filters
from cmf.core.values import encode
from cmf.repository import Repository

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def as_json(told: subprocess.CompletedProcess[str]) -> Any:
    assert (told.returncode, told.stderr) == (0, "")
    return json.loads(told.stdout)


def test_status_says_what_there_is(run: Run, clone: Path) -> None:
    (clone / "below").mkdir()
    told = run("status", at=clone / "below").stdout
    assert re.search(rf"clone +{re.escape(str(clone))}\n", told)
    assert re.search(r"view +5 artifacts, 3 executions\n", told)
    assert re.search(r"journal +1 segment, [\d.]+ kB\n", told)
    assert re.search(r"server +none is set", told)
    found = as_json(run("status", "--json", at=clone))
    assert (found["root"], found["server"]) == (str(clone), None)
    assert found["view"]["kinds"]["execution"] == 3
    assert found["journal"]["bytes"] == sum(path.stat().st_size for path in clone.glob(".cmf/journal/*.jsonl"))


def test_log_lists_executions_newest_first_with_parameters_and_metrics(run: Run, clone: Path) -> None:
    heading, *lines = run("log", at=clone).stdout.splitlines()
    assert heading.split() == ["started", "run", "status", "took", "parameters", "metrics", "key"]
    assert [line.split()[2] for line in lines] == ["digits/evaluate", "digits/train", "digits/prepare"]
    assert "C=Infinity big=1152921504606846976" in lines[1]
    assert "accuracy=0.97 loss=NaN" in lines[1]


def test_log_in_json_is_one_list_of_the_nodes(run: Run, clone: Path) -> None:
    found = as_json(run("log", "--json", at=clone))
    assert found == json.loads(json.dumps([_plain(node) for node in _executions(clone)]))
    assert found[1]["parameters"] == {"C": {"$number": "Infinity"}, "big": {"$number": "1152921504606846976"}}


def test_log_is_narrowed_and_says_when_there_is_more(run: Run, clone: Path) -> None:
    assert [node["stage"] for node in as_json(run("log", "--json", "--status", "failed", at=clone))] == ["evaluate"]
    assert [node["stage"] for node in as_json(run("log", "--json", "--stage", "train", at=clone))] == ["train"]
    assert as_json(run("log", "--json", "--pipeline", "other", at=clone)) == []
    assert run("log", "--pipeline", "other", at=clone).stdout == "no execution matches\n"
    first = run("log", "-n", "1", at=clone)
    assert "evaluate" in first.stdout
    assert "prepare" not in first.stdout
    assert first.stderr == "cmf: note: there are more; say -n 2 to see more of them\n"


def test_show_tells_everything_of_an_execution(run: Run, clone: Path) -> None:
    key = next(node.key for node in _executions(clone) if node.name == "train")
    told = run("show", key.partition(":")[2][:9], at=clone).stdout
    assert told.startswith("train  Execution\n")
    for row in (r"key +" + key, r"status +complete", r"series +loss", r"C +Infinity", r"big +1152921504606846976"):
        assert re.search(row + r"\n", told), row
    for use in (r"read +train\.npz +Dataset", r"wrote +model\.pkl +Model", r"wrote +metrics +Metrics"):
        assert re.search(use, told), use
    assert re.search(r"loss +1 +0\.5 → 0\.5 +0\.5 at 1 +0\.5 at 1\n", told)
    detail = as_json(run("show", key, "--json", at=clone))
    assert (detail["node"]["key"], detail["uses_total"], len(detail["uses"])) == (key, 4, 4)


def test_show_tells_of_each_series_in_a_line_and_draws_it_on_a_terminal(run: Run, clone: Path) -> None:
    with cmf.run("digits", "train", root=clone) as long:
        for step in range(2_000):
            long.metric("train/loss", 8.0 - step / 250, step=step)
        for name, value in (("odd", float("nan")), ("odd", float("inf")), ("odd", 2.0), ("\u202e[red]", 1e300)):
            long.metric(name, value)
    told = run("show", long.key, at=clone).stdout
    assert re.search(r"train/loss +2,000 +8\.0 → 0\.004 +0\.004 at 1999 +8\.0 at 0\n", told)
    assert re.search(r"odd +3 \(1 NaN, 1 infinite\) +NaN → 2\.0 +2\.0 +2\.0\n", told)
    assert "\\u202e[red]" in told and "\u202e" not in told
    shown = re.sub(r"\x1b\[[\d;]*m", "", run("show", long.key, at=clone, FORCE_COLOR="1", COLUMNS="200").stdout)
    assert re.search(r"train/loss .* █{3}▇{3}▆{3}▅{3}▄{3}▃{3}▂{3}▁{3}\s", shown), shown


def test_show_takes_a_path_and_names_the_runs_at_it(run: Run, clone: Path) -> None:
    told = run("show", "model.pkl", at=clone).stdout
    assert re.search(r"read by +model\.pkl +digits/evaluate", told)
    assert re.search(r"written by +model\.pkl +digits/train", told)
    (clone / "model.pkl").unlink()  # then the path as it was recorded counts, from wherever one stands
    (clone / "below").mkdir()
    assert run("show", "../model.pkl", at=clone / "below").returncode == 1
    assert run("show", "model.pkl", at=clone).stdout == told


def test_a_long_path_is_shortened_on_a_narrow_terminal_and_whole_on_a_pipe(run: Run, clone: Path) -> None:
    long = "/".join(["data", *(f"folder-{n}" for n in range(12)), "训练数据", "train-2026.csv"])
    endless = "x" * 20_000
    (clone / long).parent.mkdir(parents=True)
    (clone / long).write_text("1")
    with cmf.run("digits", "split", params={"note": endless}, root=clone) as split:
        split.output(clone / long)
    kinds = {"show": (["show", split.key], long), "list": (["artifacts", "list"], long)}
    for name, (command, path) in kinds.items():
        assert path in run(*command, at=clone).stdout, name
        for width in (80, 100):
            told = run(*command, at=clone, FORCE_COLOR="1", COLUMNS=str(width)).stdout
            (line,) = (line for line in re.sub(r"\x1b\[[\d;]*m", "", told).splitlines() if "train-2026.csv" in line)
            assert cell_len(line) <= width
            assert re.search(r"data/fol[^ ]*…[^ ]*train-2026\.csv .*  c4ca4238\b", line), line
    assert endless in run("show", split.key, at=clone).stdout


@pytest.mark.parametrize("command", [["show"], ["lineage"], ["lineage", "--format", "dot"]])
def test_names_can_neither_steer_the_terminal_nor_style_the_text(run: Run, clone: Path, command: list[str]) -> None:
    with cmf.run("[red]p", "[/]", params={"\u202ename": "\x1b]0;x\x07[blink]"}, root=clone) as odd:
        odd.input(clone / "model.pkl", type="[link=x]T", note="\x1b[2J\n\u2028")
    told = run(*command, odd.key, at=clone, FORCE_COLOR="1")
    shown = re.sub(r"\x1b\[[\d;]*m", "", told.stdout)  # our own colours
    assert told.returncode == 0
    assert not set("\x1b\x07\u202e\u2028") & set(shown)
    assert "[red]p" in shown or "dot" in command
    assert "[/]" in shown
    assert "[red]p/[/]" in run("log", at=clone, FORCE_COLOR="1").stdout


@pytest.mark.parametrize(
    ("options", "above", "below"),
    [([], True, True), (["--both"], True, True), (["--up"], True, False), (["--down"], False, True)],
)
def test_lineage_goes_up_down_or_both_ways(run: Run, clone: Path, options: list[str], above: bool, below: bool) -> None:
    told = run("lineage", "model.pkl", *options, at=clone).stdout
    assert ("train.csv" in told, "evaluate" in told) == (above, below)
    assert told.endswith("complete\n")


def test_lineage_ends_at_the_depth_and_the_limit_and_says_so(run: Run, clone: Path) -> None:
    near = as_json(run("lineage", "model.pkl", "--up", "--depth", "1", "--json", at=clone))
    assert {node["name"] for node in near["nodes"]} == {"model.pkl", "train", "train.npz"}
    few = run("lineage", "model.pkl", "--limit", "2", "--json", at=clone)
    assert json.loads(few.stdout)["truncated"] == {"reason": "limit", "limit": 2, "seen": 6}
    assert few.stderr == "cmf: note: 2 of 6 nodes, the nearest; ask with --limit 6 for all\n"
    assert "truncated: 2 of 6 nodes" in run("lineage", "model.pkl", "--limit", "2", at=clone).stdout


@pytest.mark.parametrize(
    ("form", "beginning"),
    [
        ("json", "{"),
        ("dot", "digraph"),
        ("mermaid", "%%"),
        ("svg", "<svg"),
        ("html", "<!doctype html>"),
        ("tree", "upstream"),
    ],
)
def test_lineage_has_every_form_on_the_pipe_and_in_a_file(run: Run, clone: Path, form: str, beginning: str) -> None:
    printed = run("lineage", "model.pkl", "--format", form, at=clone).stdout
    assert printed.startswith(beginning)
    told = run("lineage", "model.pkl", "--format", form, "-o", "out", at=clone)
    assert told.stdout == f"wrote out: {form}, 6 nodes\n"
    assert [line.rstrip() for line in (clone / "out").read_text().splitlines()] == printed.splitlines()


def test_a_files_name_says_which_form_it_gets(run: Run, clone: Path) -> None:
    run("lineage", "model.pkl", "-o", "out.html", at=clone)
    assert (clone / "out.html").read_text().startswith("<!doctype html>")
    told = run("lineage", "model.pkl", "-o", "missing/out.html", at=clone)
    assert (told.returncode, told.stderr) == (1, "cmf: missing/out.html: No such file or directory\n")
    assert run("lineage", "model.pkl", "--json", "--format", "dot", at=clone).returncode == 2


@pytest.mark.parametrize("command", ["show", "lineage"])
def test_an_unknown_key_names_the_nearest_and_an_ambiguous_one_its_candidates(
    run: Run, clone: Path, command: str
) -> None:
    keys = [node.key for node in _executions(clone)]
    unknown = run(command, keys[0][:-1] + "x", "--json", at=clone)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == f"cmf: nothing recorded under '{keys[0][:-1]}x'; nearest: {keys[0]}\n"
    ambiguous = run(command, "execution:", at=clone)
    assert ambiguous.returncode == 1
    assert ambiguous.stderr == f"cmf: 'execution:' is ambiguous; candidates: {', '.join(sorted(keys))}\n"


def _executions(clone: Path) -> list[Any]:
    repository = Repository.find(clone)
    found = repository.view.list_nodes("execution", Filters(), 100, None)
    repository.close()
    return list(found.items)


def _plain(node: Any) -> Any:
    return json.loads(encode(node))
