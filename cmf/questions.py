"""Questions: `cmf.query()` asks the clone's own view, `cmf.query(URL)` a server; the same class, the same answers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cmf.core import lineage as rules
from cmf.core import series as rules_of_series
from cmf.core.errors import BadQuestion, FileProblem, PrunedKey, UnknownKey
from cmf.core.freshness import positions_of
from cmf.core.identity import kind_of
from cmf.core.lineage import DEFAULT_LIMIT, MAX_LIMIT, Question
from cmf.core.model import (
    Artifact,
    ArtifactType,
    Direction,
    Lineage,
    Node,
    NodeDetail,
    Page,
    Series,
    SeriesList,
    SeriesOfMany,
    SeriesSummary,
    Stats,
)
from cmf.core.recipe import Recipe, chain, producer, recipe
from cmf.core.resolve import resolve
from cmf.core.series import SeriesQuestion, checked
from cmf.core.store import Filters, ListKind, Store
from cmf.core.values import Json
from cmf.places import clone_of
from cmf.versioning.contents import Contents

if TYPE_CHECKING:
    from cmf.dataslices import Dataslice

USES_SHOWN = 1_000
PAGE = 500


class Source(Protocol):
    """Where answers come from: a store here, or a server."""

    def resolve(self, asked: str) -> str:
        """The key that a prefix or a recorded path stands for."""

    def lineage(self, question: Question) -> Lineage:
        """The answer to a lineage question."""

    def detail(self, key: str, limit: int) -> NodeDetail:
        """One node, whole."""

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """A page of a list."""

    def series(self, execution: str) -> SeriesList:
        """Each series of an execution in few words."""

    def points(self, question: SeriesQuestion) -> SeriesOfMany:
        """The answer to a question for points."""

    def stats(self) -> Stats:
        """How much there is."""


class StoreSource:
    """Answers from a store in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, asked: str) -> str:
        """See the port."""
        return resolve(self._store, asked)

    def lineage(self, question: Question) -> Lineage:
        """See the port."""
        return rules.lineage(self._store, question)

    def detail(self, key: str, limit: int) -> NodeDetail:
        """See the port."""
        found = self._store.detail(key, limit)
        if found is None:
            raise UnknownKey(key)
        return found

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """See the port."""
        return self._store.list_nodes(kind, filters, limit, cursor)

    def series(self, execution: str) -> SeriesList:
        """See the port."""
        return rules_of_series.series_of(self._store, execution)

    def points(self, question: SeriesQuestion) -> SeriesOfMany:
        """See the port."""
        return rules_of_series.points_of(self._store, question)

    def stats(self) -> Stats:
        """See the port."""
        return self._store.stats()


class Query:
    """Questions to one source. Keys may be abbreviated; a path stands for the content recorded under it."""

    def __init__(self, source: Source, root: Path | None = None) -> None:
        self._source = source
        self._root = root

    def key(self, asked: str) -> str:
        """The key of what a person names: a file's content if that is recorded, a key's prefix, a recorded path.

        Raises:
            UnknownKey, AmbiguousKey
        """
        if (found := self._key_of_file(asked)) is not None:
            return found
        try:
            return self._source.resolve(asked)
        except PrunedKey:
            raise
        except UnknownKey:
            if (recorded := self._recorded_path(asked)) in (None, asked):
                raise
            return self._source.resolve(str(recorded))

    def lineage(
        self,
        asked: str,
        direction: Direction = "both",
        depth: int | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        include_retracted: bool = False,
    ) -> Lineage:
        """Where something comes from (`upstream`), what it touched (`downstream`), or both.

        `depth` is in hops, each of which crosses one execution. The answer says whether it is `complete`; at
        most `limit` nodes are in it, nearest first.

        Raises:
            UnknownKey, AmbiguousKey, BadQuestion
        """
        question = Question(
            keys=(self.key(asked),),
            direction=direction,
            depth=depth,
            limit=limit,
            include_retracted=include_retracted,
        )
        return self._source.lineage(question)

    def lineage_of(
        self,
        keys: Collection[str],
        direction: Direction = "both",
        depth: int | None = None,
        *,
        limit: int = MAX_LIMIT,
        include_retracted: bool = False,
    ) -> Lineage:
        """The lineage of many nodes as one answer, as `lineage`; their keys are whole.

        Raises:
            UnknownKey, BadQuestion
        """
        question = Question(
            keys=tuple(keys), direction=direction, depth=depth, limit=limit, include_retracted=include_retracted
        )
        return self._source.lineage(question)

    def show(self, asked: str, uses: int = USES_SHOWN) -> NodeDetail:
        """One artifact or execution, whole, with up to `uses` of its uses."""
        return self._source.detail(self.key(asked), uses)

    def dataslice(self, asked: str) -> Dataslice:
        """A dataslice, by its name, key or path: its rows, from the cache of the clone here.

        Raises:
            UnknownKey, AmbiguousKey
            NotARepository: there is no clone here, so there is no cache.
            FileProblem: its bytes are not in the cache.
            InvalidValue: it is no dataslice.
            MissingExtra: there is no library for Parquet.
        """
        from cmf import dataslices
        from cmf.repository import Repository

        repository = Repository.find(self._root or Path.cwd(), catch_up=False)
        try:
            return dataslices.load(repository.cache, dataslices.find(self, asked))
        finally:
            repository.close()

    def recipe(self, asked: str) -> Recipe:
        """How to run an execution again, or the one that wrote an artifact.

        Raises:
            UnknownKey, AmbiguousKey
            NotReproducible: no execution wrote it.
        """
        key = self.key(asked)
        if kind_of(key) != "execution":
            key = producer(self._near(key, "upstream"), key, self._recorded_path(asked) or asked)
        return recipe(self._near(key, "both"), key)

    def recipes(self, asked: str) -> list[Recipe]:
        """The recipes of all executions that led to one, or to an artifact, in the order in which to run them."""
        key = self.recipe(asked).execution
        up = self._source.lineage(Question(keys=(key,), direction="upstream", limit=MAX_LIMIT, include_retracted=True))
        return [recipe(self._near(step, "both"), step) for step in chain(up, key)]

    def artifacts(self, filters: Filters | None = None) -> Iterator[Node]:
        """The artifacts, newest first."""
        return self._all("artifact", filters)

    def executions(self, filters: Filters | None = None) -> Iterator[Node]:
        """The executions, newest first."""
        return self._all("execution", filters)

    def metrics(self, executions: Iterable[str]) -> dict[str, dict[str, Json]]:
        """What executions (by key) measured, as a whole: the values of the metrics that each put out."""
        keys = tuple(executions)
        if not keys:
            return {}
        answer = self.lineage_of(keys, "downstream", 1, include_retracted=True)
        metrics = [node for node in answer.nodes if isinstance(node, Artifact) and ArtifactType.METRICS in node.types]
        values = {node.key: node.values for node in metrics if not node.retracted}
        found: dict[str, dict[str, Json]] = {}
        for edge in answer.edges:
            found.setdefault(edge.source, {}).update(values.get(edge.target) or {})
        return found

    def series(self, asked: str) -> tuple[SeriesSummary, ...]:
        """The fine-grained metrics of an execution in few words each: how many points, the least, the last."""
        return self._source.series(self.key(asked)).series

    def points(
        self,
        asked: str,
        name: str,
        *,
        points: int | None = None,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> Series:
        """The points of one fine-grained metric of an execution; `.to_pandas()` makes a DataFrame of them.

        More than `points` (10,000 unless it says otherwise) are thinned out to those that draw the same line; the
        answer says so. A range is from one step to another, both included.

        Raises:
            UnknownKey: there is no such execution, or it has no such series.
            BadQuestion: a number that makes no sense.
        """
        return self.points_of([asked], name, points=points, from_step=from_step, to_step=to_step).series[0]

    def points_of(
        self,
        asked: Iterable[str],
        name: str,
        *,
        points: int | None = None,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> SeriesOfMany:
        """The points of one fine-grained metric of several executions, up to `points` of each; see `points`."""
        keys = tuple(self.key(one) for one in asked)
        question = SeriesQuestion(executions=keys, name=name, points=points, from_step=from_step, to_step=to_step)
        return self._source.points(checked(question))

    def pipelines(self, filters: Filters | None = None) -> Iterator[Node]:
        """The pipelines, by name."""
        return self._all("pipeline", filters)

    def stats(self) -> Stats:
        """How much the source holds."""
        return self._source.stats()

    def _near(self, key: str, direction: Direction) -> Lineage:
        """One hop around a node, whole: what was retracted is part of how it was."""
        question = Question(keys=(key,), direction=direction, depth=1, limit=MAX_LIMIT, include_retracted=True)
        return self._source.lineage(question)

    def _all(self, kind: ListKind, filters: Filters | None) -> Iterator[Node]:
        cursor: str | None = None
        while True:
            page = self._source.list_nodes(kind, filters or Filters(), PAGE, cursor)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def _key_of_file(self, asked: str) -> str | None:
        """The key of the content that is at this path now, when it is recorded."""
        if ":" in asked or not Path(asked).exists():
            return None
        try:
            return self._source.resolve(Contents().at(Path(asked)).key)
        except (FileProblem, UnknownKey):
            return None

    def _recorded_path(self, asked: str) -> str | None:
        """A path as it is recorded: from the clone's root."""
        if self._root is None:
            return None
        whole = Path.cwd() / asked
        return whole.relative_to(self._root).as_posix() if whole.is_relative_to(self._root) else None


def query(url: str | None = None, *, token: str | None = None, at_least: str | None = None) -> Query:
    """Ask the clone that the current folder lies in, or the server at `url`.

    With `at_least`, the `token` of a push (not the secret that `token` is), the server waits a moment for what was
    pushed, should it not have that yet; if it does not come, a `BehindWarning` says so, and in a lineage `behind`.

    Raises:
        NotARepository: no `url`, and the folder lies in no clone.
        BadQuestion: `at_least` is no token of a push, or there is no `url`: a clone knows all that it recorded.
    """
    if at_least is not None:
        positions_of(at_least)
        if url is None:
            raise BadQuestion("at_least is asked of a server; name its address, too")
    from cmf.repository import Repository

    here = Path.cwd()
    if url is not None:
        from cmf import settings
        from cmf.remote import Remote

        # The file may hold no token, so the environment is all there is to look at.
        return Query(Remote(url, token or settings.load(Path(os.devnull)).token, at_least=at_least), clone_of(here))
    repository = Repository.find(here)
    return Query(StoreSource(repository.view), repository.root)
