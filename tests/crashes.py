"""Starts a program that kills processes while they record, and looks at what is left."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path


def crash(program: Path, folder: Path, kills: int) -> dict[str, int]:
    """What a program found in a folder after so many kills at random moments; a failure tells the seed."""
    seed = random.randrange(2**32)
    command = [sys.executable, str(program), str(folder), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, cwd=folder)
    assert done.returncode == 0, f"seed {seed}:\n{done.stdout}\n{done.stderr}"
    found: dict[str, int] = json.loads(done.stdout)
    return found
