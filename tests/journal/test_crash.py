"""Whenever a recording process dies: every call that had returned is there, and the rest is whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from crashes import crash

from cmf.core.series import SeriesQuestion, points_of
from cmf.repository import Repository
from cmf.segments import JournalWarning, check

CRASHING = Path(__file__).with_name("crashing.py")


def test_kill_9_at_200_random_moments_loses_nothing(tmp_path: Path) -> None:
    assert crash(CRASHING, tmp_path, 200)["kills"] == 200


@pytest.mark.soak
def test_kill_9_at_2000_random_moments_loses_nothing(tmp_path: Path) -> None:
    assert crash(CRASHING, tmp_path, 2_000)["kills"] == 2_000


def test_interrupts_at_150_random_moments_damage_nothing(tmp_path: Path) -> None:
    (tmp_path / ".cmf").mkdir()
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::ResourceWarning",
        str(Path(__file__).with_name("interrupted.py")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10, "hardly any call was interrupted, so this says nothing"
    told = subprocess.run([sys.executable, "-m", "cmf.cli", "fsck"], capture_output=True, text=True, cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    assert "the view shows what they say" in told.stdout


MEASURING = """
import sys, time
from pathlib import Path
import cmf
pause = float(sys.argv[2])
with cmf.run("digits", "train", root=Path(sys.argv[1])) as run:
    print(run.key, flush=True)
    step = 0
    while True:
        run.metric("loss", step / 3, step=step)
        step += 1
        if pause:
            time.sleep(pause)
        if step % 4_321 == 0:
            run.set(step=step)
            print(step, flush=True)
"""


@pytest.mark.parametrize("pause_seconds", [0.0, 0.05])
def test_points_of_a_killed_process_are_a_beginning_without_gaps_and_at_most_a_second_short(
    tmp_path: Path, pause_seconds: float
) -> None:
    (tmp_path / ".cmf").mkdir()
    command = [sys.executable, "-c", MEASURING, str(tmp_path), str(pause_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        key = process.stdout.readline().strip()
        time.sleep(random.uniform(3.0, 3.5))
        process.kill()
        killed = time.time()
        acknowledged = [int(line) for line in process.stdout.read().splitlines()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JournalWarning)  # a torn last line may be there, or not
        repository = Repository.find(tmp_path)
    chunks = list(repository.view.points(key, "loss"))
    steps = [step for rows in chunks for step, _, _ in rows]
    assert steps == list(range(len(steps)))
    assert len(steps) >= max(acknowledged, default=1)
    last = points_of(repository.view, SeriesQuestion(executions=(key,), name="loss")).series[0].points[-1]
    assert killed - last.time < 4.0, "a second, and what a busy machine takes to wait for its disk"
    assert not list(check(repository.segments))
    assert pause_seconds == 0.0 or len(chunks) <= 2 + len(steps) // 16
    repository.close()
