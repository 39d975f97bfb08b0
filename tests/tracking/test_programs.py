"""`cmf run`: real programs, their exit codes, signals and files, and what is recorded of them."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recorded import Recorded

CMF = [sys.executable, "-m", "cmf.cli"]
Cmf = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cmf_run(clone: Path) -> Cmf:
    """Runs `cmf run` with arguments; whatever happens, cmf shows no traceback."""

    def run(*arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*CMF, "run", *arguments], cwd=clone, env=os.environ | variables,
            input=given, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert "cmf/cli" not in done.stderr, done.stderr
        return done

    return run


def eventually(check: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def test_a_program_is_recorded_whole(cmf_run: Cmf, recorded: Recorded, clone: Path) -> None:
    (clone / "train.csv").write_text("1,2\n")
    (clone / "params.yaml").write_text("lr: 0.1\nlayers: [64, 10]\nwhen: 2026-01-01\n")
    (clone / "params.toml").write_text("lr = 0.2\n[model]\nkind = 'rbf'\n")
    work = (
        'echo weights > model.bin; mkdir -p out; cp train.csv out/a; echo \'{"accuracy": 0.97, "nan": NaN}\' > m.json'
    )
    done = cmf_run(
        *("--pipeline", "digits2", "--stage", "fit", "-i", "train.csv", "--model", "model.bin", "-o", "out"),
        *("-m", "m.json", "-p", "params.yaml", "-p", "params.toml", "--param", "seed=7", "--param", "note=a b"),
        *("--", "sh", "-c", work, "--lr", "--help"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    execution = recorded.only()
    assert (execution.pipeline, execution.stage, execution.status) == ("digits2", "fit", "complete")
    assert execution.command == ("sh", "-c", work, "--lr", "--help")
    assert execution.parameters == {
        "lr": 0.2, "layers": [64, 10], "when": "2026-01-01", "model": {"kind": "rbf"}, "seed": 7, "note": "a b",
    }  # fmt: skip
    assert recorded.paths(execution, "input") == {"train.csv"}
    assert recorded.paths(execution, "output") == {"model.bin", "out", "m.json"}
    assert recorded.artifact(execution, "output", "model.bin").types == ("Model",)
    outputs = [recorded.detail(e.target).node for e in recorded.detail(execution.key).uses if e.path == "m.json"]
    assert {"accuracy": 0.97, "nan": {"$number": "NaN"}} in [getattr(node, "values", None) for node in outputs]


def test_what_the_program_reads_and_writes_goes_through_and_so_does_its_exit_code(
    cmf_run: Cmf, recorded: Recorded
) -> None:
    done = cmf_run("sh", "-c", "cat; echo trouble >&2; exit 7", given="hello")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello", "trouble\ncmf: exit code 7\n")
    assert (recorded.only().status, recorded.only().error) == ("failed", "ProgramFailed: exit code 7")
    assert (recorded.only().pipeline, recorded.only().stage) == ("digits", "sh")


@pytest.mark.parametrize(
    ("command", "code", "status", "error"),
    [
        (["nosuch"], 127, "failed", "nosuch: No such file or directory"),
        (["./data.txt"], 126, "failed", "./data.txt: Permission denied"),
        (["sh", "-c", "kill -9 $$"], 137, "failed", "killed by SIGKILL"),
        (["sh", "-c", "kill -SEGV $$"], 139, "failed", "killed by SIGSEGV"),
        (["sh", "-c", "kill -TERM $$"], 143, "aborted", "by SIGTERM"),
        (["sh", "-c", "exit 130"], 130, "aborted", "exit code 130 after a signal"),
    ],
)
def test_exit_codes_are_those_of_a_shell(
    cmf_run: Cmf, recorded: Recorded, clone: Path, command: list[str], code: int, status: str, error: str
) -> None:
    (clone / "data.txt").write_text("")
    done = cmf_run("--", *command)
    assert done.returncode == code
    assert error in done.stderr
    assert recorded.only().status == status
    assert str(recorded.only().error).endswith(error)


def test_an_output_that_was_not_written_is_a_failure_that_names_it(
    cmf_run: Cmf, recorded: Recorded, clone: Path
) -> None:
    for name in ("old.bin", "old/a"):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_text("old")
    done = cmf_run("-o", "old.bin", "-o", "new.bin", "-o", "old", "-o", "absent", "--", "sh", "-c", "echo > new.bin")
    assert done.returncode == 1
    assert done.stderr == (
        "cmf: the program did not write old.bin, which is as it was before; "
        "the program did not write old, which is as it was before; the program did not write absent\n"
    )
    assert recorded.only().status == "failed"
    assert recorded.paths(recorded.only(), "output") == {"new.bin"}
    done = cmf_run("-o", "old", "-o", "absent", "--", "sh", "-c", "echo new > old/a; exit 3")
    assert (done.returncode, done.stderr) == (3, "cmf: exit code 3\n")
    assert recorded.paths(recorded.executions()[1], "output") == {"old"}


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (["-i", "absent"], 1, "absent: No such file"),
        (["-p", "absent.yaml"], 1, "absent.yaml: No such file"),
        (["-p", "bad.yaml"], 1, "bad.yaml: malformed: while parsing"),
        (["-p", "bomb.yaml"], 1, "bomb.yaml: malformed: its aliases would make more than 1,000,000 values of it"),
        (["-p", "list.json"], 1, "list.json: holds a list, not names with values"),
        (["-p", "data.txt"], 1, "data.txt: is no .yaml, .json or .toml file"),
        (["--param", "lr"], 1, "'lr' is no parameter; write it as name=value"),
        (["--exclude", "x"], 2, "say --auto"),
        (["-o", ""], 2, "a path is empty"),
        (["--pipeline", "a\nb"], 1, "the pipeline's name"),
    ],
)
def test_what_cannot_be_recorded_is_said_before_the_program_starts(
    cmf_run: Cmf, clone: Path, options: list[str], code: int, problem: str
) -> None:
    (clone / "bad.yaml").write_text("a: [1\nb: {")
    nine = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    (clone / "bomb.yaml").write_text("\n".join(["a0: &a0 [1]", *nine]))
    (clone / "list.json").write_text("[1]")
    (clone / "data.txt").write_text("")
    done = cmf_run(*options, "--", "touch", "started")
    assert done.returncode == code
    assert problem in done.stderr
    assert not (clone / "started").exists()


def test_metrics_that_cannot_be_read_are_a_failure(cmf_run: Cmf, recorded: Recorded) -> None:
    done = cmf_run("-m", "m.json", "--", "sh", "-c", "echo { > m.json")
    assert done.returncode == 1
    assert done.stderr.startswith("cmf: m.json: ")
    assert recorded.only().status == "failed"
    assert recorded.paths(recorded.only(), "output") == {"m.json"}


def test_recording_in_the_program_is_a_part_of_it(cmf_run: Cmf, recorded: Recorded, clone: Path) -> None:
    (clone / "inner.py").write_text("import cmf\n@cmf.step\ndef inner(): pass\ninner()\n")
    assert cmf_run("--pipeline", "p", "--", sys.executable, "inner.py").returncode == 0
    outer, inner = recorded.executions()
    assert (outer.stage, inner.stage, inner.pipeline) == ("inner", "inner", "p")
    assert {r.source for r in recorded.detail(outer.key).relations if r.kind == "part_of"} == {inner.key}


@pytest.fixture
def waiting(clone: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `cmf run` of a program that says `started` and then waits, and ends both at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, **options: object) -> subprocess.Popen[bytes]:
        (clone / "waits.py").write_text(program)
        # Where the tests themselves run under nohup, what they start would ignore SIGHUP too.
        command = ["env", "--default-signal", *CMF, "run", "-o", "out", "--", sys.executable, "waits.py"]
        started.append(subprocess.Popen(command, cwd=clone, start_new_session=True, **options))  # type: ignore[call-overload]
        eventually(lambda: (clone / "pid").exists() and (clone / "pid").read_text())
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


WAITS = """
import os, signal, sys, time
{more}
open("out", "w").write("half")
os.rename(open("p", "w").name, "p2"); open("p2", "w").write(str(os.getpid())); os.rename("p2", "pid")
time.sleep(120)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_cmf_reaches_the_program_and_the_run_is_aborted(
    waiting: Callable[..., subprocess.Popen[bytes]], recorded: Recorded, number: signal.Signals
) -> None:
    process = waiting(WAITS.format(more=""), stderr=subprocess.PIPE)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said.endswith(f"cmf: the program was stopped: by {number.name}\n".encode())
    assert recorded.only().status == "aborted"
    assert recorded.paths(recorded.only(), "output") == {"out"}


def test_a_program_that_heeds_a_signal_and_ends_well_is_complete(
    waiting: Callable[..., subprocess.Popen[bytes]], recorded: Recorded
) -> None:
    process = waiting(WAITS.format(more="signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"))
    process.terminate()
    assert process.wait(60) == 0
    assert recorded.only().status == "complete"


def test_a_program_that_is_killed_is_a_failed_run(
    waiting: Callable[..., subprocess.Popen[bytes]], recorded: Recorded, clone: Path
) -> None:
    process = waiting(WAITS.format(more=""))
    os.kill(int((clone / "pid").read_text()), signal.SIGKILL)
    assert process.wait(60) == 137
    assert (recorded.only().status, recorded.only().error) == ("failed", "ProgramFailed: killed by SIGKILL")
    assert recorded.paths(recorded.only(), "output") == {"out"}


def test_ctrl_c_on_a_terminal_reaches_the_program_once(recorded: Recorded, clone: Path) -> None:
    counts = "n = []; signal.signal(signal.SIGINT, lambda *_: (n.append(1), open('told', 'a').write('x')))"
    (clone / "waits.py").write_text(
        WAITS.format(more=counts).replace("time.sleep(120)", "\nwhile not n: time.sleep(0.01)\ntime.sleep(1); exit(5)")
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [*CMF, "run", "--", sys.executable, "waits.py"])
    try:
        eventually(lambda: (clone / "pid").exists())
        os.write(terminal, b"\x03")
        _, status = os.waitpid(child, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 5
    assert (clone / "told").read_text() == "x"
    assert recorded.only().status == "aborted"


def test_files_that_the_shell_opened_for_the_program_are_open_there(cmf_run: Cmf, clone: Path) -> None:
    line = f"exec 7< <(echo through); {' '.join(CMF)} run -- cat /dev/fd/7"
    done = subprocess.run(["bash", "-c", line], cwd=clone, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("through\n", "")


def test_programs_side_by_side_are_executions_of_their_own(recorded: Recorded, clone: Path) -> None:
    command = [*CMF, "run", "-o", "{}", "--stage", "{}", "--", "sh", "-c", "sleep 0.2; echo {} > {}"]
    running = [
        subprocess.Popen([part.replace("{}", f"s{n}") for part in command], cwd=clone, stderr=subprocess.PIPE)
        for n in range(6)
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert said == [b""] * 6
    found = recorded.executions()
    assert {e.stage: recorded.paths(e, "output") for e in found} == {f"s{n}": {f"s{n}"} for n in range(6)}
    assert [e.status for e in found] == ["complete"] * 6
