"""Which artifacts are meant, and where in the working tree each belongs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cmf.core.addresses import is_address
from cmf.core.errors import FileProblem, UnknownKey
from cmf.core.identity import kind_of
from cmf.core.model import Artifact, Edge
from cmf.core.store import Filters, Store
from cmf.places import KEPT
from cmf.versioning.manifests import check_place

_ALL_USES = 1 << 31
_USES = 1_000
_PAGE = 500


class Wanted(NamedTuple):
    """An artifact whose bytes are meant. `path`: where it belongs in the tree, None for nowhere.

    `address`: where its bytes are, if they are elsewhere and nobody here ever kept them.
    """

    key: str
    name: str
    path: str | None = None
    address: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    is_record: bool = False
    is_named: bool = False
    """Whether it itself was asked for, and not what has used it."""

    @classmethod
    def of(cls, node: Artifact, path: str | None, address: str | None) -> Wanted:
        """An artifact as a store knows it."""
        return cls(node.key, node.name, path, address, node.sha256, node.size_bytes, node.values is not None)

    @property
    def md5(self) -> str | None:
        """The name of its object in caches and remotes; None for one that has none, such as a record."""
        scheme, _, digest = self.key.partition(":")
        return digest if scheme == "md5" and self.address is None else None

    @property
    def is_folder(self) -> bool:
        """Whether its object is the manifest of a folder."""
        return self.key.endswith(".dir")

    @property
    def shown(self) -> str:
        """What to call it."""
        return self.path or self.name or self.key


def of_artifact(store: Store, key: str, path: str | None = None) -> Wanted:
    """An artifact that was named, at a path, or without one where it was written, else where it was read.

    Raises:
        UnknownKey: nothing is known of it.
    """
    found = store.detail(key, _USES)
    if found is None or not isinstance(found.node, Artifact):
        raise UnknownKey(key)
    uses = [use for use in found.uses if use.retracted is None]
    ours = [use for use in uses if not _address(use)]
    elsewhere = None if ours else next(filter(None, map(_address, uses)), None)
    return Wanted.of(found.node, path or _best_path(ours), elsewhere)


def of_executions(store: Store, keys: Iterable[str]) -> list[Wanted]:
    """All that executions used. Where several contents had one path, the one last used there is to have it."""
    found: dict[tuple[str, str], Edge] = {}
    for key in keys:
        detail = store.detail(key, _ALL_USES)
        for use in detail.uses if detail else ():
            if use.retracted is None:
                found[use.source if use.target == key else use.target, use.path] = use
    nodes = {node.key: node for node in store.nodes({key for key, _ in found}) if isinstance(node, Artifact)}
    wanted = [
        Wanted.of(nodes[key], None if _address(use) or is_kept(path) else path, _address(use))
        for (key, path), use in found.items()
        if key in nodes
    ]
    return _one_a_path(store, wanted)


def everything(store: Store) -> list[Wanted]:
    """All artifacts with bytes of their own."""
    wanted = [of_artifact(store, node.key) for node in artifacts(store) if node.values is None]
    return _one_a_path(store, [w._replace(path=None) if w.path and is_kept(w.path) else w for w in wanted])


def artifacts(store: Store, filters: Filters | None = None) -> Iterator[Artifact]:
    """The artifacts of a store, newest first."""
    cursor: str | None = None
    while True:
        page = store.list_nodes("artifact", filters or Filters(), _PAGE, cursor)
        yield from (node for node in page.items if isinstance(node, Artifact))
        if (cursor := page.next) is None:
            return


def named(store: Store, key: str, path: str | None) -> Sequence[Wanted]:
    """What a person means by a key: an artifact, or all that an execution used.

    Raises:
        UnknownKey: it is neither.
    """
    match kind_of(key):
        case "execution":
            return of_executions(store, [key])
        case "artifact":
            return [of_artifact(store, key, path)._replace(is_named=True)]
        case _:
            raise UnknownKey(key)


def _address(use: Edge) -> str | None:
    return use.url or (use.path if is_address(use.path) else None)


def _best_path(uses: Iterable[Edge]) -> str | None:
    """Where an artifact belongs: a path in the tree before others, written before read."""
    return min((use.path for use in uses), key=lambda path: _rank(path, uses), default=None)


def _rank(path: str, uses: Iterable[Edge]) -> tuple[bool, bool, str]:
    return not is_in_tree(path), not any(use.path == path and use.kind == "output" for use in uses), path


def is_kept(path: str) -> bool:
    """Whether what is known under a path is of cmf's own making."""
    return path.startswith(KEPT + "/")


def is_in_tree(path: str) -> bool:
    """Whether a file may be put into the working tree under a recorded path."""
    try:
        check_place(path)
    except FileProblem:
        return False
    return True


def _one_a_path(store: Store, wanted: list[Wanted]) -> list[Wanted]:
    rivals: dict[str, set[str]] = {}
    for one in wanted:
        if one.path is not None:
            rivals.setdefault(one.path, set()).add(one.key)
    last = {path: store.at_path(path) for path, keys in rivals.items() if len(keys) > 1}
    return [one._replace(path=None) if one.path and last.get(one.path, one.key) != one.key else one for one in wanted]
