"""Judge a model by the digits it has not seen: data/test.npz, models/NAME.pkl → metrics/NAME.json.

python evaluate.py models/hidden-32.pkl
"""

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

import cmf

parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path)
model_file = parser.parse_args().model

TEST = Path("data/test.npz")
SCORES = Path("metrics") / f"{model_file.stem}.json"

with cmf.run("digits", "evaluate") as run:
    run.input(TEST)
    run.input(model_file, type="Model")
    digits = np.load(TEST)
    told = pickle.loads(model_file.read_bytes()).predict(digits["pixels"])
    scores = {
        "accuracy": float(accuracy_score(digits["labels"], told)),
        "macro_f1": float(f1_score(digits["labels"], told, average="macro")),
    }
    metrics = run.metrics(model_file.stem, **scores)
    # The next stage is told which metrics these are, so that it can say what it chose by.
    SCORES.parent.mkdir(exist_ok=True)
    SCORES.write_text(json.dumps({"model": str(model_file), "metrics": metrics.key, **scores}, indent=2) + "\n")

print(f"accuracy {scores['accuracy']:.3f}, macro F1 {scores['macro_f1']:.3f} → {SCORES}")
