"""Texts that want to be something else than data, and statements that have one in every field."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cmf.core.identity import use_key
from cmf.core.model import Code
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    NamedIdentity,
    Operation,
    PutArtifact,
    PutPoints,
    PutRelation,
    PutUse,
    RecordIdentity,
    Retract,
    RunIdentity,
    SetProperty,
    put_context,
    put_execution,
    put_record,
)

WORDS = [
    'x"}) DETACH DELETE a //',
    "'; DROP TABLE entity; --",
    "`) MATCH (n) DETACH DELETE n //",
    "\\u0000\\x00%00",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}} {% raw %}",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe",
    "\N{LINE SEPARATOR}\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}",
    "e\N{COMBINING ACUTE ACCENT} é ß ẞ İ ı",
    "\N{PILE OF POO}" * 3,
    "\ufffe\uffff",
    "%s%n{0}$1",
    "$number",
    "__proto__",
    "NaN",
    "null",
    "md5:",
    " ",
    "x" * 1000,
]

CONTROL = [chr(c) for c in (*range(32), 127)]
printable = st.characters(exclude_categories=["Cs"], exclude_characters=CONTROL)
names = st.sampled_from(WORDS) | st.text(printable, min_size=1, max_size=200)
paths = st.one_of(
    st.sampled_from([*WORDS, "a\nb\tc\x1b[2J\x7f", "é" * 2048, "x" * 4096]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=["\0"]), min_size=1, max_size=200),
)
texts = paths | st.sampled_from(["", "\0\0", "x" * (64 << 10), "\N{PILE OF POO}" * (16 << 10)])
members = texts.filter(lambda name: name[:1] != "$")  # those have a meaning of their own
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number) < 2**53)
values: st.SearchStrategy[Any] = st.recursive(
    texts | floats | st.integers(-(2**53) + 1, 2**53 - 1) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(members, values, max_size=3)
times = st.integers(0, 9).map(lambda second: f"2026-01-01T00:00:0{second}.000000Z")
contents = st.integers(0, 15).map(lambda digit: f"md5:{digit:x}" + "0" * 31)


@st.composite
def statements(draw: st.DrawFn) -> list[Operation]:
    """Operations of every kind, with such a text in each of their fields that takes one."""
    pipeline, stage, name, namespace = draw(names), draw(names), draw(names), draw(st.none() | names)
    of_pipeline = put_context("pipeline", pipeline, None, namespace)
    of_stage = put_context("stage", stage, of_pipeline.key, namespace)
    run = put_execution(
        RunIdentity(
            pipeline=pipeline,
            stage=stage,
            type=draw(names),
            uuid=draw(names),
            started_at=draw(times),
            project=draw(names),
            namespace=namespace,
            branch=draw(st.none() | names),
            command=tuple(draw(st.lists(texts, max_size=3))),
            code=Code(commit=draw(names), remote=draw(names)),
            parameters=draw(objects),
        )
    )
    named = put_execution(NamedIdentity(pipeline=pipeline, stage=stage, name=name, namespace=namespace))
    foreign = put_execution(ForeignIdentity(source="mlflow", run=draw(names)))
    content, other = draw(contents), draw(contents)
    said = RecordIdentity(kind=draw(names), execution=run.key, name=draw(names), values=draw(objects))
    record = put_record(said)
    path = draw(paths)
    use = PutUse(
        execution=run.key, artifact=content, direction="output", path=path, commit=draw(names), url=draw(texts)
    )
    return [
        of_pipeline,
        of_stage,
        run,
        named,
        foreign,
        PutArtifact(key=content, name=draw(names), types=(draw(names), draw(names)), size_bytes=5),
        record,
        use,
        PutUse(execution=named.key, artifact=record.key, direction="input", path=draw(paths)),
        PutRelation(kind="ran_in", source=run.key, target=of_stage.key),
        PutRelation(kind="derived_from", source=content, target=other),
        SetProperty(key=content, name=draw(names), value=draw(values)),
        SetProperty(key=run.key, name=draw(names), value=draw(values)),
        SetProperty(key=use_key(run.key, content, "output", path), name=draw(names), value=draw(values)),
        PutPoints(execution=run.key, series=draw(names), chunk=0, rows=((1, 1_700_000_000.0, 0.5),)),
        EndExecution(key=run.key, status="failed", ended_at=draw(times), end_commit=draw(names), error=draw(names)),
        Retract(key=foreign.key, reason=draw(names)),
    ]
