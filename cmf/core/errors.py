"""Everything that cmf raises on purpose.

    CmfError
    ├── InvalidValue          a value that cannot be recorded: a name, a parameter, a key of the wrong form
    ├── FileProblem           a file or folder that cannot be recorded as it is
    ├── JournalUnwritable     the journal cannot be written; nothing was recorded
    ├── CorruptRecord         a line of a journal that is not what was written
    ├── BadRecord             a record that another program sent and that says nothing valid
    ├── ChainBroken           a record that does not follow the one before it
    ├── Gap                   records are missing between what a store has and what it was given
    ├── BundleRefused         a bundle that is damaged, cut short, changed, or none; nothing of it was taken
    ├── UnknownKey            no node has this key, prefix or path
    │   └── PrunedKey         there was one, and it was pruned
    ├── AmbiguousKey          several nodes have this prefix
    ├── BadQuestion           a question whose parameters make no sense
    ├── NotReproducible       an execution that cannot be run again here
    ├── NotARepository        there is no .cmf folder here or above
    ├── SettingsProblem       a setting that is missing or malformed
    ├── MissingExtra          a feature whose packages are not installed
    ├── DataRemoteProblem     the remote of the data cannot be used: none is set, it does not answer, it refused
    ├── ObjectProblem         an object of a cache or remote is missing there, or is not what its name says
    ├── ArtifactsLeft         some artifacts could not be pushed or pulled; the others were
    ├── StoreUnavailable      the store cannot be reached or cannot write; the same call may be repeated
    ├── StoreIncompatible     the store was written by another version
    └── ServerProblem         the server did not answer as a cmf server does
        ├── ServerUnreachable nothing answers at this address, or it is busy; the same call may be repeated
        │   └── ServerBusy    it has too much to do, and says when to come back
        └── ServerRefused     the server answered, and refused

A message says what went wrong, where, and what to do next.
"""

from __future__ import annotations

from pathlib import Path


class CmfError(Exception):
    """The root of everything that cmf raises on purpose."""


class InvalidValue(CmfError):
    """A value that cannot be recorded: a name, a parameter, a key of the wrong form."""


class FileProblem(CmfError):
    """A file or folder that cannot be recorded as it is; nothing was recorded of it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class JournalUnwritable(CmfError):
    """The journal cannot be written: a full disk, a read-only folder. Nothing of the call was recorded."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}; nothing of this call was recorded. Make the folder writable and repeat it."
        )


class CorruptRecord(CmfError):
    """A line of a journal that is not what was written."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(
            f"{path}, line {line}: {problem}. Nothing from this line on was used. "
            f"Restore the file from a backup, or move it away and run 'cmf rebuild' to go on without it."
        )
        self.path = path
        self.line = line
        self.problem = problem


class BadRecord(CmfError):
    """A record that another program sent and that says nothing valid. `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}; nothing of these records was taken")
        self.line = line
        self.problem = problem


class ChainBroken(CmfError):
    """A record that does not follow the one before it: a journal was changed after it was written."""

    def __init__(self, segment: str, sequence: int, problem: str = "its sum does not continue the chain") -> None:
        super().__init__(
            f"record {sequence} of segment {segment}: {problem}; nothing of these records was taken. "
            f"Run 'cmf fsck' in the clone that wrote it."
        )
        self.sequence = sequence
        self.problem = problem


class Gap(CmfError):
    """Records are missing between what a store has and what it was given. `wanted` is the next sequence."""

    def __init__(self, segment: str, wanted: int) -> None:
        super().__init__(f"segment {segment}: records are missing; send again from sequence {wanted}")
        self.segment = segment
        self.wanted = wanted


class BundleRefused(CmfError):
    """A bundle that is damaged, cut short, changed, of a later format, or none at all; nothing of it was taken."""

    def __init__(self, path: Path, problem: str, line: int | None = None) -> None:
        where = f"{path}, line {line} unpacked" if line else str(path)
        super().__init__(f"{where}: {problem}; nothing of it was taken")
        self.path = path
        self.line = line
        self.problem = problem


class UnknownKey(CmfError):
    """No node has this key, prefix or path; `nearest` are keys that begin alike."""

    def __init__(self, asked: str, nearest: tuple[str, ...] = ()) -> None:
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        super().__init__(f"nothing recorded under {asked!r}{hint}")
        self.asked = asked
        self.nearest = nearest


class PrunedKey(UnknownKey):
    """What is asked for was pruned from the graph; `key` is its whole key, `pruned_at` says when."""

    def __init__(self, asked: str, key: str, pruned_at: str) -> None:
        super().__init__(asked)
        self.args = (f"{key} was pruned from this graph at {pruned_at}",)
        self.key = key
        self.pruned_at = pruned_at


class AmbiguousKey(CmfError):
    """Several nodes have this prefix; `candidates` are the first of them."""

    def __init__(self, asked: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"{asked!r} is ambiguous; candidates: {', '.join(candidates)}")
        self.asked = asked
        self.candidates = candidates


class BadQuestion(CmfError):
    """A question whose parameters make no sense."""


class NotReproducible(CmfError):
    """An execution that cannot be run again here: what it takes was not recorded, or is not to be had."""


class NotARepository(CmfError):
    """There is no .cmf folder here or above."""

    def __init__(self, start: Path) -> None:
        super().__init__(f"{start}: no .cmf folder here or in a folder above; run 'cmf init' first")


class SettingsProblem(CmfError):
    """A setting that is missing or malformed."""


class MissingExtra(CmfError):
    """A feature whose packages are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed: pip install 'cmf-lineage[{extra}]'")


class DataRemoteProblem(CmfError):
    """The remote of the data cannot be used: none is set, it does not answer, or it refused."""


class ObjectProblem(CmfError):
    """An object of a cache or remote is missing there, or is not what its name says; nothing of it was kept."""


class ArtifactsLeft(CmfError):
    """Some artifacts could not be pushed or pulled, for the reasons that were told; the others were."""


class StoreUnavailable(CmfError):
    """The store cannot be reached or cannot write; nothing was taken, or all of it; the same call may be repeated."""


class StoreIncompatible(CmfError):
    """The store was written by another version of cmf."""


class ServerProblem(CmfError):
    """The server did not answer as a cmf server does."""


class ServerUnreachable(ServerProblem):
    """Nothing answers at this address, or it is busy; the same call may be repeated."""

    retry_after_seconds: float | None = None
    """When, where the server said so."""
    is_broken_off: bool = False
    """Whether the connection broke: what was asked may have been done or not."""


class ServerBusy(ServerUnreachable):
    """The server has too much to do at the moment; it says when to come back."""


class ServerRefused(ServerProblem):
    """The server answered, and refused. `status` is the HTTP status, `problem` its problem+json body."""

    def __init__(self, message: str, status: int, problem: dict[str, object]) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem
