"""A prepared execution, run in its folder, and judged by what it makes there."""

from __future__ import annotations

import os
import subprocess
import sys

from cmf.core.errors import NotReproducible
from cmf.repository import Repository
from cmf.reproducing.preparing import Prepared, mark
from cmf.reproducing.verdicts import Before, Verdict, compare, reruns


def check_runnable(prepared: Prepared) -> None:
    """See that a prepared execution may be run.

    Raises:
        NotReproducible: an input is missing, or it writes outside of its tree.
    """
    if missing := prepared.missing:
        raise NotReproducible(
            f"{len(missing)} of {len(prepared.inputs)} inputs are missing, first {missing[0].path} ({missing[0].why}); "
            f"the folder is prepared: put them there, and run the command in it"
        )
    if outside := [item.path for item in prepared.recipe.outputs if item.path.startswith("/") and not item.url]:
        raise NotReproducible(
            f"it writes outside of the tree, to {outside[0]}, and would overwrite what is there now; the folder is "
            f"prepared: run the command in it yourself if that is meant"
        )


def run_again(prepared: Prepared, variables: dict[str, str], *, quiet: bool) -> None:
    """Run the command as a shell in the folder would, with this process's variables but those that steer git.

    Raises:
        NotReproducible: it cannot be run, or failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = kept | variables | {"PWD": str(prepared.at)}
    sys.stdout.flush()
    try:
        done = subprocess.run(
            prepared.command.arguments,
            cwd=prepared.at,
            env=environment,
            stdout=sys.stderr if quiet else None,
            check=False,
        )
    except (OSError, ValueError) as exc:  # ValueError: a NUL, which only a forged record can have
        why = getattr(exc, "strerror", None) or exc
        raise NotReproducible(f"{prepared.command.arguments[0]}: {why}; it cannot be run here") from exc
    if done.returncode:
        raise NotReproducible(f"the command ended with exit code {done.returncode}, in {prepared.at}")


def judge(prepared: Prepared, before: Before) -> list[Verdict]:
    """What became of each output; `before` is from before the command ran. The re-runs are marked as such."""
    repository = Repository.find(prepared.base)
    try:
        again = reruns(repository, prepared.recipe)
        verdicts = compare(prepared.recipe, again, repository, before)
    finally:
        repository.close()
    mark(prepared, again)
    return verdicts
