"""The environment: what finding it costs a process once, and each execution after that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cmf
from bench.figures import Figure, Section, median
from bench.plan import Plan
from bench.turns import in_turns
from bench.workshop import Workshop
from cmf import settings
from cmf.recording import close_repositories
from cmf.repository import Repository

_PROGRAM = """
import json, os, sys, time
import cmf.recorder  # whatever a run needs anyway
from cmf.versioning.environment import environment
began = time.perf_counter()
found = environment()
first = time.perf_counter()
environment()
again = time.perf_counter()
print(json.dumps([first - began, again - first, found.properties["distribution_count"]]))
"""


def measure(plan: Plan, workshop: Workshop) -> list[Section]:
    """In fresh processes, then in this one."""
    section = Section(
        "The environment",
        "The limit of finding it is listing the folders of the search path, and asking of each distribution whether it "
        "has two files. The limit of an execution with it is the same without it.",
        [*_found(plan), _execution(plan, workshop)],
    )
    close_repositories()
    return [section]


def _found(plan: Plan) -> list[Figure]:
    told = [json.loads(_run(_PROGRAM)) for _ in range(plan.processes + 1)][1:]  # the first writes the bytecode
    first, again = (median([times[column] for times in told]) for column in (0, 1))
    bare = median([_listed() for _ in told])
    beside = f"{told[0][2]} distributions"
    return [
        Figure("found, the first time in a process", 1000 * first, "ms", 1000 * bare, "≤ 50 ms", beside),
        Figure("asked for again", 1e6 * again, "µs", None, "", "whether a folder of the path has changed"),
    ]


def _listed() -> float:
    began = time.perf_counter()
    for folder in filter(os.path.isdir, sys.path):
        for name in os.listdir(folder):
            if name.endswith(".dist-info"):
                for file in ("METADATA", "direct_url.json"):
                    os.path.exists(os.path.join(folder, name, file))
    return time.perf_counter() - began


def _execution(plan: Plan, workshop: Workshop) -> Figure:
    roots = {value: _clone(workshop, value) for value in ("on", "off")}

    def record(root: Path) -> float:
        began = time.perf_counter()
        with cmf.run("bench", "train", root=root):
            pass
        return time.perf_counter() - began

    actions = {value: lambda root=root: record(root) for value, root in roots.items()}
    for _ in range(10):
        for action in actions.values():
            action()
    seconds = in_turns(plan.recordings, actions)
    on, off = (1000 * median(seconds[value]) for value in ("on", "off"))
    return Figure("an execution without anything else", on, "ms", off, "", f"{1000 * (on - off):.0f} µs more")


def _clone(workshop: Workshop, value: str) -> Path:
    root = workshop.new_folder(f"environment-{value}")
    repository = Repository.create(root)
    settings.save(repository.folder / "config.toml", versioning="none", environment=value)
    repository.close()
    return root


def _run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
