"""What a restricted token may push: as its sites, what its pipelines' executions did, and what is said of that."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from cmf.core import identity
from cmf.core.identity import kind_of, pipeline_key
from cmf.core.model import Edge, Execution
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    Operation,
    PutArtifact,
    PutContext,
    PutExecution,
    PutPoints,
    PutRelation,
    PutUse,
    Retract,
    SetProperty,
)
from cmf.core.store import Step, Store
from cmf_api.errors import Forbidden
from cmf_api.tokens import Token


def expect_within(who: Token | None, site: str | None, numbered: Iterable[tuple[int, Operation]], store: Store) -> None:
    """That a token may say all of these operations as this site (None: they come without a journal).

    A key tells its pipeline for ever and uses only become more, so the answer holds though the store changes.

    Raises:
        Forbidden: it may not, with the number of the first operation that it may not say.
    """
    if who is None:
        return
    if who.sites and site not in who.sites:
        as_whom = f"as the site {site!r}" if site else "without a journal"
        raise Forbidden(f"this token may push as {', '.join(who.sites)}, not {as_whom}; nothing was taken")
    if who.pipelines:
        operations = list(numbered)
        said = _Said(who.pipelines, store)
        said.learn([operation for _, operation in operations])
        for number, operation in operations:
            if (problem := said.problem(operation)) is not None:
                only = ", ".join(who.pipelines)
                raise Forbidden(
                    f"line {number}: {problem}; this token may push to {only} only, and nothing of these was taken",
                    number,
                )


@dataclass
class _Said:
    """What is known of the things that some operations speak of, from these operations and from the store."""

    pipelines: Collection[str]
    store: Store
    names: dict[str, str | None] = field(default_factory=dict)
    """The pipeline of each execution; None for a foreign one, which names none."""
    contexts: dict[str, PutContext] = field(default_factory=dict)
    uses: dict[str, str] = field(default_factory=dict)
    """The execution of each use."""
    used: set[str] = field(default_factory=set)
    """The artifacts that these operations let own executions use."""

    def learn(self, operations: list[Operation]) -> None:
        """Take in what the operations tell, then what the store knows of the rest, in one question for each kind."""
        for operation in operations:
            if isinstance(operation, PutExecution):
                of = operation.identity
                self.names[operation.key] = None if isinstance(of, ForeignIdentity) else of.pipeline
            elif isinstance(operation, PutContext):
                self.contexts[operation.key] = operation
            elif isinstance(operation, PutUse):
                self.uses[_key_of(operation)] = operation.execution
        asked = {key for operation in operations for key in _spoken_of(operation)}
        executions = {key for key in asked if kind_of(key) == "execution"} - set(self.names)
        if executions:
            self.names |= self._pipelines_of(executions)
        contexts = {key for key in asked if kind_of(key) == "context"} - set(self.contexts)
        if contexts:
            self.contexts |= {key: fact.operation for key, fact in self.store.state(contexts).contexts.items()}
        puts = [operation for operation in operations if isinstance(operation, PutUse)]
        self.used = {put.artifact for put in puts if self._execution(put.execution) is None}
        artifacts = {_annotated(operation) for operation in operations} - self.used - {None}
        if artifacts:
            self._learn_used({key for key in artifacts if key is not None})
        if {key for key in asked if kind_of(key) == "use"} - set(self.uses):
            self._learn_uses()

    def _learn_used(self, artifacts: set[str]) -> None:
        pairs = [_ends(edge) for edge in self._around(artifacts)]
        names = self._pipelines_of({execution for execution, _ in pairs})
        self.used |= {artifact for execution, artifact in pairs if names.get(execution) in self.pipelines}

    def _learn_uses(self) -> None:
        """The uses of all own executions: a use's key does not tell where it belongs. Seldom: between two chunks."""
        own = self.store.members((), self.pipelines)
        edges = [(edge.key, _ends(edge)[0]) for edge in self._around(own)]
        self.names |= self._pipelines_of({execution for _, execution in edges})
        self.uses |= dict(edges)

    def _pipelines_of(self, executions: Collection[str]) -> dict[str, str | None]:
        return {node.key: node.pipeline for node in self.store.nodes(executions) if isinstance(node, Execution)}

    def _around(self, roots: Collection[str]) -> list[Edge]:
        steps: tuple[Step, ...] = ("upstream", "downstream")
        return [edge for step in steps for edge in self.store.uses(roots, step, 1, True)] if roots else []

    def problem(self, operation: Operation) -> str | None:
        """Why an operation may not be said; None where it may."""
        match operation:
            case PutContext():
                return self._context(operation.key)
            case PutExecution() | EndExecution():
                return self._execution(operation.key)
            case PutPoints() | PutUse():
                return self._execution(operation.execution)
            case PutArtifact():
                return self._execution(operation.record.execution) if operation.record else None
            case PutRelation():
                return self._node(operation.source) or self._other_end(operation.target)
            case SetProperty():
                return self._node(operation.key)
            case Retract():
                if kind_of(operation.key) == "artifact":
                    return f"{operation.key} would be retracted for every pipeline"
                return self._node(operation.key)

    def _node(self, key: str) -> str | None:
        match kind_of(key):
            case "execution":
                return self._execution(key)
            case "context":
                return self._context(key)
            case "artifact":
                known = key in self.used or self._is_pruned(key)
                return None if known else f"{key} is used by none of its executions"
            case _:
                execution = self.uses.get(key)
                if execution is not None:
                    return self._execution(execution)
                return None if self._is_pruned(key) else f"{key} is no use of its executions"

    def _other_end(self, key: str) -> str | None:
        """Artifacts may be pointed at by whoever knows their keys."""
        return None if kind_of(key) == "artifact" else self._node(key)

    def _execution(self, key: str) -> str | None:
        name = self.names.get(key)
        if name is not None:
            return None if name in self.pipelines else f"{key} is of the pipeline {name!r}"
        return None if self._is_pruned(key) else f"{key} is not known to be of a pipeline"

    def _is_pruned(self, key: str) -> bool:
        """Whether nothing comes of what is said of it: a site that goes on about it is not held up."""
        return bool(self.store.pruned(key, key + " ", 1))

    def _context(self, key: str) -> str | None:
        context = self.contexts.get(key)
        if context is None:
            return f"{key} is not on the server yet"
        if context.kind == "pipeline":
            return None if context.name in self.pipelines else f"{key} is the pipeline {context.name!r}"
        parents = {pipeline_key(name, context.namespace) for name in self.pipelines}
        return None if context.parent in parents else f"the stage {context.name!r} is of another pipeline"


def _ends(edge: Edge) -> tuple[str, str]:
    """The execution and the artifact of a use."""
    return (edge.target, edge.source) if edge.kind == "input" else (edge.source, edge.target)


def _key_of(use: PutUse) -> str:
    return identity.use_key(use.execution, use.artifact, use.direction, use.path)


def _spoken_of(operation: Operation) -> tuple[str, ...]:
    """The keys that an operation speaks of."""
    match operation:
        case PutPoints() | PutUse():
            return (operation.execution,)
        case PutArtifact():
            return (operation.record.execution,) if operation.record else ()
        case PutRelation():
            return (operation.source, operation.target)
        case _:
            return (operation.key,)


def _annotated(operation: Operation) -> str | None:
    """The artifact of which an operation says something that its content does not tell."""
    key = operation.source if isinstance(operation, PutRelation) else getattr(operation, "key", None)
    told = isinstance(operation, SetProperty | PutRelation) and key is not None and kind_of(key) == "artifact"
    return key if told else None
