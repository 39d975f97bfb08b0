"""Measuring in turns: what is compared runs A B A B …, so that both meet the same weather."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Timed = Callable[[], float]
"""Does something, and returns the seconds that count."""


def in_turns(rounds: int, actions: Mapping[str, Timed]) -> dict[str, list[float]]:
    """The seconds of each action, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds[name].append(action())
    return seconds


def timed(action: Callable[[], object]) -> Timed:
    """An action all of whose time counts."""

    def run() -> float:
        began = time.perf_counter()
        action()
        return time.perf_counter() - began

    return run
