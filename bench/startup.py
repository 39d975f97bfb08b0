"""How long a process needs before it can record or answer."""

from __future__ import annotations

import subprocess
import sys

from bench.figures import Figure, Section, median
from bench.plan import Plan
from bench.turns import in_turns, timed
from bench.workshop import Workshop

_PROGRAMS = {
    "pass": ("-c", "pass"),
    "import cmf": ("-c", "import cmf"),
    "import cmf; cmf.run": ("-c", "import cmf; cmf.run"),
    "cmf --version": ("-m", "cmf.cli", "--version"),
    "cmf --help": ("-m", "cmf.cli", "--help"),
}


def measure(plan: Plan, workshop: Workshop) -> list[Section]:
    """Fresh processes, in turns."""
    actions = {name: timed(lambda words=words: _run(words)) for name, words in _PROGRAMS.items()}  # type: ignore[misc]
    for action in actions.values():
        action()  # writes the bytecode
    seconds = in_turns(plan.processes, actions)
    bare = 1000 * median(seconds.pop("pass"))
    section = Section("Starting", "The limit is `python -c pass`: a process of this Python that does nothing.")
    for name, taken in seconds.items():
        target = "≤ 100 ms" if name.startswith("import") else ""
        beside = f"{1000 * median(taken) - bare:.0f} ms of it are ours"
        section.figures.append(Figure(f"`{name}`", 1000 * median(taken), "ms", bare, target, beside))
    return [section]


def _run(words: tuple[str, ...]) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
