"""A recorded execution, run again from what was recorded: the same bytes, and nothing of the user's is touched."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from typed import TRAIN, Site

Make = Callable[..., Site]


def test_a_run_is_made_again_to_the_byte_though_everything_changed_since(with_dvc: Site) -> None:
    site = with_dvc
    model = (site.folder / "model.txt").read_bytes()
    site.write("train.py", "raise SystemExit('other code')")
    site.git("add", ".")
    site.git("commit", "--quiet", "--message=Everything else")
    for name in ("raw.txt", "train.txt", "model.txt"):
        site.write(name, "other data")
    before = site.state()

    told = site.cmf("reproduce", _key(site, "train"), "--run", "-o", "../again").stdout

    assert "from the cache  train.txt" in told
    assert "reproduced: 2 of 2 outputs are identical" in told
    assert (site.folder / "../again/model.txt").read_bytes() == model
    assert site.state() == before


def test_what_was_not_committed_is_run_as_it_was(site: Site) -> None:
    site.write("train.py", TRAIN.replace("* factor", "* factor + 'not committed'"))
    site.python("train.py", "2")
    site.git("checkout", "--", "train.py")
    told = site.json("reproduce", _key(site, "train"), "--run", "-o", "../again")
    assert [out["judgement"] for out in told["outputs"]] == ["identical", "identical"]
    assert (site.folder / "../again/model.txt").read_text().endswith("not committed")


def test_without_run_it_is_prepared_and_the_command_can_be_pasted(site: Site) -> None:
    told = site.cmf("reproduce", "model.txt").stdout
    _, _, pasted = told.partition("Command\n")
    folder = next((site.folder / ".cmf/reproduced").iterdir())
    assert sorted(path.name for path in folder.glob("*.*")) == [
        ".cmf",
        ".git",
        ".gitignore",
        "prepare.py",
        "train.py",
        "train.txt",
    ]
    site.run("bash", "-euc", pasted)
    assert (folder / "model.txt").read_bytes() == (site.folder / "model.txt").read_bytes()


def test_another_result_is_told_apart_and_exits_with_3(site: Site) -> None:
    site.write("train.py", TRAIN.replace("* factor", "* factor + str(__import__('time').time_ns())[:19]"))
    site.python("train.py", "2")
    told = site.cmf("reproduce", _key(site, "train"), "--run", code=3).stdout
    assert "differs    model.txt" in told
    assert "identical  metrics" in told
    assert "1 of 2 outputs are identical" in told


def test_metrics_are_compared_by_their_values(site: Site) -> None:
    site.write("train.py", TRAIN.replace("length=len(model)", "nanoseconds=__import__('time').time_ns(), steps=1"))
    site.python("train.py", "2")
    told = site.cmf("reproduce", _key(site, "train"), "--run", code=3).stdout
    assert "differs    metrics  (nanoseconds: " in told
    assert "steps" not in told.partition("differs")[2]


def test_values_that_were_read_from_a_file_are_judged_with_it(site: Site) -> None:
    script = 'echo "{\\"same\\": 1, \\"time\\": ${TIME}}" > m.json'
    site.run("touch", "m.json")
    site.cmf("run", "-m", "m.json", "--", "bash", "-c", script, TIME="1")
    key = site.json("log")[0]["key"]
    told = site.cmf("reproduce", key, "--run", "-o", "../same", TIME="1").stdout
    assert "  identical  m.json\n\nreproduced: 1 of 1 outputs" in told
    told = site.cmf("reproduce", key, "--run", "-o", "../other", code=3, TIME="2").stdout
    assert "  differs  m.json  (time: 1 → 2)\n\nreproduced: 0 of 1 outputs" in told
    told = site.cmf("reproduce", key, "--run", "-o", "../blank", code=3, TIME="1 ").stdout
    assert "  differs  m.json  (other bytes, the same values)\n" in told


def test_a_shown_command_has_no_control_characters_and_can_be_pasted(site: Site) -> None:
    script = "printf '%s|' \"$@\" > said.txt\n\techo made # \x1b[31m \u202e \\ it's"
    arguments = ["bash", "-c", script, "-", "two\nlines", "é '\\n'", "", "\x1b]0;x\x07\x85\u2028", "$HOME"]
    site.cmf("run", "-o", "said.txt", "--", *arguments)
    said = (site.folder / "said.txt").read_bytes()
    key = site.json("log")[0]["key"]
    narrow = {"COLUMNS": "60", "FORCE_COLOR": "1"}
    shown = site.cmf("show", key, **narrow).stdout.partition("To run it again")[2]
    shown = re.sub(r"\x1b\[[\d;]*m", "", shown)  # our own colours
    command = next(line for line in shown.split("\n") if line.startswith("  command "))
    prepared = site.cmf("reproduce", key, "-o", "../again").stdout
    assert not set("\t\x1b\x07\x85\u202e\u2028") & set(shown + prepared)
    (site.folder / "said.txt").unlink()
    for folder, pasted in (("..", prepared.partition("Command\n")[2]), (".", command.partition("command")[2])):
        site.run("bash", "-euc", pasted)
        assert (site.folder / folder / ("again/said.txt" if folder == ".." else "said.txt")).read_bytes() == said


def test_the_folders_that_files_were_written_into_are_there_though_no_commit_has_them(site: Site) -> None:
    site.run("mkdir", "-p", "out/deep")
    site.cmf("run", "-o", "out/deep/a.txt", "--", "bash", "-c", "echo a > out/deep/a.txt")
    told = site.cmf("reproduce", "out/deep/a.txt", "--run").stdout
    assert "reproduced: 1 of 1 outputs" in told


def test_an_output_that_was_there_and_is_not_written_again_is_not_taken_for_one(site: Site) -> None:
    site.write("train.py", TRAIN.replace("run.output(", "import os; os.environ.get('AGAIN') or run.output("))
    site.write("made.md", "made")
    site.write("lazy.py", "import cmf\nwith cmf.run('digits', 'lazy') as run:\n    run.output('made.md')\n")
    site.python("lazy.py")
    told = site.cmf("reproduce", "made.md", "--run", code=3).stdout
    assert "missing  made.md  (it was in the tree before, and was not written again)" in told


def test_what_the_rerun_records_stays_in_a_clone_of_its_own_and_says_what_it_reproduces(site: Site) -> None:
    key = _key(site, "train")
    count = len(site.json("log"))
    site.cmf("reproduce", key, "--run", "-o", "../again")
    assert len(site.json("log")) == count
    again = Site(site.folder / "../again", site.environment)
    runs = again.json("log")
    assert [run["properties"]["reproduces"] for run in runs] == [key]
    assert runs[0]["project"] == site.json("log")[0]["project"]


def test_a_run_in_a_folder_below_is_run_there(site: Site) -> None:
    site.write("jobs/here.py", TRAIN.replace("train.txt", "../train.txt").replace("model.txt", "../model.txt"))
    site.git("add", "jobs")
    site.git("commit", "--quiet", "--message=Jobs")
    site.python("here.py", "2", at="jobs")
    told = site.json("reproduce", _key(site, "train"), "--run")
    assert told["at"].endswith("/jobs")
    assert [out["judgement"] for out in told["outputs"]] == ["identical", "identical"]


def test_a_python_that_is_gone_is_replaced_and_paths_into_the_clone_are_moved(site: Site) -> None:
    gone = site.folder / "gone" / "python3.99"
    gone.parent.mkdir()
    gone.symlink_to(sys.executable)
    site.run(str(gone), str(site.folder / "train.py"), "4", PYTHONPATH=":".join(sys.path[1:]))
    gone.unlink()
    told = site.cmf("reproduce", _key(site, "train"), "--run", "-o", "../again")
    assert f"cmf: note: the command has another path here: {gone} → {sys.executable}" in told.stderr
    assert f"{site.folder}/train.py → {(site.folder / '../again').resolve()}/train.py" in told.stderr
    assert "2 of 2" in told.stdout


def test_an_artifact_stands_for_the_run_that_wrote_it_under_the_path_asked_for(site: Site) -> None:
    site.write(
        "duplicate.py",
        "import cmf, shutil\nwith cmf.run('digits', 'copy') as run:\n"
        "    shutil.copy('model.txt', 'copy.txt'); run.output('copy.txt', type='Model')\n",
    )
    site.python("duplicate.py")
    assert site.json("show", "model.txt")["recipe"]["stage"] == "train"
    assert site.json("show", "copy.txt")["recipe"]["stage"] == "copy"


def test_a_folder_is_put_in_place_file_by_file(with_dvc: Site) -> None:
    site = with_dvc
    with (site.folder / ".gitignore").open("a") as ignored:
        ignored.write("/images\n")
    site.write("images/a.bin", "a")
    site.write("images/deep/b.bin", "b")
    site.write(
        "count.py",
        "import cmf, pathlib\nwith cmf.run('digits', 'count') as run:\n    run.input('images')\n"
        "    n = sorted(p.name for p in pathlib.Path('images').rglob('*.bin'))\n"
        "    pathlib.Path('n.txt').write_text(str(n)); run.output('n.txt')\n",
    )
    site.python("count.py")
    site.run("rm", "-r", "images")
    told = site.json("reproduce", "n.txt", "--run", "-o", "../again")
    assert told["inputs"] == [{"path": "images", "key": told["inputs"][0]["key"], "state": "cache", "why": ""}]
    assert told["outputs"][0]["judgement"] == "identical"
    # A copy: what a command does to its inputs does not reach the cache.
    assert (site.folder / "../again/images/a.bin").stat().st_nlink == 1


def test_the_whole_chain_is_listed_and_run_in_order(site: Site) -> None:
    told = site.cmf("reproduce", "model.txt", "--chain").stdout
    assert [line.split()[1] for line in told.splitlines()[1:3]] == ["digits/prepare", "digits/train"]
    site.run("rm", "train.txt")
    done = site.cmf("reproduce", "model.txt", "--chain", "--run", "-o", "../again").stdout
    assert "from a tree  train.txt" in done
    assert done.count("reproduced: ") == 2
    names = sorted(path.name[:8] for path in (site.folder / "../again").iterdir())
    assert names == ["1-prepar", "2-train-"]


def test_show_says_all_that_it_takes(site: Site) -> None:
    told = site.cmf("show", "model.txt").stdout.partition("To run it again")[2]
    told = re.sub(" {2,}", "  ", told)
    key = _key(site, "train")
    commit = site.git("rev-parse", "HEAD").strip()
    for row in (f"commit  {commit}", f"its branch  cmf/digits/train/{key.partition(':')[2][:12]}", "factor=3"):
        assert row in told
    assert f"command  {sys.executable} train.py 3" in told
    assert "in the tree" in told
    assert f"cmf reproduce {key.partition(':')[2][:8]}" in told
    recipe = site.json("show", key)["recipe"]
    assert recipe["commit"] == commit
    assert recipe["bytes"] == {"train.txt": "in the tree"}
    assert commit[:8] in site.cmf("log").stdout


def test_show_of_raw_data_promises_nothing(site: Site) -> None:
    assert "To run it again" not in site.cmf("show", "raw.txt").stdout
    assert site.json("show", "raw.txt")["recipe"] is None


def _key(site: Site, stage: str) -> str:
    """The key of the newest execution of a stage."""
    key: str = site.json("log", "--stage", stage)[0]["key"]
    return key
