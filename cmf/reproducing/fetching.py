"""Inputs whose bytes are not on this machine, brought into the clone's cache from its DVC remote."""

from __future__ import annotations

from collections.abc import Sequence

from cmf.core.errors import CmfError
from cmf.core.recipe import Item
from cmf.repository import Repository
from cmf.reproducing.holdings import Holdings, Missing


def fetch(repository: Repository, items: Sequence[Item], holdings: Holdings) -> dict[str, str]:
    """Fetch what is missing of some inputs; → why those that could not be had could not, by key.

    That there is no remote, or that it does not answer, is a reason as any: the user may have the bytes elsewhere.
    """
    lacking = [item for item in items if item.md5 is not None and isinstance(holdings.find(item), Missing)]
    if not lacking:
        return {}
    from cmf.artifacts import Wanted, pull

    wanted = [Wanted(item.key, item.path, sha256=item.sha256, size_bytes=item.size_bytes) for item in lacking]
    try:
        pulled = pull(repository, wanted, checkout=False)
    except CmfError as exc:
        return dict.fromkeys((item.key for item in lacking), str(exc))
    problems = dict(pulled.problems)
    return {item.key: problems[item.path] for item in lacking if item.path in problems}
