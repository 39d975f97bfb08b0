"""Where the bytes of artifacts are: in the working tree, in the cache, on a remote, elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from cmf.artifacts.places import artifacts, of_artifact
from cmf.artifacts.pushing import is_whole
from cmf.core.errors import FileProblem
from cmf.core.store import Filters
from cmf.repository import Repository
from cmf.versioning.contents import Contents
from cmf.versioning.dvc_remote import DvcRemote, remote_settings
from cmf.versioning.manifests import check_place

InTree = Literal["same", "other", "absent"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact with bytes. `tree` compares what is at its path now; `remote` is None if no remote was asked.

    `cache` counts a folder only with all its files; a remote that has a folder's manifest has its files.
    """

    key: str
    name: str
    types: tuple[str, ...]
    path: str | None
    address: str | None
    size_bytes: int | None
    tree: InTree
    cache: bool
    remote: bool | None


def listed(
    repository: Repository,
    filters: Filters | None = None,
    *,
    limit: int | None = None,
    remote: str | None = None,
    ask_remote: bool = False,
    jobs: int | None = None,
) -> Sequence[Listed]:
    """The artifacts with bytes, newest first, up to a limit; with `ask_remote`, also whether a remote has them.

    Raises:
        SettingsProblem, DataRemoteProblem: the remote cannot be asked.
    """
    found = list(_local(repository, filters, limit))
    if not ask_remote:
        return found
    asked = DvcRemote(*remote_settings(repository.dvc_root, remote))
    asked.expect_folder()
    md5s = {one.key: one.key.partition(":")[2] for one in found if one.key.startswith("md5:")}
    there = asked.among(set(md5s.values()), jobs)
    if md5s and not there:  # (one that has others may answer so for what it does not have, as public buckets do)
        asked.expect_answers(next(iter(md5s.values())))
    return [msgspec.structs.replace(one, remote=md5s.get(one.key) in there) for one in found]


def _local(repository: Repository, filters: Filters | None, limit: int | None) -> Iterator[Listed]:
    contents = Contents(repository.states, root=repository.dvc_root)
    count = 0
    for node in artifacts(repository.view, filters):
        if node.values is not None:
            continue
        if count == limit:
            return
        count += 1
        one = of_artifact(repository.view, node.key)
        yield Listed(
            key=node.key,
            name=node.name,
            types=node.types,
            path=one.path,
            address=one.address,
            size_bytes=node.size_bytes,
            tree=_in_tree(repository, contents, one.path, one.key),
            cache=one.md5 is not None and is_whole(repository.cache, one.md5),
            remote=None,
        )


def _in_tree(repository: Repository, contents: Contents, path: str | None, key: str) -> InTree:
    if path is None:
        return "absent"
    try:
        check_place(path)
        return "same" if contents.at(repository.root / path).key == key else "other"
    except FileProblem:
        return "absent"
