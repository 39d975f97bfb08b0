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
    from cmf.query import Query, query
    from cmf.run import Run, run

__version__ = "0.1.0"

__all__ = ["CmfError", "Query", "Run", "query", "run"]

# `import cmf` stands at the top of people's scripts: what it offers is loaded when it is first used.
_LAZY = {"Query": "cmf.query", "Run": "cmf.run", "query": "cmf.query", "run": "cmf.run"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = found
    return found
