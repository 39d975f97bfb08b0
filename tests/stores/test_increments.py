"""Pulling again and again: each time only news, and afterwards all that a pull of everything would bring."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

import msgspec
from generated import stamped
from histories import artifact, chain, execution
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.test_contract import EXAMPLES, Stamped, merge, split, without_recording_times

from cmf.core.delta import Delta, fold
from cmf.core.errors import BadQuestion, UnknownKey
from cmf.core.lineage import Question, lineage
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    PutPoints,
    PutRelation,
    PutUse,
    Retract,
    SetProperty,
    put_context,
    put_execution,
)
from cmf.core.records import make_stamp, parse_stamped
from cmf.core.slices import answer, statements
from cmf.core.store import Store
from cmf.core.wire import EndOfPull, ProjectBranch, PullQuestion, Slice
from cmf.stores.memory import MemoryStore

Pulled = tuple[list[Stamped], str]

FEW = settings(EXAMPLES, max_examples=int(os.environ.get("CMF_TEST_EXAMPLES") or 20))

ROOTS = [f"md5:{digit * 32}" for digit in "0123"]
slices = st.builds(
    PullQuestion,
    artifacts=st.lists(st.sampled_from(ROOTS), max_size=2, unique=True).map(tuple),
    projects=st.sampled_from(
        [(), (), (ProjectBranch(project="digits"),), (ProjectBranch(project="digits", branch="main"),)]
    ),
    pipelines=st.sampled_from([(), (), ("train",), ("évaluer", "alone")]),
    direction=st.sampled_from(["both", "upstream", "downstream"]),
    depth=st.sampled_from([None, None, 0, 1, 2]),
)


def pull(store: Store, question: PullQuestion) -> Pulled:
    """The operations of an answer, and the version that it ends with."""
    *lines, end = b"".join(statements(store, answer(store, question))).splitlines()
    told = msgspec.json.decode(end, type=EndOfPull)
    assert told.end == len(lines)
    return [(line.stamp, line.op) for line in map(parse_stamped, lines)], told.version


def everything(store: Store, question: PullQuestion) -> Delta:
    return fold(pull(store, question)[0])


def again(question: PullQuestion, since: str, held: PullQuestion | None = None) -> PullQuestion:
    plain = held and Slice(**{name: getattr(held, name) for name in Slice.__struct_fields__})
    return msgspec.structs.replace(question, since=since, held=plain)


@FEW
@given(
    statements=st.lists(stamped, max_size=40),
    seed=st.integers(0, 2**32),
    question=slices,
)
def test_news_upon_news_make_the_slice_that_a_pull_of_everything_makes(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int, question: PullQuestion
) -> None:
    server, client = make_store(), MemoryStore()
    since = ""
    for group in split(statements, seed):
        merge(server, group)
        news, since = pull(server, again(question, since))
        merge(client, news)
        assert not _missing(client, everything(server, question))
        assert pull(server, again(question, since)) == ([], since)
    for root in question.artifacts:
        for hidden in (False, True):
            asked = Question(keys=(root,), direction=question.direction, depth=question.depth, include_retracted=hidden)
            ours, theirs = _answered(client, asked), _answered(server, asked)
            # Of content that was only ever named, and not by anything in the slice, there is nothing to tell.
            assert ours == theirs or (ours.startswith("nothing recorded") and _is_bare(server, root))


@FEW
@given(
    statements=st.lists(stamped, max_size=40),
    seed=st.integers(0, 2**32),
    questions=st.lists(slices, min_size=2, max_size=4),
)
def test_what_one_question_brought_need_not_come_for_another(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int, questions: list[PullQuestion]
) -> None:
    server, client = make_store(), MemoryStore()
    chance = random.Random(seed)
    held, since = questions[0], ""
    for group in split(statements, seed):
        merge(server, group)
        question = chance.choice(questions)
        news, since = pull(server, again(question, since, held))
        merge(client, news)
        held = question
        assert not _missing(client, everything(server, question))


@FEW
@given(
    statements=st.lists(stamped, max_size=40),
    seed=st.integers(0, 2**32),
    after=st.integers(0, 4),
)
def test_what_is_newer_is_never_less_than_the_specifications(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int, after: int
) -> None:
    """More is harmless: it comes again. How much more is asked in the tests of examples below."""
    specification, store = MemoryStore(), make_store()
    marks = []
    for group in split(statements, seed):
        marks.append((specification.version().number, store.version().number))
        merge(specification, group)
        merge(store, group)
    ours, theirs = marks[min(after, len(marks) - 1)][::-1]
    keys = [*specification.all_keys(), *specification.state().uses]
    assert store.newer(keys, ours) >= specification.newer(keys, theirs)
    points = store.state(keys, ours).points, specification.state(keys, theirs).points
    assert points[0].keys() >= points[1].keys()


def test_a_version_grows_with_each_merge_and_belongs_to_one_store(make_store: Callable[[], Store]) -> None:
    store = make_store()
    first = store.version()
    merge(store, _stamped(chain(1)))
    second = store.version()
    assert (second.store, second.number > first.number) == (first.store, True)
    assert store.stats().version == str(second)
    assert make_store().version().store != first.store


def test_of_another_store_or_of_the_future_everything_comes(store: Store) -> None:
    merge(store, _stamped(chain(3)))
    question = PullQuestion(pipelines=("chain",))
    whole, version = pull(store, question)
    name, _, number = version.partition(":")
    for since in ("", "x", f"other:{number}", f"{name}:{int(number) + 10}", f"{name}:-1", f"{name}:x", f"{name}:٣"):
        assert pull(store, again(question, since)) == (whole, version), since


def test_a_second_pull_of_a_chain_that_grew_brings_what_grew(store: Store) -> None:
    merge(store, _stamped(chain(50)))
    question = PullQuestion(artifacts=(artifact("chain-0"),))
    _, since = pull(store, question)
    merge(store, _stamped(execution(77, ["chain-50"], ["more"], pipeline="chain"), 1000))
    news, since = pull(store, again(question, since))
    # The end of the chain is as it was: it was told again, later, which changes nothing.
    assert _named(news) == {execution(77, [], [], pipeline="chain")[0].key, artifact("more")}
    merge(store, _stamped(execution(78, ["elsewhere"], ["besides"], pipeline="chain"), 2000))
    assert pull(store, again(question, since))[0] == []


def test_an_end_and_new_points_come_without_the_points_and_artifacts_of_before(store: Store) -> None:
    begun = execution(1, ["data"], ["model"], pipeline="p")[:-1]
    run = begun[0].key
    merge(store, _stamped([*begun, *_points(run, 0)]))
    for question in (PullQuestion(pipelines=("p",)), PullQuestion(artifacts=(artifact("model"),))):
        told, since = pull(store, question)
        assert _points(run, 0)[0] in [op for _, op in told]
    ended = EndExecution(key=run, status="complete", ended_at="2026-01-01T00:00:00.000000Z")
    merge(store, _stamped([*_points(run, 1), ended], 1000))
    for question in (PullQuestion(pipelines=("p",)), PullQuestion(artifacts=(artifact("model"),))):
        news = [op for _, op in pull(store, again(question, since))[0]]
        assert ended in news
        assert [op for op in news if isinstance(op, PutPoints)] == _points(run, 1)
        assert _named([("", op) for op in news]) == {run}  # type: ignore[list-item]


def test_a_retraction_travels_and_so_does_its_taking_back(store: Store) -> None:
    merge(store, _stamped(chain(3)))
    question = PullQuestion(artifacts=(artifact("chain-0"),))
    _, since = pull(store, question)
    for number, reason in enumerate(["bad data", None]):
        retraction = Retract(key=artifact("chain-2"), reason=reason)
        merge(store, _stamped([retraction], 1000 * (number + 1)))
        news, since = pull(store, again(question, since))
        assert retraction in [op for _, op in news] and _named(news) == {artifact("chain-2")}


def test_what_is_behind_a_new_join_comes_whole(store: Store) -> None:
    """Old nodes of another chain enter the slice by one new use:   chain → (join) ← other chain."""
    merge(store, _stamped(chain(2)), _stamped(execution(9, ["other-0"], ["other-1"], pipeline="other"), 100))
    question = PullQuestion(artifacts=(artifact("chain-0"),))
    _, since = pull(store, question)
    merge(store, _stamped(execution(10, ["chain-2", "other-1"], ["joined"], pipeline="joining"), 1000))
    upstream = PullQuestion(artifacts=(artifact("joined"),), direction="upstream")
    news, _ = pull(store, again(upstream, since, question))
    assert {artifact("other-0"), artifact("other-1"), artifact("joined")} <= _named(news)
    assert artifact("chain-1") not in _named(news)


def test_a_foreign_run_whose_pipeline_is_stated_later_comes_with_all_it_has(store: Store) -> None:
    put = put_execution(ForeignIdentity(source="mlflow", run="7"))
    use = PutUse(execution=put.key, artifact=artifact("data"), direction="input", path="data")
    pipeline = put_context("pipeline", "nightly")
    stage = put_context("stage", "fit", parent=pipeline.key)
    merge(store, _stamped([put, use, SetProperty(key=artifact("data"), name="x", value=1), *_points(put.key, 0)]))
    question, by_project = PullQuestion(pipelines=("nightly",)), PullQuestion(projects=(ProjectBranch(project="q"),))
    since = pull(store, question)[1]
    merge(store, _stamped([PutRelation(kind="ran_in", source=put.key, target=stage.key), stage], 1000))
    assert pull(store, again(question, since))[0] == []
    merge(store, _stamped([pipeline, SetProperty(key=put.key, name="cmf.project", value="q")], 2000))
    for asked in (question, by_project):
        news = [op for _, op in pull(store, again(asked, since))[0]]
        assert all(op in news for op in (put, use, stage, pipeline, *_points(put.key, 0)))
        assert SetProperty(key=artifact("data"), name="x", value=1) in news


def test_what_is_said_of_a_pipeline_alone_comes_to_those_who_have_a_part_of_it(store: Store) -> None:
    merge(store, _stamped(chain(2)), _stamped(execution(9, [], ["y"], pipeline="other"), 100))
    ours, theirs = PullQuestion(artifacts=(artifact("chain-2"),)), PullQuestion(pipelines=("other",))
    since = pull(store, ours)[1]
    said = SetProperty(key=put_context("pipeline", "chain").key, name="owner", value="me")
    merge(store, _stamped([said], 1000))
    assert said in [op for _, op in pull(store, again(ours, since))[0]]
    assert pull(store, again(theirs, since))[0] == []


def _missing(client: MemoryStore, whole: Delta) -> bool:
    """Whether a client lacks any of this."""
    has = client.state()
    joined = client.state()
    joined.join(whole)
    return joined != has


def _answered(store: Store, question: Question) -> str:
    try:
        return repr(without_recording_times(lineage(store, question)))
    except (UnknownKey, BadQuestion) as exc:
        return str(exc).partition(";")[0]


def _is_bare(store: Store, key: str) -> bool:
    (node,) = store.nodes([key])
    return node.stub and not store.state([key])


def _stamped(operations: Sequence[object], later: int = 0) -> list[Stamped]:
    return [
        (make_stamp("2026-01-01T00:00:00.000000Z", "A", later + number), op)  # type: ignore[misc]
        for number, op in enumerate(operations, 1)
    ]


def _points(run: str, chunk: int) -> list[PutPoints]:
    return [PutPoints(execution=run, series="loss", chunk=chunk, rows=((chunk, 1.0, 0.5),))]


def _named(told: Sequence[Stamped]) -> set[str]:
    """The nodes of which anything is told, but for pipelines and stages."""
    keys = fold(told)
    found = {*keys.executions, *keys.artifacts, *keys.endings, *keys.retractions, *(key for key, _ in keys.properties)}
    return {key for key in found if not key.startswith("context:")}
