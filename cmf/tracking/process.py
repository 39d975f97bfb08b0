"""Another program as a child: it has our terminal and files, gets the signals that we get, and ends as it wants."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED_ON = (*STOPPING, signal.SIGUSR1, signal.SIGUSR2)


class ProgramFailed(Exception):
    """A program could not be started, or did not do what it was to do. `exit_code` is what a shell would say."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class ProgramStopped(BaseException):
    """A program, or the recording of it, was asked by a signal to stop, and did: no failure of its own."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class Child:
    """A program that is started once, while the signals of this process are passed on to it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._received: list[int] = []

    @contextmanager
    def signals(self) -> Iterator[None]:
        """In the body, a signal to this process goes to the child; while there is none, one to stop ends the body.

        Raises:
            ProgramStopped: such a signal came.
        """
        # One that is ignored (nohup) stays so, for the child too.
        handled = {number: old for number in _PASSED_ON if (old := signal.getsignal(number)) is not signal.SIG_IGN}
        for number in handled:
            signal.signal(number, self._take)
        handled[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, nobody tells how it ended
        try:
            yield
        finally:
            for number, old in handled.items():
                signal.signal(number, old)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> ProgramFailed | ProgramStopped | None:
        """Start the program and wait for its end; → what was wrong with that, if anything.

        Raises:
            ProgramFailed: it cannot be started.
        """
        self._starting = True
        try:
            # Files that the caller's shell opened for the program are to be open there too.
            self._process = subprocess.Popen(list(command), env=dict(environment), close_fds=False)
        except OSError as exc:
            code = 127 if isinstance(exc, FileNotFoundError) else 126
            raise ProgramFailed(f"{command[0]}: {exc.strerror or exc}", code) from exc
        except ValueError as exc:  # a NUL in an argument
            raise ProgramFailed(f"{command[0]}: {exc}", 126) from exc
        finally:
            self._starting = False
        for number in self._received:
            self._process.send_signal(number)
        code = self._process.wait()
        self._process = None
        return _ended(code, asked_to_stop=any(number in STOPPING for number in self._received))

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._process is None and not self._starting:
            if number in STOPPING:
                raise ProgramStopped(f"by {_signal_name(number)}", 128 + number)
            return
        self._received.append(number)
        if self._process is not None and not _came_from_terminal(number):
            self._process.send_signal(number)


def _ended(code: int, *, asked_to_stop: bool) -> ProgramFailed | ProgramStopped | None:
    if code < 0:
        name = _signal_name(-code)
        stopped = -code in STOPPING
        return ProgramStopped(f"by {name}", 128 - code) if stopped else ProgramFailed(f"killed by {name}", 128 - code)
    if code == 0:
        return None
    if asked_to_stop or code - 128 in STOPPING:
        return ProgramStopped(f"exit code {code} after a signal", code)
    return ProgramFailed(f"exit code {code}", code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _came_from_terminal(number: int) -> bool:
    """Whether Ctrl-C or Ctrl-\\ was pressed: then the terminal has told the child too."""
    if number not in (signal.SIGINT, signal.SIGQUIT):
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
