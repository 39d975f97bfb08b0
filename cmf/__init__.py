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
    from cmf.compat.commands import (
        artifact_list,
        artifact_pull,
        artifact_push,
        dvc_ingest,
        execution_list,
        metadata_export,
        metadata_pull,
        metadata_push,
        pipeline_list,
        repo_pull,
        repo_push,
    )
    from cmf.compat.setting_up import cmf_init, cmf_init_show, non_related_args
    from cmf.compat.writer import Cmf
    from cmf.questions import Query, query
    from cmf.recording import Run, run
    from cmf.relations import relate
    from cmf.retracting import restore, retract
    from cmf.tracking.nesting import current_run
    from cmf.tracking.step import step
    from cmf.tracking.typed import Dataset, Metrics, Model

__version__ = "0.1.0"

__all__ = [
    "Cmf",
    "CmfError",
    "Dataset",
    "Metrics",
    "Model",
    "Query",
    "Run",
    "artifact_list",
    "artifact_pull",
    "artifact_push",
    "cmf_init",
    "cmf_init_show",
    "current_run",
    "dvc_ingest",
    "execution_list",
    "metadata_export",
    "metadata_pull",
    "metadata_push",
    "non_related_args",
    "pipeline_list",
    "query",
    "relate",
    "repo_pull",
    "repo_push",
    "restore",
    "retract",
    "run",
    "step",
]

# The modules are not named `run` and `query`: importing a module sets that name in its package, and would put
# itself in the place of the function.
# `import cmf` stands at the top of people's scripts: what it offers is loaded when it is first used.
_LAZY = {
    "Cmf": "cmf.compat.writer",
    "Dataset": "cmf.tracking.typed",
    "Metrics": "cmf.tracking.typed",
    "Model": "cmf.tracking.typed",
    "Query": "cmf.questions",
    "Run": "cmf.recording",
    "artifact_list": "cmf.compat.commands",
    "artifact_pull": "cmf.compat.commands",
    "artifact_push": "cmf.compat.commands",
    "cmf_init": "cmf.compat.setting_up",
    "cmf_init_show": "cmf.compat.setting_up",
    "current_run": "cmf.tracking.nesting",
    "dvc_ingest": "cmf.compat.commands",
    "execution_list": "cmf.compat.commands",
    "metadata_export": "cmf.compat.commands",
    "metadata_pull": "cmf.compat.commands",
    "metadata_push": "cmf.compat.commands",
    "non_related_args": "cmf.compat.setting_up",
    "pipeline_list": "cmf.compat.commands",
    "query": "cmf.questions",
    "relate": "cmf.relations",
    "repo_pull": "cmf.compat.commands",
    "repo_push": "cmf.compat.commands",
    "restore": "cmf.retracting",
    "retract": "cmf.retracting",
    "run": "cmf.recording",
    "step": "cmf.tracking.step",
}


def __getattr__(name: str) -> object:
    if name == "cmfquery":
        return importlib.import_module("cmf.cmfquery")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = found
    return found
