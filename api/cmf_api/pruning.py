"""Pruning a store, some executions at a time, so that no transaction is large and what is interrupted can go on.

Each round is a prune of its own: what it takes is contracted, and everything else, what later rounds take too, stays
joined. So the same command goes on after an interruption, and pushes may go on meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from cmf.clock import now
from cmf.core.batches import batches
from cmf.core.contraction import COUNT, Contraction, TooMany, contractions, statements
from cmf.core.delta import Delta, UseFact, fold
from cmf.core.errors import SettingsProblem, StoreUnavailable
from cmf.core.model import Execution
from cmf.core.records import Stamp, make_stamp
from cmf.core.retention import Chosen, Plan, Wanted, choose, clusters, contractions_of, joining, plan
from cmf.core.store import Store, Transaction
from cmf.journal import ulid
from cmf_api.archive import Archive, NoArchive, Recorder
from cmf_api.archive.pruned import Pruning, frame_of_prune, take
from cmf_api.archive.reading import files
from cmf_api.archive.writing import folder_of
from cmf_api.dependents import Report, report

ROUND: Final = 500
"""How many executions go in one transaction."""

TRIES: Final = 10
"""How often a round is planned anew where somebody pushed to the very things that it takes."""

SMALL: Final = 200
"""So many uses may stand for executions, however few these have."""

Progress = Callable[[int], None]
"""Told how many executions were dealt with since the last time."""


@dataclass
class Pruned:
    """What was pruned."""

    executions: int = 0
    artifacts: int = 0
    uses: int = 0
    contractions: int = 0


class Prepared(NamedTuple):
    """What is meant, and what follows from it."""

    chosen: Chosen
    plan: Plan
    keep_types: tuple[str, ...]
    contracted: set[str]
    left: set[str]
    """Executions that are meant and stay: more would have to stand for them than they are."""

    def report(self, store: Store) -> Report:
        """What would go, and what depends on it."""
        return report(store, self.chosen, self.plan, self.left)


def prepare(store: Store, wanted: Wanted, keep_types: Collection[str]) -> Prepared:
    """What is meant in a store, and what goes with it.

    Raises:
        BadQuestion, UnknownKey, AmbiguousKey: nothing is meant, or what is not there.
    """
    chosen = choose(store, wanted)
    contracted = contractions_of(store)
    left: set[str] = set()
    while True:
        made = plan(store, chosen.executions.keys() - left, chosen.artifacts, keep_types, contracted)
        if not (more := _too_large(store, made) & made.executions):
            return Prepared(chosen, made, tuple(keep_types), contracted, left)
        left |= more


def _too_large(store: Store, of: Plan) -> set[str]:
    """Executions for which more would have to stand than they are, with all that they hang together with."""
    uses: dict[str, dict[str, UseFact]] = defaultdict(dict)
    for key, use in of.facts.uses.items():
        uses[use.execution][key] = use
    found: set[str] = set()
    for some in clusters(of, joining(of)):
        part = Delta(
            uses={key: use for one in some for key, use in uses[one].items()}, retractions=of.facts.retractions
        )
        if len(some) > 1:  # one needs no more than itself
            try:
                contractions(part, of.ends, {}, max(SMALL, len(part.uses)))
            except TooMany:
                found.update(some)
    return found


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Be the only one that prunes the store of this home.

    Raises:
        SettingsProblem: somebody does so already.
    """
    file = home / "prune.lock"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise SettingsProblem(f"{file}: {exc.strerror or exc}") from exc
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsProblem("somebody prunes this store already; wait until that is done") from None
        yield
    finally:
        os.close(fd)


@contextmanager
def archive_at(home: Path) -> Iterator[Recorder]:
    """The archive of the server with this home, if it keeps one: it has to know what was pruned."""
    archive: Recorder = Archive(home) if files(folder_of(home)) else NoArchive()
    try:
        yield archive
    finally:
        archive.close()


class _Changed(Exception):
    """Somebody pushed to what was to go."""


def prune_prepared(
    store: Store, of: Prepared, archive: Recorder, progress: Progress | None = None, size: int = ROUND
) -> Pruned:
    """Take away what was prepared, `size` executions at a time.

    Raises:
        StoreUnavailable: the rounds that are done stay done; the same goes on with the rest.
    """
    done = Pruned()
    whole, named = of.plan, of.chosen.artifacts
    joints = joining(whole)
    rounds = _Rounds(store, archive, named, of.keep_types, set(of.contracted), set(whole.artifacts), joints)
    near = (key for cluster in clusters(whole, joints) for key in cluster if key in whole.executions)
    for some in batches(near, size):
        rounds.do(some, (), done)
        if progress:
            progress(len(some))
    for keys in batches(sorted(named), ROUND):  # those that nobody uses any more
        rounds.do((), keys, done)
    done.contractions = len(rounds.made)
    return done


class _Rounds:
    def __init__(
        self,
        store: Store,
        archive: Recorder,
        named: Collection[str],
        keep_types: Collection[str],
        contracted: set[str],
        going: set[str],
        joints: set[str],
    ) -> None:
        self._store = store
        self._archive = archive
        self._named = named
        self._keep_types = keep_types
        self._contracted = contracted
        self._going = going
        self._between_nothing = going - joints
        """Artifacts that go in some round, and that lie between none that stay: nothing needs to be joined to them."""
        self._origin = f"prune-{ulid()}"
        self._stamps = 0
        self.made: set[str] = set()

    def do(self, executions: Collection[str], named: Collection[str], done: Pruned) -> None:
        """One round: planned from what the store holds now, and done unless that changes meanwhile."""
        for _ in range(TRIES):
            there = self._nodes(executions)
            some = [key for key in executions if key in there]
            chosen = plan(self._store, some, named, self._keep_types, self._contracted, self._named, self._going)
            if not chosen.nodes:
                return
            try:
                self._take(chosen, self._contractions(chosen), done)
            except _Changed:
                continue
            return
        raise StoreUnavailable("somebody pushes to what is to be pruned all the time; run it again, it goes on")

    def _contractions(self, chosen: Plan) -> list[Contraction]:
        ends = chosen.ends - self._between_nothing
        counts = {key: _count(node) for key, node in self._nodes(chosen.absorbed).items()}
        return contractions(chosen.facts, ends, counts)

    def _take(self, chosen: Plan, made: list[Contraction], done: Pruned) -> None:
        at = now()
        known = self._nodes(chosen.executions | chosen.absorbed) if made else {}
        stated = [one for each in made for one in statements(each, chosen.facts, known, lambda: self._stamp(at))]
        pruning = Pruning(chosen.nodes, fold(stated))
        frame = frame_of_prune(chosen.nodes, stated)

        def work(transaction: Transaction) -> None:
            taken = take(transaction, pruning, at)
            if taken.uses != chosen.facts.uses.keys() or taken.nodes != chosen.nodes:
                raise _Changed
            self._archive.keep([frame])

        self._store.write(work)
        keys = {each.put.key for each in made}
        self._contracted -= chosen.absorbed
        self._contracted |= keys
        self.made = (self.made - chosen.absorbed) | keys
        done.executions += len(chosen.executions)
        done.artifacts += len(chosen.artifacts)
        done.uses += len(chosen.facts.uses)

    def _nodes(self, keys: Collection[str]) -> Mapping[str, Execution]:
        return {node.key: node for node in self._store.nodes(keys) if isinstance(node, Execution)}

    def _stamp(self, at: str) -> Stamp:
        self._stamps += 1
        return make_stamp(at, self._origin, self._stamps)


def _count(of: Execution) -> int:
    said = of.properties.get(COUNT)
    return said if isinstance(said, int) and said > 0 else 1
