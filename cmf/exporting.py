"""Export: a clone's journals, or a slice of its graph, in one file to be carried; its form is in `cmf.core.bundles`.

A slice is one segment more, made as a pull would make it. Nothing in a bundle tells when it was made, so that the same
export is the same file.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cmf import __version__, journal
from cmf.core.bundles import BUNDLE_FORMAT, BundleHeader, EndOfBundle, parse_bundle_header
from cmf.core.errors import BadQuestion, FileProblem, InvalidValue
from cmf.core.records import MAX_LINE_BYTES, Stamped, parse_stamped
from cmf.core.slices import answer, statements
from cmf.core.values import encode
from cmf.core.wire import PullQuestion
from cmf.pulled import write_pulled
from cmf.repository import Repository
from cmf.segments import PULLED, Progress, Segment, segments_of


class Exported(NamedTuple):
    """What a bundle was given: the segments, their records, the size of the file, what proves the whole."""

    segments: int
    records: int
    size_bytes: int
    sha256: str


def export(
    repository: Repository, file: Path, question: PullQuestion | None = None, progress: Progress | None = None
) -> Exported:
    """Write a bundle: everything that the view shows, or only the slice of it that a pull would bring.

    The file appears when it is whole; only another bundle is replaced.

    Raises:
        CorruptRecord: a segment is damaged; nothing was written.
        BadQuestion: there is nothing of what was asked for.
        FileProblem: the file cannot be written, or is there and no bundle.
    """
    _expect_replaceable(file)
    if question is None:
        return _write(file, repository.site, repository.all_segments, progress)
    with _slice(repository, question) as segments:
        return _write(file, repository.site, segments, progress)


def _expect_replaceable(file: Path) -> None:
    if file.exists() and not file.is_file():
        raise FileProblem(file, "is there already and no file; name another")
    try:
        with gzip.open(file) as there:
            parse_bundle_header(there.readline(MAX_LINE_BYTES).rstrip(b"\n"))
    except FileNotFoundError:
        return
    except (gzip.BadGzipFile, EOFError, InvalidValue) as exc:
        raise FileProblem(file, "is there already and no bundle; name another file") from exc
    except OSError as exc:
        raise FileProblem(file, exc.strerror or str(exc)) from exc


@contextmanager
def _slice(repository: Repository, question: PullQuestion) -> Iterator[list[Segment]]:
    """A slice of the view as a segment that a pull would have made."""
    folder = repository.scratch.path()
    try:
        write_pulled(folder, _operations(repository, question), None)
        yield segments_of(folder, PULLED)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _operations(repository: Repository, question: PullQuestion) -> Iterator[Stamped]:
    view = repository.view
    for piece in statements(view, answer(view, question)):
        for line in piece.splitlines():
            if not line.startswith(b'{"end"'):
                yield parse_stamped(line)


def _write(file: Path, site: str, segments: Sequence[Segment], progress: Progress | None) -> Exported:
    draft = file.with_name(f".{journal.ulid()}.part")
    try:
        with _translated(file), draft.open("xb") as packed:
            done = _pack(packed, site, segments, progress)
            packed.flush()
            os.fsync(packed.fileno())
        if not done.records:
            raise BadQuestion("there is nothing of what was asked for, so there is nothing to export")
        with _translated(file):
            draft.replace(file)
        with suppress(OSError):  # the bundle is whole; not every file system that is carried about can do this
            journal.sync_folder(file.parent)
        return done
    finally:
        draft.unlink(missing_ok=True)


def _pack(packed: BinaryIO, site: str, segments: Sequence[Segment], progress: Progress | None) -> Exported:
    # What is recorded while this is written stays out, so that the first line can tell how much there will be.
    ends = [segment.path.stat().st_size for segment in segments]
    header = BundleHeader(BUNDLE_FORMAT, site, f"cmf {__version__}", sum(ends))
    digest = hashlib.sha256()
    lines = 0
    # Level 1, as in a push: five times smaller at a tenth of the cost of the default.
    with gzip.GzipFile("", "wb", 1, packed, mtime=0) as bundle:
        for line in _lines(header, segments, ends, progress):
            digest.update(line)
            bundle.write(line)
            lines += 1
        end = EndOfBundle(lines, digest.hexdigest())
        bundle.write(encode(end) + b"\n")
    headers = 1 + len(segments)
    return Exported(len(segments), lines - headers, packed.tell(), end.sha256)


def _lines(
    header: BundleHeader, segments: Iterable[Segment], ends: Iterable[int], progress: Progress | None
) -> Iterator[bytes]:
    yield encode(header) + b"\n"
    for segment, end in zip(segments, ends, strict=True):
        for line, head in journal.read(segment.path):
            if head.offset > end:
                break
            yield line + b"\n"
            if progress:
                progress(len(line) + 1)


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise FileProblem(file, exc.strerror or str(exc)) from exc
