"""Select the most accurate model: metrics/*.json → models/selected.pkl.

python select_model.py          (a file select.py would hide Python's own module of that name)
"""

import json
from pathlib import Path

import cmf

SELECTED = Path("models/selected.pkl")

with cmf.run("digits", "select", params={"by": "accuracy"}) as run:
    judged = {file.stem: json.loads(file.read_text()) for file in sorted(Path("metrics").glob("*.json"))}
    for name, scores in judged.items():
        run.input(name, type="Metrics", version=scores["metrics"])  # evaluate.py recorded it: named, not read again
    best = max(judged.values(), key=lambda scores: scores["accuracy"])
    # A copy has the content of the original, so cmf knows the two as one artifact under two paths.
    SELECTED.write_bytes(Path(best["model"]).read_bytes())
    run.output(SELECTED, type="Model")

print(f"{best['model']}, accuracy {best['accuracy']:.3f} → {SELECTED}")
