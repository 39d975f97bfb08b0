"""How `cmflib.mlmd.gz` and `cmflib-early.mlmd.gz` were made: by real calls of cmflib 0.1.0, on Python 3.11.

    python -m venv env && env/bin/pip install cmflib==0.1.0
    PATH=$PWD/env/bin:$PATH python make_cmflib_file.py FOLDER

`cmflib-early` is a copy that was taken before the last stage.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

GIT = (
    ["git", "init", "-q", "."],
    ["git", "config", "user.email", "ana@example.org"],
    ["git", "config", "user.name", "Ana"],
    ["dvc", "init", "-q"],
    ["dvc", "remote", "add", "-q", "-d", "store", "store"],
    # The user and password are there to be left out by an import.
    ["git", "remote", "add", "origin", "https://ana:secret@example.org/team/digits.git"],
    ["git", "add", "-A"],
    ["git", "commit", "-q", "-m", "Begin"],
)


def main(to: Path) -> None:
    for command in GIT:
        subprocess.run(command, check=True)
    from cmflib import cmf

    writer = cmf.Cmf(filepath="mlmd", pipeline_name="digits", custom_properties={"owner": "ana"})
    prepare(writer)
    train(writer)
    keep(to / "cmflib-early.mlmd.gz")
    evaluate(writer)
    writer.finalize()
    keep(to / "cmflib.mlmd.gz")


def prepare(writer) -> None:
    writer.create_context("prepare", {"team": "data"})
    writer.create_execution("Prepare", {"split": 0.25, "seed": 7}, cmd="python prepare.py --seed 7")
    write("raw.csv", "1,2\n3,4\n")
    write("parts/a.csv", "1,2\n")
    write("parts/b.csv", "3,4\n")
    writer.log_dataset("raw.csv", "input", {"source": "kaggle"})
    writer.log_dataset("parts", "output")


def train(writer) -> None:
    writer.create_context("train")
    writer.create_execution("Train", {"C": 1.0})
    writer.log_dataset("parts", "input")
    write("model.pkl", "model")
    writer.log_model("model.pkl", "output", "sklearn", "SVC", "svc:default", {"depth": 3})
    for name in ("loss", "again"):  # the same values twice: two artifacts with one content
        for step in range(3):
            writer.log_metric(name, {"loss": 1.0 / (step + 1), "step": step})
        writer.commit_metrics(name)
    writer.log_execution_metrics("scores", {"accuracy": 0.97, "n": 12, "note": "ok"})
    writer.log_validation_output("v1")
    write("labels.csv", "0\n1\n")
    writer.log_label("labels.csv", "raw.csv", {"annotator": "bo"})
    write("data/more/a.csv", "5")
    writer.log_dataset("data/more/a.csv", "output")
    dataslice = writer.create_dataslice("slice-1")
    dataslice.add_data("data/more/a.csv", {"kind": "odd"})
    dataslice.commit({"why": "test"})


def evaluate(writer) -> None:
    writer.create_context("evaluate")
    writer.create_execution("Evaluate", {"again": "yes"}, create_new_execution=False)
    writer.log_model("model.pkl", "input")
    writer.create_execution("Evaluate", {"again": "yes"}, create_new_execution=False)


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def keep(to: Path) -> None:
    to.write_bytes(gzip.compress(Path("mlmd").read_bytes(), mtime=0))


if __name__ == "__main__":
    target = Path(__file__).parent.resolve()
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    main(target)
