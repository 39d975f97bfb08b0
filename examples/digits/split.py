"""Set aside what the models are judged by: data/digits.npz → data/train.npz, data/test.npz.

python split.py [--test-share 0.3] [--seed 7]
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import cmf

parser = argparse.ArgumentParser()
parser.add_argument("--test-share", type=float, default=0.3)
parser.add_argument("--seed", type=int, default=7)
settings = parser.parse_args()

CLEAN = Path("data/digits.npz")
PARTS = {"train": Path("data/train.npz"), "test": Path("data/test.npz")}

with cmf.run("digits", "split", params=vars(settings)) as run:
    run.input(CLEAN)
    digits = np.load(CLEAN)
    pixels, labels = digits["pixels"], digits["labels"]
    rows = train_test_split(
        np.arange(len(labels)), test_size=settings.test_share, random_state=settings.seed, stratify=labels
    )
    for path, chosen in zip(PARTS.values(), rows, strict=True):
        np.savez(path, pixels=pixels[chosen], labels=labels[chosen])
        run.output(path, rows=len(chosen))

print(", ".join(f"{len(chosen)} → {path}" for path, chosen in zip(PARTS.values(), rows, strict=True)))
