"""What the graph holds, as the values in which every store answers: nodes, edges, and a lineage.

The same structs are the bodies of REST answers, so their field names are the published JSON.
Times are RFC 3339, UTC, with microseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from cmf.core.errors import MissingExtra
from cmf.core.values import Json, as_float, microseconds

if TYPE_CHECKING:
    from pandas import DataFrame

Direction = Literal["upstream", "downstream", "both"]
UseKind = Literal["input", "output"]
Status = Literal["running", "complete", "failed", "aborted", "unknown"]

Whole = Annotated[int, msgspec.Meta(ge=-(2**53) + 1, le=2**53 - 1)]
"""An integer that JSON, and every language that reads it, can hold."""
Seconds = Annotated[float, msgspec.Meta(ge=0, lt=7_258_118_400)]
"""Since the beginning of 1970, up to the end of 2199."""
Number = Whole | float | dict[str, str]
"""A number of a metric; the dict is the tagged form of NaN, infinities and large integers."""


class ArtifactType(StrEnum):
    """The types cmf itself knows; a user's own type is any other name."""

    DATASET = "Dataset"
    MODEL = "Model"
    METRICS = "Metrics"
    STEP_METRICS = "StepMetrics"
    DATASLICE = "Dataslice"
    LABEL = "Label"
    ENVIRONMENT = "Environment"


class Code(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The version of the code that ran.

    `commit` is the git commit checked out at the start, `remote` where it can be fetched, `dirty` whether a file that
    git tracks differed from it. `snapshot` is a commit of the whole tree as it was, where that differed at all.
    """

    commit: str | None = None
    remote: str | None = None
    dirty: bool = False
    snapshot: str | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", gc=False):
    """What every node answers.

    `stub` marks one known only as an end of an edge. `distance` is the least number of edges from the roots
    and stands in lineage answers only. `first_seen` is the least time any site stated of it, `recorded_at`
    when this store first held it. `retracted` is the reason of a retraction in force, stated at `retracted_at`.
    """

    key: str
    name: str
    distance: int | None = None
    stub: bool = False
    retracted: str | None = None
    retracted_at: str | None = None
    first_seen: str | None = None
    recorded_at: str | None = None
    properties: dict[str, Json] = {}


class Artifact(Answer, frozen=True, omit_defaults=True, kw_only=True, tag="artifact"):
    """Content: a file, a folder, or a record such as the metrics of one execution (then with `values`).

    `sha256` is a second digest of a file's bytes or a folder's files, where one was taken.
    """

    types: tuple[str, ...] = ()
    size_bytes: int | None = None
    sha256: str | None = None
    values: dict[str, Json] | None = None


class Execution(Answer, frozen=True, omit_defaults=True, kw_only=True, tag="execution"):
    """One run of a stage. `error` is one line; `series` names its fine-grained metrics."""

    pipeline: str | None = None
    stage: str | None = None
    type: str | None = None
    status: Status = "unknown"
    started_at: str | None = None
    ended_at: str | None = None
    error: str | None = None
    command: tuple[str, ...] = ()
    code: Code | None = None
    end_commit: str | None = None
    parameters: dict[str, Json] = {}
    project: str | None = None
    branch: str | None = None
    series: tuple[str, ...] = ()


class Pipeline(Answer, frozen=True, omit_defaults=True, kw_only=True, tag="pipeline"):
    """A pipeline: a context that holds stages."""

    namespace: str | None = None


class Stage(Answer, frozen=True, omit_defaults=True, kw_only=True, tag="stage"):
    """A stage of a pipeline: a context that executions run in. `pipeline` is its pipeline's key."""

    pipeline: str | None = None


Node = Artifact | Execution | Pipeline | Stage


class Edge(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A use, drawn along the data: an input leads artifact → execution, an output execution → artifact."""

    key: str
    source: str
    target: str
    kind: UseKind
    path: str
    commit: str | None = None
    url: str | None = None
    retracted: str | None = None
    properties: dict[str, Json] = {}


class Truncated(msgspec.Struct, frozen=True, kw_only=True):
    """Why an answer is not whole: of `seen` nodes only `limit` are in it. Ask again with a higher limit."""

    reason: Literal["limit"]
    limit: int
    seen: int


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of which the store has less than was asked for; `sequence` is -1 where it has nothing of it."""

    site: str
    segment: str
    sequence: int
    wanted: int


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """The subgraph that answers a lineage question: nodes nearest first, and the uses among them.

    `depth` is in hops (a hop crosses one execution), None for the whole closure. It is `complete` unless `truncated` or
    `behind` say why not.
    """

    roots: tuple[str, ...]
    direction: Direction
    depth: Annotated[int, msgspec.Meta(ge=0)] | None
    complete: bool
    truncated: Truncated | None
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    behind: tuple[Behind, ...] = ()


class Relation(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A statement between two nodes that is no use, such as `derived_from`."""

    kind: str
    source: str
    target: str


class NodeDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One node whole: itself, the uses on either side (`uses_total` says how many there are), its relations."""

    node: Node
    uses: tuple[Edge, ...]
    uses_total: int
    relations: tuple[Relation, ...]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list; `next` is the cursor of the following page, None at the end."""

    items: tuple[Node, ...]
    next: str | None
    total: int


class UpstreamLag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a server is behind another that it takes from: seconds since it had all of it, None where it never had.

    `problem` is what went wrong at the last try.
    """

    url: str
    lag_seconds: int | None
    problem: str = ""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How much a store holds: counts by kind and by artifact type, how many sites have pushed, the last merge.

    `version` names the store and this moment of it; it changes with each merge.
    `pruned` counts the executions and artifacts that were pruned and stay away.
    `clocks`, which only a server tells: by how many seconds the clocks of sites were ahead of its own (negative:
    behind) at their last push since it started, of those that were off by more than five minutes. `upstreams`, which
    only a server tells too: the servers that it takes from, by name.
    """

    kinds: dict[str, int]
    types: dict[str, int]
    sites: int
    last_merge: str | None
    version: str = ""
    pruned: int = 0
    clocks: dict[str, int] = {}
    upstreams: dict[str, UpstreamLag] = {}


class Point(NamedTuple):
    """A point of a fine-grained metric; as JSON it is `[step, time, value]`, its time in seconds since 1970."""

    step: Whole | None
    time: Seconds
    value: Number


class SeriesSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fine-grained metric of one execution, in few words.

    `axis` is what its points are in order of: the step, or the time where some point has no step. `least` and
    `greatest` are the first points with these values among the finite ones, None where there is none; `nan` and
    `infinite` count the others.
    """

    name: str
    axis: Literal["step", "time"]
    total: int
    nan: int
    infinite: int
    first: Point
    last: Point
    least: Point | None
    greatest: Point | None


class SeriesList(msgspec.Struct, frozen=True, kw_only=True):
    """The fine-grained metrics of an execution, by name."""

    execution: str
    series: tuple[SeriesSummary, ...]


class Series(msgspec.Struct, frozen=True, kw_only=True, rename={"from_step": "from", "to_step": "to"}):
    """The points of a fine-grained metric of one execution, in order, or those of them that stand for all.

    `summary` is of every point in the range asked for, from one step to another, both included; None where there
    is no such point. `method` says how the points were chosen: `all` of them, or by `m4` (see `cmf.core.series`).
    """

    execution: str
    name: str
    from_step: int | None
    to_step: int | None
    summary: SeriesSummary | None
    method: Literal["all", "m4"]
    points: tuple[Point, ...]

    def to_pandas(self) -> DataFrame:
        """The points as a DataFrame: `step` (Int64, missing where there is none), `time` (UTC), `value` (float64).

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as exc:
            raise MissingExtra("a DataFrame", "pandas") from exc
        steps, times, values = zip(*self.points, strict=True) if self.points else ((), (), ())
        columns = {
            "step": pandas.array(steps, dtype="Int64"),
            "time": pandas.to_datetime([microseconds(at) for at in times], unit="us", utc=True),
            "value": pandas.array([as_float(value) for value in values], dtype="float64"),
        }
        return pandas.DataFrame(columns)


class SeriesOfMany(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one series of several executions, in the order asked for; `without` have no such series."""

    name: str
    series: tuple[Series, ...]
    without: tuple[str, ...]
