"""Clean the raw digits: data/raw.csv → data/digits.npz.

python prepare.py
"""

from pathlib import Path

import numpy as np

import cmf

RAW = Path("data/raw.csv")
CLEAN = Path("data/digits.npz")


def export_raw() -> None:
    """Write the digits as the scanner would have: a row an image, its label first, then 64 greys from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = np.column_stack([digits.target, digits.data]).astype(int)
    header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    RAW.parent.mkdir(exist_ok=True)
    np.savetxt(RAW, rows, fmt="%d", delimiter=",", header=header, comments="")


if not RAW.exists():
    export_raw()

with cmf.run("digits", "prepare") as run:
    run.input(RAW)
    rows = np.loadtxt(RAW, delimiter=",", skiprows=1)
    labels, greys = rows[:, 0].astype(np.int64), rows[:, 1:]
    ever_used = greys.max(axis=0) > greys.min(axis=0)  # a pixel that is always the same tells nothing
    np.savez(CLEAN, pixels=(greys[:, ever_used] / 16).astype(np.float32), labels=labels)
    run.output(CLEAN, rows=len(labels), pixels=int(ever_used.sum()))

print(f"{len(labels)} digits of {ever_used.sum()} pixels each → {CLEAN}")
