"""What a clone holds, as the suites of tracking look at it."""

from __future__ import annotations

from pathlib import Path

from cmf.core.model import Artifact, Edge, Execution, NodeDetail
from cmf.core.store import Filters
from cmf.questions import Query, StoreSource
from cmf.repository import Repository


class Recorded:
    """What a clone holds, read anew each time: other processes write too."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def executions(self) -> list[Execution]:
        """Oldest first."""
        clone = Repository.find(self._root)
        try:
            found = clone.view.list_nodes("execution", Filters(), 1000, None).items
            return [node for node in reversed(found) if isinstance(node, Execution)]
        finally:
            clone.close()

    def only(self) -> Execution:
        (execution,) = self.executions()
        return execution

    def named(self, stage: str) -> Execution:
        (execution,) = [e for e in self.executions() if e.stage == stage]
        return execution

    def detail(self, key: str) -> NodeDetail:
        clone = Repository.find(self._root)
        try:
            return Query(StoreSource(clone.view), clone.root).show(key, 10_000)
        finally:
            clone.close()

    def uses(self, execution: Execution, direction: str) -> dict[str, Edge]:
        """The uses of an execution, by path."""
        return {edge.path: edge for edge in self.detail(execution.key).uses if edge.kind == direction}

    def paths(self, execution: Execution, direction: str) -> set[str]:
        return set(self.uses(execution, direction))

    def artifact(self, execution: Execution, direction: str, path: str) -> Artifact:
        edge = self.uses(execution, direction)[path]
        node = self.detail(edge.source if direction == "input" else edge.target).node
        assert isinstance(node, Artifact)
        return node

    def parts(self, execution: Execution) -> set[str]:
        """The stages of the executions that are a part of one."""
        relations = self.detail(execution.key).relations
        keys = {r.source for r in relations if r.kind == "part_of" and r.target == execution.key}
        return {str(e.stage) for e in self.executions() if e.key in keys}
