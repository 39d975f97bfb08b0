"""What is published of the wire is what the code does."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from generated import stamped
from hypothesis import given, settings
from hypothesis import strategies as st

from cmf.core.delta import fold, operations
from cmf.core.errors import InvalidValue
from cmf.core.operations import Operation, SetProperty, check
from cmf.core.records import Header, Stamp, Stamped, parse_record, parse_stamped, record_line
from cmf.core.values import encode

DOCS = Path(__file__).parents[2] / "docs"


def published(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((DOCS / "schema" / name).read_text()))


def test_the_schemas_in_docs_are_those_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("make_schema", DOCS / "make_schema.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, schema in module.schemas().items():
        on_disk = json.loads((DOCS / "schema" / name).read_text())
        assert on_disk == json.loads(json.dumps(schema)), f"run 'python docs/make_schema.py': {name} is out of date"


JOURNAL, PULL = published("journal.schema.json"), published("pull.schema.json")


@settings(max_examples=300, deadline=None)
@given(stamped)
def test_every_operation_passes_its_schema_and_comes_back(statement: tuple[Stamp, Operation]) -> None:
    stamp, operation = statement
    check(operation)
    line, _ = record_line("0" * 32, 1, "2026-01-01T00:00:00.000000Z", operation, stamp)
    assert parse_record(line).op == operation
    JOURNAL.validate(json.loads(line))
    pulled = encode(Stamped(stamp, operation))
    assert parse_stamped(pulled) == Stamped(stamp, operation)
    PULL.validate(json.loads(pulled))


@settings(max_examples=200, deadline=None)
@given(st.lists(stamped, max_size=20))
def test_the_operations_of_a_delta_fold_into_it_again(statements: list[tuple[Stamp, Operation]]) -> None:
    delta = fold(statements)
    assert fold(operations(delta)) == delta


def test_the_header_passes_its_schema() -> None:
    header = Header(1, "SITE", "SEGMENT", "cmf 0.1.0", "2026-01-01T00:00:00.000000Z")
    JOURNAL.validate(msgspec.to_builtins(header))


GOOD = '{"seq":1,"at":"2026-01-01T00:00:00.000000Z","op":%s,"sum":"00000000000000000000000000000000"}'
KEY = "md5:" + "0" * 32


@pytest.mark.parametrize(
    "operation",
    [
        '{"is":"DropEverything"}',
        '{"is":"SetProperty","key":"%s","name":"","value":1}' % KEY,
        '{"is":"SetProperty","key":"%s","name":"a\\nb","value":1}' % KEY,
        '{"is":"SetProperty","key":"%s","name":"a","value":9007199254740992}' % KEY,
        '{"is":"SetProperty","key":"%s","name":"a","value":1e999}' % KEY,
        '{"is":"SetProperty","key":"%s","name":"a","value":1,"more":2}' % KEY,
        '{"is":"SetProperty","key":"md5:0","name":"a","value":1}',
        '{"is":"PutArtifact","key":"%s","name":"a","types":["D"],"size_bytes":-1}' % KEY,
        '{"is":"PutArtifact","key":"%s","name":"a","types":"D"}' % KEY,
        '{"is":"PutUse","execution":"%s","artifact":"%s","direction":"input","path":"a"}' % (KEY, KEY),
        '{"is":"PutUse","execution":"execution:%s","artifact":"%s","direction":"sideways","path":"a"}'
        % ("0" * 32, KEY),
        '{"is":"EndExecution","key":"execution:%s","status":"complete","ended_at":"2026-02-30T00:00:00.000000Z"}'
        % ("0" * 32),
        '{"is":"PutContext","key":"context:%s","kind":"pipeline","name":"a"}' % ("0" * 32),
        '{"is":"PutRelation","kind":"derived_from","source":"execution:%s","target":"%s"}' % ("0" * 32, KEY),
        "[]",
        "null",
    ],
)
def test_what_says_nothing_valid_is_refused(operation: str) -> None:
    with pytest.raises(InvalidValue):
        parse_record((GOOD % operation).encode())


def test_the_deepest_and_longest_lines_are_refused_and_not_a_crash() -> None:
    for value in ("[" * 100_000 + "]" * 100_000, '"' + "x" * (5 << 20) + '"', "[" * 65 + "]" * 65):
        with pytest.raises(InvalidValue):
            parse_record((GOOD % ('{"is":"SetProperty","key":"%s","name":"a","value":%s}' % (KEY, value))).encode())


def test_a_line_that_would_be_too_long_is_never_written() -> None:
    with pytest.raises(InvalidValue, match="up to 4194304 can be recorded"):
        record_line("", 1, "2026-01-01T00:00:00.000000Z", SetProperty(key=KEY, name="a", value="x" * (5 << 20)))
