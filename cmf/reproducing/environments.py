"""What differs between the environment that was recorded and the one that a command would run in now."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from cmf.core.errors import NotReproducible
from cmf.core.recipe import Environment

# Asked of the Python that would run the command, which need not be the one that runs this.
_ASK = """
import importlib.metadata as m, json, os, re, sys
found = {}
for d in m.distributions():
    name = d.metadata["Name"]
    if name:
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), d.version)
u = os.uname()
print(json.dumps({"python": sys.implementation.name + " " + sys.version.split()[0],
                  "system": u.sysname, "machine": u.machine, "distributions": found}))
"""


class Here(msgspec.Struct, frozen=True):
    """The environment of a Python on this machine."""

    python: str
    system: str
    machine: str
    distributions: dict[str, str]


class Difference(msgspec.Struct, frozen=True):
    """A part of the environment that is another now: its name, what was recorded, what is here (empty: nothing)."""

    name: str
    recorded: str
    here: str


def environment_of(interpreter: str) -> Here | None:
    """The environment of a Python; None if it cannot tell."""
    try:
        done = subprocess.run([interpreter, "-c", _ASK], capture_output=True, timeout=60, check=True)
        return msgspec.json.decode(done.stdout, type=Here)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None


def differences(recorded: Environment, here: Here) -> list[Difference]:
    """What differs: the interpreter, the platform, then distributions that are of another version or not there.

    What is installed here beside what was recorded is no difference: nothing of the run could use it.
    """
    found: list[Difference] = []
    if recorded.python and recorded.python.split()[-1] != here.python.split()[-1]:
        found.append(Difference("python", recorded.python, here.python))
    if recorded.platform and not {here.system, here.machine} <= set(recorded.platform.split()):
        found.append(Difference("platform", recorded.platform, f"{here.system} {here.machine}"))
    for name, version in sorted(recorded.distributions.items()):
        if here.distributions.get(name) != version:
            found.append(Difference(name, version, here.distributions.get(name, "")))
    return found


def install(differing: Sequence[Difference], interpreter: str, folder: Path) -> dict[str, str]:
    """Install distributions as they were recorded into a folder; → the variables with which a program finds them first.

    Wheels only: nothing that a record names is built, so none of its code runs before the command does.

    Raises:
        NotReproducible: pip could not.
    """
    wanted = [f"{part.name}=={part.recorded}" for part in differing if part.name not in ("python", "platform")]
    if not wanted:
        return {}
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--only-binary=:all:", f"--target={folder}", "--", *wanted], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr.strip())
        raise NotReproducible(
            f"the recorded distributions cannot be installed: {why}. Install what there is, and say it without --env"
        )
    return _found_first(folder, os.environ)


def _found_first(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), variables.get("PYTHONPATH"))))}


def default_interpreter() -> str:
    """The Python whose environment counts where the command is another program."""
    return sys.executable
