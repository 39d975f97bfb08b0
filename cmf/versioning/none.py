"""No version of the code: for clones that are not in git, or that do not want it."""

from __future__ import annotations

from cmf.versioning.git import CodeVersion


class NoVersioning:
    """Says of the code that nothing is known."""

    def now(self) -> CodeVersion:
        """See `CodeVersioning`."""
        return CodeVersion(None, None, None)
