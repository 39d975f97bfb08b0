"""What suits a process that is ours, such as the CLI and the server, and not one that merely imports us."""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_SECONDS: Final = 0.0005
"""SQLite and hashing let other threads go on and then wait for their turn: a tenth of the usual time."""


def suit() -> None:
    """Have the collector and the threads do as suits the merging of many records."""
    # Chunks of records outlive the collector's young generations, and nothing in them is cyclic.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    sys.setswitchinterval(_SWITCH_SECONDS)
