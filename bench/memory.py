"""How much memory a process holds while something happens."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

EVERY_SECONDS = 0.02


class Watch:
    """Looks at a process's resident memory until the `with` ends: `before_mib`, and `peak_mib` during."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before_mib = self.peak_mib = self._resident_mib()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            try:
                self.peak_mib = max(self.peak_mib, self._resident_mib())
            except psutil.NoSuchProcess:
                return

    def _resident_mib(self) -> float:
        return float(self._process.memory_info().rss) / (1 << 20)
