"""The fine-grained metrics of an execution as one Parquet file, which becomes an artifact of type StepMetrics.

The points are read from the journal, which has them all when the execution ends: from this process's segment, and
from those of its forked children. So the file does not depend on the view, and has what every graph has that the
journal is pushed to. Only an index of the chunks is made (in a temporary database), so that a million points cost
the memory of some thousands.

Its rows are in order of the series' names, and within a series in the order in which they were recorded. Equal
points give equal bytes, whatever chunks they came in (with one version of pyarrow, whose name is in the file).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from cmf import journal
from cmf.core.errors import CorruptRecord, FileProblem, MissingExtra
from cmf.core.model import Number, Point
from cmf.core.records import Record, make_stamp
from cmf.core.store import Head
from cmf.core.values import as_float, to_json
from cmf.repository import Mark, Repository
from cmf.segments import JournalWarning

if TYPE_CHECKING:
    import sqlite3

    import pyarrow

GROUP_ROWS: Final = 1 << 16
"""Rows of a row group: what is in memory at once, and what a reader may skip."""

INEXACT: Final = "cmf.inexact"
"""The file's entry that says how many integers float64 could only hold rounded; the graph has them exactly."""

_FEATURE = "a Parquet file of a run's points (they are in the graph all the same)"


class SeriesWarning(UserWarning):
    """The points of a run did not become a file of their own."""


def series_file(repository: Repository, execution: str, since: Mark, target: Path) -> Path | None:
    """Write all points of an execution, recorded after `since`, to `target`; None when there are none.

    Columns: `series` (dictionary of strings), `step` (int64, null where there is none), `time` (microseconds, UTC)
    and `value` (float64; integers beyond its 53 bits are rounded, see INEXACT). Without pyarrow there is a warning,
    once in a process, and no file.

    Raises:
        FileProblem: it cannot be written; nothing is left of it.
    """
    index = _index(repository, execution, since)
    try:
        if index.execute("SELECT 1 FROM chunk LIMIT 1").fetchone() is None:
            return None
        try:
            import pyarrow  # noqa: F401 (only whether it is there)
        except ImportError:
            _warn_once()
            return None
        return _written(_runs(index), target)
    finally:
        index.close()


def read_series(path: Path, series: str | None = None) -> Iterator[tuple[str, Point]]:
    """The points of such a file, or those of one series, as they come: the names with their points.

    Raises:
        FileProblem: it cannot be read, or is no such file.
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as exc:
        raise MissingExtra("reading a Parquet file", "pandas") from exc
    try:
        with parquet.ParquetFile(path) as file:
            if file.schema_arrow.remove_metadata() != _schema():
                raise FileProblem(path, "is no file of a run's series; its columns are others")
            for batch in file.iter_batches(GROUP_ROWS):
                yield from _points(batch, series)
    except pyarrow.ArrowException as exc:
        raise FileProblem(path, f"cannot be read as Parquet: {exc}") from exc
    except OSError as exc:
        raise FileProblem(path, exc.strerror or str(exc)) from exc


_warned = False


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(str(MissingExtra(_FEATURE, "pandas")), SeriesWarning, stacklevel=4)


class _PutPoints(msgspec.Struct, tag_field="is", tag="PutPoints"):
    """What says which chunk a line tells of; its rows are looked over."""

    execution: str
    series: str
    chunk: int


class _Line(msgspec.Struct):
    seq: int
    at: str
    op: _PutPoints
    stamp: str | None = None


_LINES: Final = msgspec.json.Decoder(_Line)
_RECORDS: Final = msgspec.json.Decoder(Record)


def _index(repository: Repository, execution: str, since: Mark) -> sqlite3.Connection:
    """Where in the journal the latest telling of each chunk stands."""
    import sqlite3

    index = sqlite3.connect("", isolation_level=None)  # no name: a temporary file, gone when it is closed
    index.execute(
        "CREATE TABLE chunk (series, chunk, stamp, path, offset, size, PRIMARY KEY (series, chunk)) WITHOUT ROWID"
    )
    index.execute("BEGIN")
    index.executemany(
        "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET stamp = excluded.stamp, "
        "path = excluded.path, offset = excluded.offset, size = excluded.size WHERE excluded.stamp > stamp",
        chain.from_iterable(_tellings(path, head, execution) for path, head in _segments(repository, since)),
    )
    index.execute("COMMIT")
    return index


def _segments(repository: Repository, since: Mark) -> Iterator[tuple[Path, Head]]:
    """The segments that can have them: where this process stood then, and what was begun since."""
    if since.path.exists():
        yield since.path, since.head
    for segment in repository.segments:
        if segment.name >= since.born and segment.path != since.path:
            yield segment.path, journal.START


def _tellings(path: Path, head: Head, execution: str) -> Iterator[tuple[str, int, str, str, int, int]]:
    """The lines of a segment that tell of the execution's points."""
    mark = execution.encode()
    try:
        for line, after in journal.read(path, head):
            if b'"PutPoints"' in line and mark in line:
                with suppress(msgspec.ValidationError):  # another operation, which names the words in a text
                    told = _LINES.decode(line)
                    if told.op.execution == execution:
                        stamp = told.stamp or make_stamp(told.at, path.stem, told.seq)
                        yield told.op.series, told.op.chunk, stamp, str(path), after.offset - len(line) - 1, len(line)
    except CorruptRecord as exc:
        # Nothing of this segment from there on is in any graph either.
        warnings.warn(f"{exc} The file of this run's points is without them.", JournalWarning, stacklevel=2)


def _runs(index: sqlite3.Connection) -> Iterator[tuple[str, Sequence[Point]]]:
    """The chunks with their series' names, in order."""
    path, file = "", None
    try:
        for series, at, offset, size in index.execute(
            "SELECT series, path, offset, size FROM chunk ORDER BY series, chunk"
        ):
            if at != path or file is None:
                if file:
                    file.close()
                path, file = at, Path(at).open("rb")  # noqa: SIM115 (kept open from chunk to chunk)
            file.seek(offset)
            yield series, _RECORDS.decode(file.read(size)).op.rows  # type: ignore[union-attr]
    finally:
        if file:
            file.close()


def _written(runs: Iterator[tuple[str, Sequence[Point]]], target: Path) -> Path:
    from pyarrow import parquet

    inexact = 0
    try:
        with parquet.ParquetWriter(
            target,
            _schema(),
            compression="zstd",
            use_dictionary=["series"],
            column_encoding={"step": "DELTA_BINARY_PACKED", "time": "DELTA_BINARY_PACKED", "value": "PLAIN"},
        ) as writer:
            for group in _groups(runs):
                writer.write_batch(group.batch(), row_group_size=GROUP_ROWS)
                inexact += group.inexact
            writer.add_key_value_metadata({INEXACT: str(inexact)})
    except BaseException as exc:
        target.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise FileProblem(target, exc.strerror or str(exc)) from exc
        raise
    return target


def _groups(runs: Iterator[tuple[str, Sequence[Point]]]) -> Iterator[_Group]:
    group = _Group()
    for series, rows in runs:
        while rows:
            room = GROUP_ROWS - len(group.values)
            group.take(series, rows[:room])
            rows = rows[room:]
            if len(group.values) == GROUP_ROWS:
                yield group
                group = _Group()
    if group.values:
        yield group


class _Group:
    """The rows of one row group, by column."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.series: list[int] = []
        self.steps: list[int | None] = []
        self.times: list[float] = []
        self.values: list[float] = []
        self.inexact = 0

    def take(self, series: str, rows: Sequence[Point]) -> None:
        """Take in rows of a series."""
        steps, times, values = zip(*rows, strict=True)
        self.series += [self.names.setdefault(series, len(self.names))] * len(rows)
        self.steps += steps
        self.times += times
        self.values += values if set(map(type, values)) == {float} else map(self._float, values)

    def batch(self) -> pyarrow.RecordBatch:
        """The rows as pyarrow takes them."""
        import pyarrow
        from pyarrow import compute

        schema = _schema()
        micros = compute.round(compute.multiply(pyarrow.array(self.times, pyarrow.float64()), 1e6))
        names = pyarrow.array(list(self.names), pyarrow.string())
        columns = [
            pyarrow.DictionaryArray.from_arrays(pyarrow.array(self.series, pyarrow.int32()), names),
            pyarrow.array(self.steps, schema.field("step").type),
            micros.cast(pyarrow.int64()).cast(schema.field("time").type),
            pyarrow.array(self.values, pyarrow.float64()),
        ]
        return pyarrow.RecordBatch.from_arrays(columns, schema=schema)

    def _float(self, value: Number) -> float:
        number = as_float(value)
        if isinstance(value, dict):
            digits = value["$number"].removeprefix("-")
            self.inexact += digits.isdigit() and str(abs(int(number))) != digits
        return number


def _schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema(
        [
            pyarrow.field("series", pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), nullable=False),
            pyarrow.field("step", pyarrow.int64()),
            pyarrow.field("time", pyarrow.timestamp("us", tz="UTC"), nullable=False),
            pyarrow.field("value", pyarrow.float64(), nullable=False),
        ]
    )


def _points(batch: pyarrow.RecordBatch, series: str | None) -> Iterator[tuple[str, Point]]:
    import pyarrow

    names, steps, times, values = batch.columns
    rows = zip(
        names.to_pylist(), steps.to_pylist(), times.cast(pyarrow.int64()).to_pylist(), values.to_pylist(), strict=True
    )
    for name, step, at, value in rows:
        if series in (None, name):
            yield name, Point(step, at / 1_000_000, to_json(value))  # type: ignore[arg-type]
