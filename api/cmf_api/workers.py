"""Several workers: processes that serve one socket, started anew when they die, and stopped together.

The parent serves nothing and opens no store. It forks while it has one thread, so that what a worker needs is loaded
once and shared.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from cmf.core.errors import CmfError

SHORT_LIFE_SECONDS: Final = 5.0
"""A worker that lives no longer failed at its start."""

LONGEST_PAUSE_SECONDS: Final = 30.0


class Workers:
    """`count` processes that each do `serve`, until a signal says to stop. Then they have `stop_seconds`."""

    def __init__(
        self, count: int, serve: Callable[[], None], tell: Callable[[str], None], *, stop_seconds: int = 45
    ) -> None:
        self._count = count
        self._serve = serve
        self._tell = tell
        self._stop_seconds = stop_seconds
        self._started: dict[int, float] = {}
        """When each living worker was started."""
        self._is_stopping = False
        self._failures = 0
        self._kept_open = os.pipe()
        """The parent has the end to write: when it is gone, however it ended, its workers read the end of the pipe."""

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the workers finish."""
        for kind in (signal.SIGTERM, signal.SIGINT):
            signal.signal(kind, self._stop)
        for _ in range(self._count):
            self._start()
        while self._started:
            pid, status = os.waitpid(-1, 0)
            if (began := self._started.pop(pid, None)) is not None and not self._is_stopping:
                self._replace(pid, os.waitstatus_to_exitcode(status), time.monotonic() - began)

    def _replace(self, pid: int, code: int, lived_seconds: float) -> None:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._failures = self._failures + 1 if lived_seconds < SHORT_LIFE_SECONDS else 0
        # Many that fail at once must not keep the machine busy with starting them.
        pause = (
            0.0 if self._failures <= self._count else min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(self._failures, 9))
        )
        self._tell(f"worker {pid} {how}; another takes its place" + (f" in {pause:.0f} s" if pause >= 1 else ""))
        deadline = time.monotonic() + pause
        while not self._is_stopping and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
        if not self._is_stopping:
            self._start()

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        with _held_back((signal.SIGTERM, signal.SIGINT)):  # else one that comes now would miss the newest
            pid = os.fork()
            if pid:
                self._started[pid] = time.monotonic()
                return
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _become_worker(self._serve, self._kept_open, self._stop_seconds)

    def _stop(self, *_: object) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        self._send(signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_: self._send(signal.SIGKILL))
        signal.alarm(self._stop_seconds)

    def _send(self, kind: signal.Signals) -> None:
        for pid in list(self._started):
            with suppress(ProcessLookupError):
                os.kill(pid, kind)


@contextmanager
def _held_back(kinds: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Signals of these kinds come when this ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker(serve: Callable[[], None], kept_open: tuple[int, int], stop_seconds: int) -> NoReturn:
    """In a forked child: serve, and end without going back to what the parent was doing."""
    read_end, write_end = kept_open
    code = 1
    try:
        os.close(write_end)
        threading.Thread(target=_end_with_parent, args=(read_end, stop_seconds), name="cmf-parent", daemon=True).start()
        serve()
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except KeyboardInterrupt:  # Ctrl-C reaches every process of a terminal
        code = 0
    except CmfError as exc:
        sys.stderr.write(f"cmf: {exc}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_with_parent(read_end: int, stop_seconds: int) -> None:
    """The thread: nobody would stop a worker whose parent was killed, and it would hold the address."""
    os.read(read_end, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(stop_seconds)
    os._exit(1)
