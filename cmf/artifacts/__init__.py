"""The bytes of artifacts, between a clone and DVC's remotes: `push`, `pull`, and where they are."""

from cmf.artifacts.listing import Listed, listed
from cmf.artifacts.places import Wanted, everything, of_artifact, of_executions
from cmf.artifacts.pulling import Pulled, pull
from cmf.artifacts.pushing import Pushed, push

__all__ = [
    "Listed",
    "Pulled",
    "Pushed",
    "Wanted",
    "everything",
    "listed",
    "of_artifact",
    "of_executions",
    "pull",
    "push",
]
