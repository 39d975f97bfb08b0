"""How much is measured: all of it, or what two minutes allow."""

from __future__ import annotations

from dataclasses import dataclass, replace

_TINY: dict[str, int] = {
    "processes": 1,
    "recordings": 3,
    "points": 2_000,
    "questions": 2,
    "captured": 5,
    "tree_files": 200,
    "large_mib": 4,
    "folder_files": 50,
    "turns": 1,
    "chain": 30,
}


@dataclass(frozen=True)
class Plan:
    """Sizes are numbers of executions; the others say how often something is done."""

    embedded: tuple[int, ...] = (1_000, 10_000, 100_000)
    neo4j: tuple[int, ...] = (1_000, 10_000)
    pulled: tuple[int, ...] = (1_000, 10_000)
    chain: int = 50_000
    """Executions of one long chain, which is pulled again and again."""
    processes: int = 15
    recordings: int = 200
    points: int = 1_000_000
    questions: int = 60
    captured: int = 1_000
    """Executions with git and DVC."""
    tree_files: int = 50_000
    large_mib: int = 2_048
    folder_files: int = 10_000
    turns: int = 3
    """Of what takes seconds."""

    def only(self, size: int) -> Plan:
        """The same with one size; a size too small to tell anything is done as seldom as can be."""
        sized = replace(self, embedded=(size,), neo4j=(size,), pulled=(size,))
        return sized if size >= 100 else replace(sized, **_TINY)

    def turns_of(self, executions: int) -> int:
        """How often something of this size is done: the longer it takes, the less often."""
        fewer = 0 if executions <= 1_000 else 1 if executions <= 10_000 else 2
        return max(1, self.turns - fewer)


WHOLE = Plan()
QUICK = Plan(
    embedded=(1_000, 10_000),
    neo4j=(1_000,),
    pulled=(1_000,),
    chain=5_000,
    processes=5,
    recordings=60,
    points=50_000,
    questions=20,
    captured=100,
    tree_files=5_000,
    large_mib=256,
    folder_files=2_000,
    turns=1,
)
