"""The log: a line of JSON for each thing that happened, to stderr or a file, never in the way of a request.

Lines are handed to a thread over a queue with an end: a reader who stops reading, a disk that is full or slow costs
lines, which are counted and told, and not the server.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cmf.core.errors import SettingsProblem
from cmf_api.current import CURRENT

MAX_WAITING: Final = 10_000
"""So many lines wait to be written at most."""

GATHER_SECONDS: Final = 0.05
"""So long lines are gathered before they are written."""

MAX_TEXT: Final = 16_000
"""So many characters has a text of a line at most."""

LEVELS: Final = ("debug", "info", "warning", "error")

_FIELDS: Final = "cmf_fields"


def configure(level: str, file: Path | None) -> Lines:
    """Make the log of this process such lines, what libraries say included; → what writes them, to be closed.

    Raises:
        SettingsProblem: the level is none, or the file cannot be written.
    """
    if level not in LEVELS:
        raise SettingsProblem(f"--log-level {level!r}: there are {', '.join(LEVELS)}")
    lines = Lines(file)
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(logging.WARNING)
    for name in ("cmf_api", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
    # The driver's own words on a database that is down; the answers say it, with what to do.
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    return lines


def fields(**said: Any) -> dict[str, Any]:
    """What a line says beside its message, as `extra` of a call of the log."""
    return {_FIELDS: said}


def lost_lines() -> int:
    """How many lines of this process's log were lost."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, Lines))


def line_of(record: logging.LogRecord) -> bytes:
    """One line of JSON, in ASCII: nothing that is in it can end the line or colour a terminal."""
    at = datetime.fromtimestamp(record.created, UTC)
    told: dict[str, Any] = {
        "time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record)[:MAX_TEXT],
    }
    current = CURRENT.get()
    if current is not None:
        told["request_id"] = current.request
    told |= getattr(record, _FIELDS, {})
    if record.exc_info and record.exc_info[0]:
        told["exception"] = logging.Formatter().formatException(record.exc_info)[-MAX_TEXT:]
    return json.dumps(told, default=str).encode() + b"\n"


class Lines(logging.Handler):
    """Writes lines in the order in which they came. A file that was moved away (logrotate) is opened anew."""

    def __init__(self, file: Path | None) -> None:
        super().__init__()
        self.lost = 0
        self._told_lost = 0
        self._closing = False
        self._file = file
        self._opened: tuple[int, os.stat_result] | None = None
        if file is not None:
            try:
                self._open(file)
            except OSError as exc:
                raise SettingsProblem(f"--log-file {file}: {exc.strerror or exc}") from exc
        # Its `put` may interrupt itself: a signal's handler logs too.
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cmf-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """See the base class."""
        if self._queue.qsize() >= MAX_WAITING:
            self.lost += 1
            return
        try:
            self._queue.put(line_of(record))
        except Exception:  # what is logged must not break what is done
            self.lost += 1

    def close(self, patience_seconds: float = 2.0) -> None:
        """Write what waits, as far as somebody takes it within this time."""
        self._closing = True
        self._queue.put(None)
        self._thread.join(patience_seconds)
        super().close()

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            if not self._closing:
                # A thread that wakes for each line takes the interpreter from the one that answers.
                time.sleep(GATHER_SECONDS)
            batch = [line]
            ended = False
            while len(batch) < 1_000:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ended = True
                    break
                batch.append(following)
            self._write(batch)
            if ended:
                return

    def _write(self, batch: list[bytes]) -> None:
        lost = self.lost
        if lost > self._told_lost:
            batch = [_lost(lost - self._told_lost), *batch]
        try:
            _write_all(self._descriptor(), b"".join(batch))
            self._told_lost = lost
        except OSError:
            self.lost += len(batch)

    def _descriptor(self) -> int:
        if self._file is None:
            return sys.__stderr__.fileno() if sys.__stderr__ else 2
        if self._opened is not None:
            try:
                there = self._file.stat()
            except OSError:
                there = None
            if there is not None and os.path.samestat(there, self._opened[1]):
                return self._opened[0]
            os.close(self._opened[0])
            self._opened = None
        return self._open(self._file)

    def _open(self, file: Path) -> int:
        # O_APPEND: several processes may write one file, a whole batch each time. Not for everyone to read: it says
        # who came from where.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._opened = descriptor, os.fstat(descriptor)
        return descriptor


def _write_all(descriptor: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [], 1.0)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        return str(record.msg)


def _lost(count: int) -> bytes:
    told = {
        "time": datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": "warning",
        "logger": "cmf_api",
        "message": f"{count} lines of this log were lost: they could not be written as fast as they came, or at all",
    }
    return json.dumps(told).encode() + b"\n"
