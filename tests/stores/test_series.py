"""Series of points: what every store yields, and the answers made of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from generated import stamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.core.delta import fold
from cmf.core.errors import BadQuestion, UnknownKey
from cmf.core.model import Point, Series
from cmf.core.operations import ForeignIdentity, Operation, PutPoints, put_execution
from cmf.core.records import Stamp, make_stamp
from cmf.core.series import DEFAULT_POINTS, SeriesQuestion, points_of, series_of
from cmf.core.store import Store
from cmf.core.values import as_float, to_json
from cmf.stores.memory import MemoryStore

RUNS = [put_execution(ForeignIdentity(source="mlflow", run=name)) for name in "abc"]
RUN = RUNS[0].key
NAN = float("nan")


def points(
    chunk: int, rows: Sequence[tuple[int | None, float, float]], series: str = "loss", run: str = RUN
) -> Operation:
    told = tuple(Point(step, time, to_json(value)) for step, time, value in rows)  # type: ignore[arg-type]
    return PutPoints(execution=run, series=series, chunk=chunk, rows=told)


def merge(store: Store, *operations: Operation, sequence: int = 1) -> None:
    told = [(make_stamp("2026-01-01T00:00:00.000000Z", "S", n), op) for n, op in enumerate(operations, sequence)]
    store.write(lambda transaction: transaction.merge(fold(told)))


def asked(store: Store, **question: object) -> Series:
    return points_of(store, SeriesQuestion(executions=(RUN,), name="loss", **question)).series[0]  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(statements=st.lists(stamped, max_size=40), seed=st.integers(0, 2**32))
def test_every_store_yields_the_points_and_answers_as_the_specification(
    make_store: Callable[[], Store], statements: list[tuple[Stamp, Operation]], seed: int
) -> None:
    specification, store = MemoryStore(), make_store()
    shuffled = random.Random(seed).sample(statements, len(statements))
    for of, told in ((specification, statements), (store, shuffled)):
        of.write(lambda transaction, told=told: transaction.merge(fold(told)))  # type: ignore[misc]
    known = {(execution, series) for execution, series, _ in specification.state().points}
    for execution, series in known:
        theirs = [tuple(rows) for rows in specification.points(execution, series)]
        assert [tuple(rows) for rows in store.points(execution, series)] == theirs
        assert series_of(store, execution) == series_of(specification, execution)


def test_pieces_come_in_the_order_of_their_numbers_however_many_there_are(store: Store) -> None:
    high = 1 << 50
    numbers = [*range(60), high, high + 1]
    merge(store, *[points(n, [(n, 1.0, float(n))] * (1 if n else 9_000)) for n in reversed(numbers)], RUNS[0])
    merge(store, points(0, [(5, 1.0, 5.0)], series="other"), points(0, [(6, 1.0, 6.0)], run=RUNS[1].key), sequence=99)
    found = [rows[0][0] for rows in store.points(RUN, "loss")]
    assert found == [*numbers[:60], high, high + 1]
    assert [list(rows) for rows in store.points(RUN, "other")] == [[(5, 1.0, 5.0)]]
    assert list(store.points(RUN, "unknown")) == list(store.points("execution:" + "f" * 32, "loss")) == []


def test_a_chunk_told_again_with_more_is_there_once(store: Store) -> None:
    merge(store, RUNS[0], points(0, [(0, 1.0, 0.5)]))
    merge(store, points(0, [(0, 1.0, 0.5), (1, 2.0, 0.25)]), sequence=10)
    merge(store, points(0, [(0, 1.0, 0.5)]), sequence=2)
    assert asked(store).points == ((0, 1.0, 0.5), (1, 2.0, 0.25))


def test_a_series_is_in_order_of_step_then_time_and_keeps_what_was_repeated(store: Store) -> None:
    merge(
        store,
        RUNS[0],
        points(0, [(0, 1.0, 9.0), (1, 2.0, 8.0), (2, 3.0, 7.0)]),
        points(7, [(1, 5.0, 1.0), (1, 4.0, 8.0)]),
    )
    answer = asked(store)
    assert [row[:2] for row in answer.points] == [(0, 1.0), (1, 2.0), (1, 4.0), (1, 5.0), (2, 3.0)]
    assert answer.method == "all"
    assert answer.summary and (answer.summary.axis, answer.summary.total) == ("step", 5)
    assert (answer.summary.least, answer.summary.greatest) == ((1, 5.0, 1.0), (0, 1.0, 9.0))
    assert (answer.summary.first, answer.summary.last) == ((0, 1.0, 9.0), (2, 3.0, 7.0))
    assert [row[0] for row in asked(store, from_step=1, to_step=1).points] == [1, 1, 1]
    nothing = asked(store, from_step=3)
    assert (nothing.summary, nothing.points) == (None, ())


def test_one_point_without_a_step_puts_the_series_in_order_of_time(store: Store) -> None:
    merge(store, RUNS[0], points(0, [(5, 1.0, 1.0), (4, 2.0, 2.0)]), points(1, [(None, 1.5, 3.0)]))
    answer = asked(store)
    assert [row[1] for row in answer.points] == [1.0, 1.5, 2.0]
    assert answer.summary and (answer.summary.axis, answer.summary.last) == ("time", (4, 2.0, 2.0))
    assert [row[0] for row in asked(store, from_step=0).points] == [4, 5]


def test_many_points_are_thinned_out_and_what_stands_out_stays(store: Store) -> None:
    count = 50_000
    values = [1.0 / (step + 1) for step in range(count)]
    odd = {12_345: 1e6, 23_456: -3.0, 34_567: NAN, 45_678: float("inf"), 45_679: float("-inf"), 40_000: 2**60}
    rows = [(step, 1.0 + step, odd.get(step, value)) for step, value in enumerate(values)]
    chance = random.Random(7)
    chunks = [points(n, rows[n * 5_000 : (n + 1) * 5_000]) for n in range(10)]
    chance.shuffle(chunks)
    merge(store, RUNS[0], *chunks)
    for limit in (10, 100, None):
        answer = asked(store, points=limit)
        summary = answer.summary
        assert answer.method == "m4" and summary and summary.total == count
        assert 4 <= len(answer.points) <= (limit or DEFAULT_POINTS)
        assert [row[0] for row in answer.points] == sorted({row[0] for row in answer.points})  # type: ignore[type-var]
        assert (answer.points[0][0], answer.points[-1][0]) == (0, count - 1)
        assert (summary.nan, summary.infinite) == (1, 2)
        assert summary.least and summary.greatest
        assert (summary.least[0], summary.greatest[0]) == (23_456, 40_000)
        shown = {row[0] for row in answer.points}
        assert {34_567, 45_678, 45_679, 40_000, 23_456} <= shown
    assert {12_345, *odd} <= {row[0] for row in asked(store).points}


def test_what_is_kept_of_each_part_is_what_m4_keeps(store: Store) -> None:
    chance = random.Random(3)
    rows = [(step, float(step), chance.gauss(0, 1)) for step in range(12_000)]
    merge(store, RUNS[0], points(0, rows[:7_000]), points(1, rows[7_000:]))
    limit, parts = 400, 100
    width = 11_999 / parts
    expected = set()
    for part in range(parts):
        inside = [row for row in rows if min(int(row[0] / width), parts - 1) == part]
        value = lambda row: row[2]  # noqa: E731
        expected |= {inside[0], inside[-1], min(inside, key=value), max(inside, key=value)}
    assert set(map(tuple, asked(store, points=limit).points)) == expected


def test_series_of_several_executions_come_as_asked_and_say_which_have_none(store: Store) -> None:
    a, b, c = (run.key for run in RUNS)
    merge(
        store, *RUNS, points(0, [(0, 1.0, 1.0)]), points(0, [(0, 1.0, 2.0)], run=c), points(0, [(0, 1.0, 2.0)], "x", b)
    )
    answer = points_of(store, SeriesQuestion(executions=(c, b, a), name="loss"))
    assert ([series.execution for series in answer.series], answer.without) == ([c, a], (b,))
    assert [summary.name for summary in series_of(store, b).series] == ["x"]
    with pytest.raises(UnknownKey, match="nearest: loss, x"):
        points_of(store, SeriesQuestion(executions=(a, b), name="los"))
    with pytest.raises(UnknownKey):
        series_of(store, "md5:" + "0" * 32)
    with pytest.raises(BadQuestion, match="at most 200000 points"):
        points_of(store, SeriesQuestion(executions=(a, b), name="loss", points=150_000))
    with pytest.raises(BadQuestion, match="ends before it begins"):
        points_of(store, SeriesQuestion(executions=(a,), name="loss", from_step=2, to_step=1))


def test_a_series_becomes_a_data_frame(store: Store) -> None:
    import pandas

    merge(store, RUNS[0], points(0, [(0, 1.5, NAN), (None, 2.0, 2**60), (3, 3.0, float("-inf"))]))
    frame = asked(store).to_pandas()
    assert [str(dtype) for dtype in frame.dtypes] == ["Int64", "datetime64[us, UTC]", "float64"]
    assert frame["time"][0] == pandas.Timestamp("1970-01-01T00:00:01.5Z")
    assert (frame["step"].isna().tolist(), frame["value"][1]) == ([False, True, False], as_float(to_json(2**60)))  # type: ignore[arg-type]
    assert len(asked(store, from_step=9).to_pandas()) == 0
