"""`@cmf.step`: what a call records of its arguments and its result, and that it changes nothing else."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import inspect
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from recorded import Recorded

import cmf
from cmf.core.errors import FileProblem, InvalidValue, SettingsProblem


@pytest.fixture(autouse=True)
def data(clone: Path) -> None:
    for name in ("train.csv", "test.csv", "other.csv"):
        (clone / name).write_text(name)


def written(name: str, text: str = "weights") -> str:
    Path(name).write_text(text)
    return name


@cmf.step
def train(data: cmf.Dataset, c: float = 1.0, *, seed: int | None = None) -> cmf.Model:
    """Fit."""
    return cmf.Model(written("model.pkl"), framework="sklearn")


def test_arguments_are_parameters_and_inputs_and_the_result_is_an_output(recorded: Recorded) -> None:
    made = train(cmf.Dataset("train.csv", rows=1), seed=7)
    assert made == cmf.Model("model.pkl", framework="sklearn")
    execution = recorded.only()
    assert (execution.pipeline, execution.stage, execution.status) == ("digits", "train", "complete")
    assert execution.parameters == {"c": 1.0, "seed": 7}
    assert recorded.uses(execution, "input")["train.csv"].properties == {"argument": "data"}
    assert recorded.artifact(execution, "input", "train.csv").properties == {"rows": 1}
    model = recorded.artifact(execution, "output", "model.pkl")
    assert (model.types, model.properties) == (("Model",), {"framework": "sklearn"})
    train("train.csv")  # type: ignore[arg-type]
    assert recorded.paths(recorded.executions()[1], "input") == {"train.csv"}, "text will do where a Dataset is said"


def test_the_three_ways_to_decorate_and_the_names_of_methods(recorded: Recorded) -> None:
    class Trainer:
        @cmf.step()
        def fit(self, epochs: int) -> int:
            return epochs + 1

        @cmf.step(pipeline="p", stage="s", type="t")
        @classmethod
        def load(cls, x: int) -> type:
            return cls

        @staticmethod
        @cmf.step
        def check(self: int) -> int:
            return self

    assert Trainer().fit(3) == 4
    assert Trainer.load(x=1) is Trainer
    assert Trainer.check(5) == 5
    fit, load, check = recorded.executions()
    assert (fit.pipeline, fit.stage, fit.parameters) == ("digits", "Trainer.fit", {"epochs": 3})
    assert (load.pipeline, load.stage, load.type, load.parameters) == ("p", "s", "t", {"x": 1})
    assert check.stage == "Trainer.check"


def test_a_decorated_function_looks_like_the_one_behind_it() -> None:
    assert (train.__name__, train.__doc__, train.__module__) == ("train", "Fit.", __name__)
    assert list(inspect.signature(train).parameters) == ["data", "c", "seed"]
    assert inspect.iscoroutinefunction(cmf.step(asyncio.sleep))
    assert inspect.isgeneratorfunction(numbers) and inspect.isasyncgenfunction(async_numbers)
    with pytest.raises(InvalidValue, match="before a function"):
        cmf.step(3)  # type: ignore[call-overload]
    with pytest.raises(InvalidValue, match="the stage's name"):
        cmf.step(stage="a\nb")(train)


class Settings(NamedTuple):
    depth: int


@dataclass
class Config:
    lr: float
    data: Path
    inner: Settings


def test_every_way_to_name_an_input(recorded: Recorded) -> None:
    class Embeddings(cmf.Dataset):
        pass

    @cmf.step
    def everything(
        a: cmf.Dataset | None,
        b: list[cmf.Dataset],
        c: Annotated[str, cmf.Model],
        d: dict[str, cmf.Dataset],
        e: tuple[int, cmf.Dataset],
        f: Any,
        config: Config,
        *rest: cmf.Dataset,
        nothing: cmf.Dataset | None = None,
        url: cmf.Dataset | str = "s3://bucket/x",
        absent: Path = Path("absent"),
        here: Path = Path(),
        **more: cmf.Dataset,
    ) -> None: ...

    names = [written(f"{letter}.csv", letter) for letter in "abcdefghij"]
    a, b, c, d, e, f, g, h, i, j = names
    everything(a, [b], c, {"x": d}, (1, e), [Path(f)], Config(0.1, Path(g), Settings(2)), h, i=i, j=Embeddings(j))  # type: ignore[arg-type, list-item, dict-item]
    execution = recorded.only()
    uses = recorded.uses(execution, "input")
    assert {path: edge.properties["argument"] for path, edge in uses.items()} == {
        a: "a", b: "b.0", c: "c", d: "d.x", e: "e.1", f: "f.0", g: "config.data", h: "rest.0", i: "i", j: "j",
    }  # fmt: skip
    assert recorded.artifact(execution, "input", c).types == ("Model",)
    assert recorded.artifact(execution, "input", j).types == ("Embeddings",)
    assert execution.parameters == {
        "e": [1, e],
        "config": {"lr": 0.1, "data": g, "inner": [2]},
        "nothing": None,
        "url": "s3://bucket/x",
        "absent": "absent",
        "here": ".",
    }


def test_what_cannot_be_a_parameter_is_described_and_never_an_error(recorded: Recorded) -> None:
    import numpy

    class Hostile:
        shape = property(lambda self: 1 / 0)

        def __repr__(self) -> str:
            raise ValueError

    @cmf.step
    def take(**values: object) -> object:
        return values["array"]

    array = numpy.zeros((3, 2))
    knot: list[object] = []
    knot.append(knot)
    took = take(
        array=array,
        scalar=numpy.float32(0.5),
        frame=object(),
        hostile=Hostile(),
        function=written,
        many=list(range(100_000)),
        text="x" * 100_000,
        bytes=b"\0" * 10,
        knot=knot,
        namespace=argparse.Namespace(lr=0.1),
        huge=2**100_000,
        odd={(1, 2): {3}, "surrogate": "\udcff", 1: float("nan")},
        **{"a\nb": 1},
    )
    assert took is array
    assert recorded.only().parameters == {
        "array": {"unrecorded": "numpy.ndarray", "shape": [3, 2]},
        "scalar": 0.5,
        "frame": {"unrecorded": "object", "text": "<object object>"},
        "hostile": {"unrecorded": f"{__name__}.{Hostile.__qualname__}"},
        "function": {"unrecorded": "function", "text": f"{__name__}.written"},
        "many": {"unrecorded": "list", "length": 100_000},
        "text": {"unrecorded": "str", "length": 100_000},
        "bytes": {"unrecorded": "bytes", "length": 10},
        "knot": recorded.only().parameters["knot"],
        "namespace": {"lr": 0.1},
        "huge": recorded.only().parameters["huge"],
        "odd": {"(1, 2)": [3], "surrogate": {"unrecorded": "str", "length": 1}, "1": {"$number": "NaN"}},
        "a\N{REPLACEMENT CHARACTER}b": 1,
    }


class Result(NamedTuple):
    model: cmf.Model
    accuracy: float


@dataclass
class Report:
    path: Path
    loss: float
    note: str = "fine"


@pytest.mark.parametrize(
    ("result", "hint", "outputs", "metrics"),
    [
        (cmf.Model("m"), None, {"m": None}, {}),
        ("m", cmf.Model, {"m": None}, {}),
        ("m", str, {}, {}),
        (Path("m"), None, {"m": None}, {}),
        (Path("absent"), None, {}, {}),
        ({"accuracy": 0.9, "note": "x"}, None, {}, {"metrics": {"accuracy": 0.9}}),
        (cmf.Metrics("test", a=1, b=[1, 2]), None, {}, {"test": {"a": 1, "b": [1, 2]}}),
        ((cmf.Model("m"), {"a": 1}, {"a": 2}), None, {"m": "0"}, {"metrics": {"a": 1}, "metrics-2": {"a": 2}}),
        (("m", {"a": 1}), tuple[cmf.Model, dict[str, float]], {"m": "0"}, {"metrics": {"a": 1}}),
        (["m", "n"], list[cmf.Dataset], {"m": "0", "n": "1"}, {}),
        ({"model": cmf.Model("m"), "test": {"a": 1}}, None, {"m": "model"}, {"test": {"a": 1}}),
        (Result(cmf.Model("m"), 0.9), None, {"m": "model"}, {"metrics": {"accuracy": 0.9}}),
        (Report(Path("m"), 0.1), None, {"m": "path"}, {"metrics": {"loss": 0.1}}),
        (0.97, float, {}, {}),
        ([1, 2, 3], None, {}, {}),
    ],
)
def test_a_result_is_outputs_and_metrics(
    recorded: Recorded, result: object, hint: object, outputs: dict[str, str | None], metrics: dict[str, object]
) -> None:
    def work() -> object:
        written("m", "m")
        written("n", "n")
        return result

    work.__annotations__["return"] = hint
    assert cmf.step(work)() is result
    uses = recorded.uses(recorded.only(), "output")
    measured = {path: recorded.artifact(recorded.only(), "output", path).values for path in uses}
    assert {path: values for path, values in measured.items() if values is not None} == metrics
    files = {path: uses[path].properties.get("result") for path, values in measured.items() if values is None}
    assert files == outputs


def test_a_bare_path_is_never_an_error(recorded: Recorded, clone: Path, tmp_path: Path) -> None:
    @cmf.step
    def work(*paths: Path) -> list[Path]:
        return list(paths)

    (outside := tmp_path / "outside").mkdir()
    (outside / "a").write_text("a")
    (scratch := tmp_path / "scratch").mkdir()
    os.mkfifo(scratch / "pipe")
    paths = [outside, scratch, clone, clone.parent, Path("/dev/null"), Path("a\0b"), Path("x" * 5000)]
    assert work(*paths) == paths
    execution = recorded.only()
    assert recorded.paths(execution, "input") == recorded.paths(execution, "output") == {str(outside)}
    assert set(execution.properties["unrecorded_inputs"]) == {"paths.1"}  # type: ignore[arg-type]
    assert set(execution.properties["unrecorded_outputs"]) == {"1"}  # type: ignore[arg-type]
    assert execution.parameters["paths"][2:5] == [str(clone), str(clone.parent), "/dev/null"]  # type: ignore[index]


def test_what_a_step_says_it_read_or_made_must_be_there(recorded: Recorded) -> None:
    @cmf.step
    def absent() -> cmf.Model:
        return cmf.Model("absent.pkl")

    with pytest.raises(FileProblem, match=r"absent\.csv"):
        train("absent.csv")  # type: ignore[arg-type]
    with pytest.raises(FileProblem, match=r"absent\.pkl"):
        absent()
    assert [execution.status for execution in recorded.executions()] == ["failed", "failed"]


def test_an_exception_goes_on_unchanged_and_a_wrong_call_is_no_execution(recorded: Recorded) -> None:
    error = ValueError("no data")

    @cmf.step
    def fail(kind: str) -> None:
        raise error

    with pytest.raises(ValueError, match="no data") as caught:
        fail("x")
    assert caught.value is error
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'kind'"):
        fail()  # type: ignore[call-arg]
    assert (recorded.only().status, recorded.only().error) == ("failed", "ValueError: no data")


def test_what_other_decorators_made_of_a_function_is_called_as_that(recorded: Recorded) -> None:
    def given(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: object) -> object:
            return function(*args, "from the decorator")

        return wrapper

    def work(data: cmf.Dataset, more: str, by: str = "x") -> str:
        return more

    assert cmf.step(given(work))("train.csv") == "from the decorator"
    assert cmf.step(functools.partial(work, more="partial"))("train.csv") == "partial"
    assert cmf.step(len)("four") == 4
    with pytest.raises(TypeError):
        cmf.step(given(work))()
    injected, partial, builtin, wrong = recorded.executions()
    assert (injected.stage, injected.parameters) == ("work", {"args": ["train.csv"]})
    assert (partial.stage, partial.parameters) == ("work", {"more": "partial", "by": "x"})
    assert recorded.paths(partial, "input") == {"train.csv"}
    assert (builtin.stage, builtin.parameters) == ("len", {"obj": "four"})
    assert wrong.status == "failed"


def test_steps_within_steps_are_parts_and_can_measure(recorded: Recorded) -> None:
    @cmf.step
    def depth(n: int) -> int:
        cmf.current_run().metric("n", n)
        return 1 + depth(n - 1) if n else 0

    @cmf.step(pipeline="other")
    def outer() -> int:
        return depth(2)

    with cmf.run("by hand", "all") as run:
        assert outer() == 2
        assert cmf.current_run() is run
    with pytest.raises(InvalidValue, match="no run is open here"):
        cmf.current_run()
    found = recorded.executions()
    assert [(e.pipeline, e.stage) for e in found] == [
        ("by hand", "all"), ("other", "outer"), ("other", "depth"), ("other", "depth"), ("other", "depth"),
    ]  # fmt: skip
    assert [recorded.parts(e) for e in found] == [{"outer"}, {"depth"}, {"depth"}, {"depth"}, set()]
    assert all(e.series == ("n",) for e in found[2:])


@cmf.step
def numbers(data: cmf.Dataset) -> Iterator[int]:
    for number in range(3):
        cmf.current_run().metric("number", number)
        yield number


@cmf.step
async def async_numbers() -> AsyncIterator[int]:
    for number in range(3):
        cmf.current_run().metric("number", number)
        await asyncio.sleep(0)
        yield number


def test_the_run_of_a_generator_lasts_as_long_as_the_iteration(recorded: Recorded) -> None:
    iterator = numbers("train.csv")  # type: ignore[arg-type]
    assert recorded.executions() == []
    assert next(iterator) == 0
    with pytest.raises(InvalidValue, match="no run is open"):
        cmf.current_run()
    assert recorded.only().status == "running"
    assert list(iterator) == [1, 2]
    assert (recorded.only().status, recorded.only().properties) == ("complete", {})
    early = numbers("train.csv")  # type: ignore[arg-type]
    next(early)
    early.close()  # type: ignore[attr-defined]
    assert recorded.executions()[1].status == "complete"
    assert recorded.executions()[1].properties == {"closed_early": True}


def test_a_generator_is_driven_as_the_one_behind_it(recorded: Recorded) -> None:
    seen: list[object] = []

    @cmf.step
    def talk() -> Any:
        try:
            seen.append((yield cmf.Dataset("train.csv")))
            yield Path("other.csv")
        except KeyError as exc:
            seen.append(exc)
            yield "caught"
        finally:
            seen.append("closed")
        return {"accuracy": 1}

    generator = talk()
    assert next(generator) == cmf.Dataset("train.csv")
    assert generator.send("hello") == Path("other.csv")
    assert generator.throw(error := KeyError("x")) == "caught"
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert (end.value.value, seen) == ({"accuracy": 1}, ["hello", error, "closed"])
    assert recorded.paths(recorded.only(), "output") == {"train.csv", "metrics"}
    failing = talk()
    next(failing)
    with pytest.raises(OSError, match="full"):
        failing.throw(OSError("full"))
    assert recorded.executions()[1].error == "OSError: full"


LEFT_OPEN = """
import cmf

@cmf.step
def count(fails):
    try:
        yield 1
        yield 2
    finally:
        if fails: raise ValueError("on the way out")

left = [count(fails) for fails in (False, True)]
for one in left: next(one)
"""


def test_the_run_of_a_generator_ends_with_the_process_at_the_latest(recorded: Recorded, clone: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_OPEN], cwd=clone, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    by_fails = {e.parameters["fails"]: e for e in recorded.executions()}
    assert (by_fails[False].status, by_fails[False].properties) == ("complete", {"closed_early": True})
    assert (by_fails[True].status, by_fails[True].error) == ("failed", "ValueError: on the way out")


def test_async_steps_run_side_by_side_each_in_its_own_run(recorded: Recorded) -> None:
    @cmf.step
    async def inner(n: int) -> None:
        await asyncio.sleep(0.01)
        cmf.current_run().set(seen=n)

    @cmf.step
    async def outer(n: int) -> None:
        await inner(n)
        assert [number async for number in async_numbers()] == [0, 1, 2]
        await asyncio.to_thread(inner_sync, n)

    @cmf.step
    def inner_sync(n: int) -> None:
        cmf.current_run().set(seen=n)

    async def both() -> None:
        await asyncio.gather(*(outer(n) for n in range(5)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cmf.step(asyncio.sleep)(60), 0.05)
        first = async_numbers()
        await first.__anext__()
        await first.aclose()  # type: ignore[attr-defined]

    asyncio.run(both())
    found = recorded.executions()
    outers = [e for e in found if e.stage == "outer"]
    assert [recorded.parts(e) for e in outers] == [{"inner", "inner_sync", "async_numbers"}] * 5
    assert all(e.properties["seen"] == e.parameters["n"] for e in found if str(e.stage).startswith("inner"))
    assert [(e.status, e.error) for e in found if e.stage == "sleep"] == [("aborted", "CancelledError")]
    assert [e.properties for e in found if e.stage == "async_numbers"][5:] == [{"closed_early": True}]


def test_threads_do_not_get_into_each_others_runs(recorded: Recorded) -> None:
    barrier = threading.Barrier(4)

    @cmf.step
    def inner(n: int) -> None:
        barrier.wait(30)
        cmf.current_run().set(seen=n)

    @cmf.step
    def outer(n: int) -> None:
        inner(n)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(outer, range(4)))
    found = recorded.executions()
    assert [recorded.parts(e) for e in found if e.stage == "outer"] == [{"inner"}] * 4
    assert all(e.properties == {"seen": e.parameters["n"]} for e in found if e.stage == "inner")


@cmf.step
def square(n: int) -> int:
    return n * n


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_steps_can_be_given_to_other_processes(
    recorded: Recorded, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from steps_of_a_module import cube

    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(cube, range(4)) == [0, 1, 8, 27]
        pool.close()
        pool.join()
    found = recorded.executions()
    assert sorted(e.parameters["n"] for e in found) == [0, 1, 2, 3]  # type: ignore[type-var]
    assert {e.status for e in found} == {"complete"}


def test_the_pipeline_of_the_settings_and_the_execution_of_the_environment(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = "execution:" + "0" * 32
    monkeypatch.setenv("CMF_PIPELINE", "from settings")
    monkeypatch.setenv("CMF_PART_OF", outer)
    square(3)
    assert recorded.only().pipeline == "from settings"
    assert [r.target for r in recorded.detail(recorded.only().key).relations if r.kind == "part_of"] == [outer]
    monkeypatch.setenv("CMF_PART_OF", "md5:" + "0" * 32)
    with pytest.raises(SettingsProblem, match="CMF_PART_OF"):
        square(3)


def test_annotations_for_type_checkers_only_still_say_what_they_say(recorded: Recorded) -> None:
    def read(data, unknown):  # type: ignore[no-untyped-def]
        return None

    read.__annotations__ = {"data": "cmf.Dataset | None", "unknown": "Nowhere[int]"}
    cmf.step(read)("train.csv", "other.csv")
    assert recorded.paths(recorded.only(), "input") == {"train.csv"}
    assert recorded.only().parameters == {"unknown": "other.csv"}
