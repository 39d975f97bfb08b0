"""What commands say of stores."""

from __future__ import annotations

from cmf.core.model import Stats


def counts(stats: Stats) -> str:
    """How much a store holds, in words."""
    told = ", ".join(f"{count:,} {kind}s" for kind, count in sorted(stats.kinds.items()))
    return f"{told} of {stats.sites:,} sites"


def shown(url: str) -> str:
    """A store's URL without the password that may be in it."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
