"""Values: what users record comes back, in a form that every language and store can hold."""

from __future__ import annotations

import datetime
import enum
import math
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from cmf.core.errors import InvalidValue
from cmf.core.values import MAX_VALUE_BYTES, canonical, check_json, encode, from_json, to_json

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.integers(-(2**54), 2**54),
    st.floats(),
    st.integers(-(10**6), 10**6).map(lambda n: n / 1000),
    st.text(st.characters(exclude_categories=["Cs"])),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "é", "$number", "$object", "😀", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


class Colour(enum.Enum):
    RED = "red"


def same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@settings(max_examples=1_000)
@given(values)
def test_every_value_comes_back_through_json(value: object) -> None:
    import msgspec

    recorded = to_json(value)
    check_json(recorded)
    assert same(from_json(msgspec.json.decode(encode(recorded))), value)


@settings(max_examples=2_000)
@given(values)
def test_canonical_is_rfc_8785_to_the_byte(value: object) -> None:
    assert canonical(to_json(value)) == rfc8785.dumps(to_json(value))


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (float("nan"), {"$number": "NaN"}),
        (float("-inf"), {"$number": "-Infinity"}),
        (2**53 - 1, 2**53 - 1),
        (-(2**53), {"$number": "-9007199254740992"}),
        ({"$number": "x"}, {"$object": {"$number": "x"}}),
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        ({0: "a", None: "b", True: "c", 1.5: "d"}, {"0": "a", "null": "b", "true": "c", "1.5": "d"}),
        (Path("data/a"), "data/a"),
        (datetime.date(2026, 5, 4), "2026-05-04"),
        (Colour.RED, "red"),
    ],
)
def test_what_python_has_and_json_has_not_has_a_defined_form(value: object, recorded: object) -> None:
    assert to_json(value) == recorded


def test_numpy_scalars_are_numbers() -> None:
    import numpy

    assert to_json(numpy.float64(0.5)) == 0.5
    assert to_json({"a": numpy.int32(3), "b": numpy.float32("nan")}) == {"a": 3, "b": {"$number": "NaN"}}
    with pytest.raises(InvalidValue, match="several elements"):
        to_json(numpy.zeros(3), "parameter 'x'")


def endless() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "parameter 'x' is a object"),
        (b"bytes", "is a bytes"),
        ({(1, 2): 3}, "a key that is a tuple"),
        ({1: "a", "1": "b"}, "two keys that are both written '1'"),
        ("x" * (10 << 20), "parameter 'x' is 10.0 MiB; a value may have up to 1 MiB"),
        ([["y"] * 400_000], "MiB"),
        (endless(), "nested deeper"),
        ("\ud800", "not valid Unicode"),
        ([1 << 20_000], "integer of"),
    ],
)
def test_what_cannot_be_recorded_is_refused_by_name(value: object, problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem):
        to_json(value, "parameter 'x'")


@pytest.mark.parametrize(
    "value",
    [2**53, float("inf"), {"$number": "1"}, {"$number": "NaN "}, {"$number": "0" * 20}, {"$number": 5}, {"$object": 1}],
)
def test_a_number_from_elsewhere_that_lacks_its_tag_or_has_a_wrong_one_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        check_json(value)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        check_json([{"deep": value}])  # type: ignore[list-item]


def test_the_limit_of_a_value_is_that_of_its_json() -> None:
    assert to_json("x" * (MAX_VALUE_BYTES - 2))
    with pytest.raises(InvalidValue):
        to_json("x" * (MAX_VALUE_BYTES - 1))
