"""Lineage for data and ML pipelines: record anywhere, push like git, ask one graph.

>>> import cmf
>>> with cmf.run("digits", "train", params={"C": 1.0}) as run:     # doctest: +SKIP
...     run.input("data/train.npz")
...     run.metrics(accuracy=0.97)
...     run.output("model.pkl", type="Model")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cmf.core.errors import CmfError

if TYPE_CHECKING:
    from cmf.questions import Query, query
    from cmf.recording import Run, run
    from cmf.relations import relate
    from cmf.tracking.nesting import current_run
    from cmf.tracking.step import step
    from cmf.tracking.typed import Dataset, Metrics, Model

__version__ = "0.1.0"

__all__ = ["CmfError", "Dataset", "Metrics", "Model", "Query", "Run", "current_run", "query", "relate", "run", "step"]

# The modules are not named `run` and `query`: importing a module sets that name in its package, and would put
# itself in the place of the function.
# `import cmf` stands at the top of people's scripts: what it offers is loaded when it is first used.
_LAZY = {
    "Dataset": "cmf.tracking.typed",
    "Metrics": "cmf.tracking.typed",
    "Model": "cmf.tracking.typed",
    "Query": "cmf.questions",
    "Run": "cmf.recording",
    "current_run": "cmf.tracking.nesting",
    "query": "cmf.questions",
    "relate": "cmf.relations",
    "run": "cmf.recording",
    "step": "cmf.tracking.step",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = found
    return found
