"""The setting `push = "continuous"`: what this process records goes to the server at once, by a thread of its own.

The journal remains the truth: the thread reads there what the disk has, a chunk at a time, and holds nothing else.
Whatever befalls it, or the server, recording goes on, and what was not sent goes with the next push.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from cmf import journal
from cmf.core.errors import CorruptRecord, Gap, ServerProblem, ServerRefused, ServerUnreachable
from cmf.core.store import Head
from cmf.segments import CHUNK_RECORDS, Segment, segments_of

if TYPE_CHECKING:
    from cmf.remote import Remote

GATHER_SECONDS: Final = 0.01
"""How long what follows a call is waited for, so that many calls share a request."""

LOOK_SECONDS: Final = 30.0
"""How often the segments that other processes left behind are looked for."""

SHORTEST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
"""The pauses between attempts at a server that does not take anything double from the one to the other."""

ANSWER_SECONDS: Final = 30.0
"""How long an answer is waited for."""

TOLD_SECONDS: Final = 600.0
"""How far apart two warnings of this process are at least: a server may come and go."""


class PushWarning(UserWarning):
    """What was recorded could not be sent to the server yet. It is in the journal."""


_left: list[ContinuousPush] = []
"""What forked children got of their parents' pushes. Their connections are the parents': they are never closed."""


class ContinuousPush:
    """Sends what one process of a clone appends, and what processes that are gone have left.

    It begins with the first `wake`; nothing of it raises, and nothing but `close` waits.
    """

    def __init__(self, folder: Path, site: str, url: str, token: str | None, *, looks: bool = True) -> None:
        self._folder = folder
        self._site = site
        self._url = url
        self._token = token
        self._remote: Remote
        self._ends: dict[Path, int] = {}
        """Up to where the disk has each own segment."""
        self._sent: dict[Path, Head] = {}
        """Up to where the server has them."""
        # A signal's handler may record while `wake` runs; such a queue, unlike an event, bears that.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._is_woken = False
        self._is_begun = False
        self._thread: threading.Thread | None = None
        self._looks = looks
        self._next_look = 0.0
        self._failures = 0
        self._problem: Exception | None = None
        self._told_at: float | None = None
        self._is_clock_told = False
        self._until: float | None = None
        """Set: it is to end, at this time at the latest."""

    def wake(self, path: Path, head: Head) -> None:
        """Say up to where the disk has a segment of this process."""
        self._ends[path] = head.offset
        if not self._is_woken:
            self._is_woken = True
            self._wakes.put(None)
        if not self._is_begun:
            self._start()

    def close(self, seconds: float) -> None:
        """Send what is left, for as long as that takes but no longer than this; tell what was not sent."""
        if self._thread is None:
            self._tell_unsent()
            return
        self._until = time.monotonic() + seconds
        self._wakes.put(None)
        with suppress(KeyboardInterrupt):  # somebody does not want to wait
            self._thread.join(seconds)
        self._tell_unsent()

    def leave(self) -> None:
        """In a forked child: it is the parent's."""
        _left.append(self)

    def _start(self) -> None:
        self._is_begun = True
        try:
            # Here and not in the thread: a process that forks, or ends, within an import of another thread breaks it.
            import encodings.idna  # noqa: F401 (names of servers need it)

            from cmf import sync  # noqa: F401 (all that the thread needs)
            from cmf.remote import Remote

            # The interpreter would close it at exit before the rest is sent.
            self._remote = Remote(self._url, self._token, ANSWER_SECONDS, close_at_exit=False)
            thread = threading.Thread(target=self._run, name="cmf-push", daemon=True)
            thread.start()
        except Exception as exc:  # the address is none, the interpreter is about to end, or there is no memory
            self._problem = exc
            self._tell(f"{exc}. Recording goes on, and what is recorded waits for a push")
            return
        self._thread = thread

    def _run(self) -> None:
        """The thread."""
        pause = 0.0
        while True:
            if self._rest(pause):
                time.sleep(GATHER_SECONDS)
            is_last = self._until is not None  # read first: what is appended before `close` is sent by this pass
            self._is_woken = False
            try:
                self._pass()
                self._failures, self._problem, pause = 0, None, 0.0
            except Exception as exc:
                pause = self._after(exc)
                if pause < 0 or (is_last and not self._may_try_again(pause)):
                    break
                continue
            if is_last:
                break
        self._remote.close()

    def _rest(self, pause: float) -> bool:
        """Wait for something to do, or after a failure for its pause; → whether more may follow what there is."""
        if self._until is not None:
            time.sleep(max(0.0, min(pause, self._until - time.monotonic())))
            return False
        deadline = time.monotonic() + (pause or LOOK_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._wakes.get(timeout=left)
            except Empty:
                break
            if self._until is not None:
                return False
            if not pause:
                return True
        return False

    def _pass(self) -> None:
        """Send all that there is."""
        remote = self._remote
        self._push_own(remote)
        if self._looks and (self._until is not None or time.monotonic() >= self._next_look):
            self._push_left(remote)
            self._next_look = time.monotonic() + LOOK_SECONDS

    def _push_own(self, remote: Remote) -> None:
        for path, end in list(self._ends.items()):
            self._push(remote, path, self._sent.get(path, journal.START), end)

    def _push_left(self, remote: Remote) -> None:
        """The segments of processes that are gone; the own ones go first, again and again."""
        found = [segment for segment in segments_of(self._folder, self._site) if segment.path not in self._ends]
        heads = remote.heads(self._site) if found else {}
        for segment in found:
            known = heads.get(segment.name)
            size = _size(segment)
            if size == 0 or (known is not None and known.offset >= size) or _is_being_written(segment):
                continue
            try:
                self._push(remote, segment.path, _head_at(segment, known), size, own_first=True)
            except (CorruptRecord, ServerRefused) as exc:
                if isinstance(exc, ServerRefused) and exc.status != 422:
                    raise
                self._tell(f"{exc}. What is recorded now is sent all the same")

    def _push(self, remote: Remote, path: Path, head: Head, end: int, *, own_first: bool = False) -> None:
        from cmf.remote import pack

        is_whole_again = head == journal.START
        while head.offset < end:
            lines, after = _chunk(path, head, end)
            if not lines:
                return  # the rest is half a line, which whoever opens the clone cuts off
            self._check_time()
            try:
                received = remote.push(self._site, path.name.removesuffix(journal.SUFFIX), pack(lines))
            except Gap:
                if is_whole_again:
                    raise
                # The server lost what it had: it was restored from a backup, say. It gets everything again.
                head, is_whole_again = journal.START, True
                self._sent.pop(path, None)
                continue
            head = after
            if path in self._ends:
                self._sent[path] = head
            self._heed_clock(received.clock_ahead_seconds)
            if own_first:
                self._push_own(remote)

    def _check_time(self) -> None:
        if self._until is not None and time.monotonic() >= self._until:
            raise ServerUnreachable("the process ends before everything was sent")

    def _after(self, exc: Exception) -> float:
        """What follows a failure: how long to pause; negative for ever."""
        self._failures += 1
        self._problem = exc
        if self._failures == 1 and isinstance(exc, ServerUnreachable) and exc.retry_after_seconds is None:
            return 0.01  # a connection that was idle for long may just have been closed
        self._tell(f"{exc}. Recording goes on, and what was not sent is sent later")
        if not isinstance(exc, ServerProblem | Gap | OSError):
            return -1.0  # damage, or a fault of our own, that no waiting mends
        longest = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10))
        if isinstance(exc, ServerRefused):
            longest = LONGEST_PAUSE_SECONDS  # somebody must do something first
        asked = exc.retry_after_seconds if isinstance(exc, ServerUnreachable) else None
        # Many processes that lost one server do not come back all at once.
        return min(LONGEST_PAUSE_SECONDS, (asked or 0.0) + longest * random.uniform(0.5, 1.0))  # noqa: S311

    def _may_try_again(self, pause: float) -> bool:
        """Whether there is time for one more attempt before the end, and hope that it goes better."""
        assert self._until is not None
        is_busy = isinstance(self._problem, ServerUnreachable) and self._problem.retry_after_seconds is not None
        return (is_busy or self._failures == 1) and time.monotonic() + pause < self._until

    def _heed_clock(self, ahead_seconds: int) -> None:
        from cmf.sync import clock_words, is_clock_off

        if is_clock_off(ahead_seconds) and not self._is_clock_told:
            self._is_clock_told = True
            _warn(clock_words(ahead_seconds))

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            _warn(text)

    def _tell_unsent(self) -> None:
        left = sum(end - self._sent.get(path, journal.START).offset for path, end in list(self._ends.items()))
        if left > 0:
            why = f" ({self._problem})" if self._problem else ""
            _warn(
                f"{left:,} bytes of what was recorded are not on {self._url} yet{why}; they are in the journal, "
                f"and go with the next 'cmf push' or the next process that records here"
            )


def _chunk(path: Path, head: Head, end: int) -> tuple[list[bytes], Head]:
    """The lines behind a head, up to an offset and as many as one request has; and the head after them.

    Raises:
        CorruptRecord: the next line is damaged.
    """
    from cmf.sync import CHUNK_BYTES

    lines: list[bytes] = []
    size = 0
    try:
        for line, after in journal.read(path, head):
            if after.offset > end:
                break
            lines.append(line)
            head = after
            size += len(line)
            if len(lines) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                break
    except CorruptRecord:
        if not lines:
            raise
    return lines, head


def _head_at(segment: Segment, known: object) -> Head:
    from cmf.sync import head_at

    return head_at(segment.path, known)  # type: ignore[arg-type]


def _size(segment: Segment) -> int:
    try:
        return segment.path.stat().st_size
    except FileNotFoundError:  # another process has just removed an empty one
        return 0


def _is_being_written(segment: Segment) -> bool:
    """Whether a living process has this segment: that one sends it, and may yet take back its last lines."""
    import fcntl

    try:
        with segment.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _warn(text: str) -> None:
    try:
        warnings.warn(text, PushWarning, stacklevel=2)
    except PushWarning:  # warnings are to be errors, but there is nobody here to catch one
        if sys.stderr is not None:
            sys.stderr.write(f"cmf: {text}\n")


def tell_no_server() -> None:
    """Tell that there is nowhere to push to."""
    text = "the setting push is 'continuous', but no server is set: what is recorded stays in the journal"
    _warn(text)
