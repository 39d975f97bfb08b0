"""`cmf run --auto`: real Python programs, and which of the files they use become inputs and outputs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from recorded import Recorded

import cmf
from cmf.recording import close_repositories
from cmf.scratch import Scratch
from cmf.tracking.observed import Observation

CMF = [sys.executable, "-m", "cmf.cli"]
Watch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def watch(clone: Path) -> Watch:
    """Writes a program into the clone's `train.py` and runs it under `cmf run --auto`."""

    def watch(
        program: str, *options: str, command: list[str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        (clone / "train.py").write_text(textwrap.dedent(program))
        done = subprocess.run(
            [*CMF, "run", "--auto", *options, "--", *(command or [sys.executable, "train.py"])],
            cwd=clone, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    for name in ("in.csv", "state.json", "other.csv"):
        (clone / name).write_text(name)
    return watch


def used(recorded: Recorded) -> tuple[set[str], set[str]]:
    """The paths of the inputs and of the outputs; all are marked as guessed."""
    execution = recorded.only()
    inputs, outputs = recorded.uses(execution, "input"), recorded.uses(execution, "output")
    assert all(use.properties == {"guessed": True} for use in (*inputs.values(), *outputs.values()))
    return set(inputs), set(outputs)


def key_of(text: str) -> str:
    from hashlib import md5

    return f"md5:{md5(text.encode()).hexdigest()}"


def test_what_is_read_is_an_input_and_what_is_written_an_output(watch: Watch, recorded: Recorded, clone: Path) -> None:
    (clone / "helper.py").write_text("value = 1")
    (clone / "pkg").mkdir()
    (clone / "pkg" / "__init__.py").write_text("import json")
    done = watch(
        """
        import os, pathlib, shutil, sqlite3, sys, tempfile
        import helper, pkg
        text = open("in.csv").read()
        pathlib.Path("out/deep").mkdir(parents=True)
        with open("out/deep/model.tmp", "w") as f: f.write(text)       # written under another name first
        os.replace("out/deep/model.tmp", "out/deep/model.bin")
        with open("scratch", "w") as f: f.write("x")                   # deleted again
        os.remove("scratch")
        with tempfile.NamedTemporaryFile(dir=".") as f: f.write(b"x")
        with open("both.txt", "w") as f: f.write("x")                  # written, then read: an output
        open("both.txt").read()
        shutil.copy("in.csv", "copy.csv")
        with open("log.txt", "a") as f: f.write("x")
        try: open("absent")
        except FileNotFoundError: pass
        with open("work.tmp", "w") as f: f.write("x")
        os.mkdir("half"); open("half/a", "w").write("x"); os.rename("half", "whole")
        for folder in (".git", ".dvc", ".cache", "__pycache__", "lib/site-packages"):
            os.makedirs(folder, exist_ok=True); open(folder + "/x", "w").write("x")
        for name in (".env", "model.bin.dvc", "dvc.lock"): open(name, "w").write("x")
        open("/dev/null", "w").write("x")
        open(sys.argv[0]).read()
        print(sys.path[0] == os.getcwd(), not [p for p in sys.path if "observer" in p])
        """
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")
    inputs, outputs = used(recorded)
    assert inputs == {"in.csv"}
    assert outputs == {"out/deep/model.bin", "both.txt", "copy.csv", "log.txt", "work.tmp", "whole/a"}


def test_a_file_that_is_read_and_then_changed_is_both_with_the_content_of_then(
    watch: Watch, recorded: Recorded, clone: Path
) -> None:
    (clone / "kept.csv").write_text("kept")
    watch(
        """
        import os
        text = open("state.json").read()
        open("state.json", "w").write(text + "!")
        open("other.csv").read()
        open("new.csv", "w").write("new")
        os.replace("new.csv", "other.csv")
        open("in.csv").read()
        os.remove("in.csv")
        with open("in.csv", "w") as f: f.write("again")
        with open("kept.csv", "r+") as f: f.write("X")
        """
    )
    assert used(recorded) == (
        {"state.json", "other.csv", "in.csv", "kept.csv"},
        {"state.json", "other.csv", "in.csv", "kept.csv"},
    )
    execution = recorded.only()
    before = {path: edge.source for path, edge in recorded.uses(execution, "input").items()}
    after = {path: edge.target for path, edge in recorded.uses(execution, "output").items()}
    assert before == {
        "state.json": key_of("state.json"), "other.csv": key_of("other.csv"),
        "in.csv": key_of("in.csv"), "kept.csv": key_of("kept"),
    }  # fmt: skip
    assert after == {
        "state.json": key_of("state.json!"), "other.csv": key_of("new"),
        "in.csv": key_of("again"), "kept.csv": key_of("Xept"),
    }  # fmt: skip


CHANGING = """
import os, shutil, subprocess, sys
from concurrent.futures import ThreadPoolExecutor

def change(number):
    name = f"many/{number}"
    open(name).read()
    with open(name, "w") as f: f.write("changed")

for name in ("state.json", "tracked.csv", "in.csv", "large.bin", "many"):
    if os.path.isfile(name): open(name, "rb").read()
with open("state.json", "a") as f: f.write("!")                 # known to DVC since an earlier run
with open("tracked.csv", "w") as f: f.write("x")                # in git
subprocess.run([sys.executable, "-c", "import os; os.remove('in.csv')"], check=True)  # by another process, for good
with open("large.bin", "r+b") as f: f.write(b"x")               # more than is copied
with ThreadPoolExecutor(4) as pool: list(pool.map(change, range(8)))
"""


def test_what_was_changed_is_kept_as_it_was_and_comes_back_with_its_commit(
    watch: Watch, recorded: Recorded, clone: Path
) -> None:
    from cmf.versioning.dvc_setup import set_up

    def git(*command: str) -> str:
        who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return subprocess.run(
            ["git", *command], cwd=clone, check=True, capture_output=True, text=True, env=os.environ | who
        ).stdout

    def content(key: str) -> str:
        digest = key.removeprefix("md5:")
        return (clone / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).read_text()

    git("init", "-q")
    (clone / "tracked.csv").write_text("tracked")
    git("add", "tracked.csv")
    git("commit", "-qm", "first")
    set_up(clone, in_git=True)
    with cmf.run("digits", "before") as run:
        run.input("state.json")
    close_repositories()
    with (clone / "large.bin").open("wb") as file:
        file.truncate((256 << 20) + 1)
    (clone / "many").mkdir()
    for number in range(8):
        (clone / "many" / str(number)).write_text(str(number))
    watch(CHANGING, "--stage", "change")
    execution = recorded.named("change")
    inputs = recorded.uses(execution, "input")
    assert {path: content(use.source) for path, use in inputs.items() if path != "large.bin"} == {
        "state.json": "state.json", "tracked.csv": "tracked", "in.csv": "in.csv",
        **{f"many/{number}": str(number) for number in range(8)},
    }  # fmt: skip
    assert inputs["large.bin"].source.startswith("md5:") and inputs["large.bin"].url == "large.bin"
    for path in ("state.json", "in.csv"):
        commit, digest = str(inputs[path].commit), inputs[path].source.removeprefix("md5:")
        assert f"- md5: {digest}\n" in git("show", f"{commit}:{path}.dvc")
        assert git("show", f"{commit}:.gitignore").splitlines().count(f"/{path}") == 1
    assert "tracked.csv.dvc" not in git("ls-tree", "--name-only", str(inputs["tracked.csv"].commit))
    assert key_of("state.json!").removeprefix("md5:") in (clone / "state.json.dvc").read_text()
    assert not (clone / "in.csv.dvc").exists()


def test_times_that_a_program_sets_and_modes_that_it_changes_deceive_nobody(
    watch: Watch, recorded: Recorded, clone: Path
) -> None:
    shutil.copy2(clone / "in.csv", clone / "copy.csv")
    watch(
        "import os, shutil; shutil.copy2('in.csv', 'copy.csv'); open('other.csv').read(); os.chmod('other.csv', 0o600)"
    )
    assert used(recorded) == ({"in.csv", "other.csv"}, {"copy.csv"})


def test_a_file_that_was_consumed_is_an_input(watch: Watch, recorded: Recorded) -> None:
    watch("import os; open('in.csv').read(); os.unlink('in.csv'); open('other.csv').read(); os.mkdir('old');"
          "os.rename('other.csv', 'old/other.csv')")  # fmt: skip
    assert used(recorded) == ({"in.csv", "other.csv"}, {"old/other.csv"})


PROCESSES = """
import multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor

def copy(name):
    with open(name + ".out", "w") as f: f.write(open(name).read())

def change(name):
    with open(name, "a") as f: f.write("!")

if __name__ == "__main__":
    for method, name in (("fork", "a"), ("spawn", "b"), ("forkserver", "c")):
        process = multiprocessing.get_context(method).Process(target=copy, args=(name,))
        process.start(); process.join()
        assert process.exitcode == 0
    subprocess.run([sys.executable, "-c", "from train import copy; copy('d')"], check=True)
    if os.fork() == 0:
        os.closerange(3, 1000)           # as a daemon does
        copy("e")
        os._exit(0)
    os.wait()
    open("in.csv").read()                # read here, changed there
    process = multiprocessing.Process(target=change, args=("in.csv",))
    process.start(); process.join()
"""


def test_processes_that_the_program_starts_are_seen(watch: Watch, recorded: Recorded, clone: Path) -> None:
    for name in "abcde":
        (clone / name).write_text(name)
    watch(PROCESSES)
    inputs, outputs = used(recorded)
    assert inputs == {*"abcde", "in.csv"}
    assert outputs == {f"{name}.out" for name in "abcde"} | {"in.csv"}
    assert recorded.uses(recorded.only(), "input")["in.csv"].source == key_of("in.csv")


def test_a_module_a_venv_and_a_site_of_its_own(watch: Watch, recorded: Recorded, clone: Path) -> None:
    venv.create(clone / "env", with_pip=False)
    site = next((clone / "env").glob("lib/python*/site-packages"))
    (site / "sitecustomize.py").write_text("import builtins; builtins.of_the_site = open(__file__).read()")
    done = watch(
        "import sitecustomize, sys; print(sitecustomize.__file__, len(of_the_site) > 0, sys.prefix);"
        "open('out', 'w').write(open('in.csv').read())",
        command=["env/bin/python", "-m", "train"],
    )
    assert done.stdout.split() == [str(site / "sitecustomize.py"), "True", str(clone / "env")]
    assert used(recorded) == ({"in.csv"}, {"out"})


@pytest.mark.parametrize(
    ("end", "code", "error"),
    [
        ("raise ValueError('no')", 1, "exit code 1"),
        ("import os; os._exit(3)", 3, "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "killed by SIGKILL"),
    ],
)
def test_a_crash_leaves_a_failed_run_with_what_is_known(
    watch: Watch, recorded: Recorded, end: str, code: int, error: str
) -> None:
    watch(f"f = open('out', 'w'); f.write(open('in.csv').read()); f.flush(); {end}", code=code)
    assert recorded.only().status == "failed"
    assert str(recorded.only().error).endswith(error)
    assert used(recorded) == ({"in.csv"}, {"out"})


def test_an_interrupt_leaves_an_aborted_run_with_what_is_known(recorded: Recorded, watch: Watch, clone: Path) -> None:
    (clone / "train.py").write_text("import time; open('in.csv').read(); open('ready', 'w').close(); time.sleep(60)")
    process = subprocess.Popen([*CMF, "run", "--auto", "--", sys.executable, "train.py"], stderr=subprocess.PIPE)
    while not (clone / "ready").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert recorded.only().status == "aborted"
    assert used(recorded) == ({"in.csv"}, {"ready"})


def test_patterns_and_what_was_said_come_before_guesses(watch: Watch, recorded: Recorded, clone: Path) -> None:
    (clone / "data").mkdir()
    (clone / "data" / "a.csv").write_text("a")
    (clone / "data" / "b.csv").write_text("b")
    (clone / "vocabulary.py").write_text("words = []")
    watch(
        """
        import os
        for name in ("in.csv", "other.csv", "state.json", "data/a.csv", "data/b.csv", "vocabulary.py"):
            open(name).read()
        os.mkdir("logs")
        for name in ("logs/a.log", "out", "model.bin"):
            with open(name, "w") as f: f.write(name)
        """,
        *("-i", "in.csv", "--model", "model.bin", "--exclude", "*.log", "--exclude", "/data/"),
        *("--include", "data/b.csv", "--include", "*.py"),
    )
    execution = recorded.only()
    inputs, outputs = recorded.uses(execution, "input"), recorded.uses(execution, "output")
    assert {path: edge.properties for path, edge in (inputs | outputs).items()} == {
        "in.csv": {}, "model.bin": {}, "other.csv": {"guessed": True}, "state.json": {"guessed": True},
        "data/b.csv": {"guessed": True}, "vocabulary.py": {"guessed": True}, "out": {"guessed": True},
        "train.py": {"guessed": True},
    }  # fmt: skip


def test_a_folder_stands_for_its_many_files(watch: Watch, recorded: Recorded, clone: Path) -> None:
    for folder in ("images", "labels", "out/parts", "mixed"):
        (clone / folder).mkdir(parents=True)
    for number in range(130):
        for folder in ("images", "labels"):
            (clone / folder / f"{number}").write_text(f"{number}")
    (clone / "mixed" / "other").write_text("not written here")
    watch(
        """
        for n in range(120):
            open(f"images/{n}").read()
            open(f"labels/{n}").read()
            for folder in ("out/parts", "mixed"):
                with open(f"{folder}/{n}", "w") as f: f.write(str(n))
        with open("labels/index", "w") as f: f.write("x")
        """
    )
    inputs, outputs = used(recorded)
    assert inputs == {"images", *(f"labels/{n}" for n in range(120))}
    assert outputs == {"out/parts", "labels/index", *(f"mixed/{n}" for n in range(120))}


def test_what_cannot_be_seen_is_told(watch: Watch, recorded: Recorded, clone: Path) -> None:
    done = watch("", command=["sh", "-c", "cat in.csv > out"])
    assert "cmf: note: --auto saw nothing: the command started no Python" in done.stderr
    assert "with -i and -o" in done.stderr
    done = watch("import os; open('in.csv').read(); os.system('echo changed > in.csv')")
    assert "changed by something that cannot be observed, so not recorded as inputs: in.csv" in done.stderr


def test_a_repository_behind_a_link_is_seen_by_both_of_its_paths(
    recorded: Recorded, watch: Watch, clone: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(clone)
    (clone / "sub").mkdir()
    program = f"open({str(link / 'in.csv')!r}).read(); open({str(clone / 'out')!r}, 'w').write('x'); open('here', 'w')"
    command = [*CMF, "run", "--auto", "--", sys.executable, "-c", program]
    environment = os.environ | {"PWD": str(link / "sub")}
    subprocess.run(command, cwd=link / "sub", env=environment, check=True, timeout=120)
    assert used(recorded) == ({"in.csv"}, {"out", "sub/here"})


def test_a_pattern_that_means_nothing_is_refused_before_the_program_starts(clone: Path, watch: Watch) -> None:
    done = watch("open('started', 'w')", "--exclude", "a[", "--include", "!", code=1)
    assert "patterns are those of a .gitignore file" in done.stderr
    assert not (clone / "started").exists()


def test_names_of_every_kind(watch: Watch, recorded: Recorded, clone: Path) -> None:
    watch(
        r"""
        import os
        os.makedirs("a b"); os.chdir("a b")
        for name in ("new\nline", "tab\t", "é", "quote'"):
            with open(name, "w") as f: f.write(name)
        with open("../up", "w") as f: f.write("up")
        fd = os.open(".", os.O_RDONLY)
        os.chdir("..")
        os.close(os.open(b"bytes", os.O_WRONLY | os.O_CREAT))
        os.rename("quote'", "moved", src_dir_fd=fd, dst_dir_fd=fd)
        """
    )
    assert used(recorded)[1] == {"a b/new\nline", "a b/tab\t", "a b/é", "a b/moved", "up", "bytes"}


LOOP = """
import time
start = time.perf_counter()
for _ in range(5000): open("in.csv").close()
print((time.perf_counter() - start) / 5000)
"""


def test_opening_a_file_again_costs_next_to_nothing_more(clone: Path) -> None:
    (clone / "in.csv").write_text("x")

    def seconds(environment: Mapping[str, str]) -> float:
        """The least of three, for an open."""
        command = [sys.executable, "-c", LOOP]
        return min(float(subprocess.check_output(command, env=environment, text=True)) for _ in range(3))

    with Observation(clone, Scratch(clone / ".cmf/tmp")) as observation:
        assert seconds(observation.environment(os.environ)) - seconds(os.environ) < 50e-6
