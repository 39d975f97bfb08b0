"""neo4j-admin of the Neo4j that launch.py runs, for what is done while it is stopped: dump, load, check.

    python docker/neo4j-local/admin.py database dump neo4j --to-path=backups

The home is launch.py's, or the one that `--home DIR` before neo4j-admin's own words names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from launch import CACHE, LaunchError, fetched_jars, find_java, locked


def main(arguments: Sequence[str] | None = None) -> int:
    """Become neo4j-admin; return an exit code only where that cannot be."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    home = CACHE / "neo4j"
    if len(words) >= 2 and words[0] == "--home":
        home = Path(words[1]).expanduser().absolute()
        del words[:2]
    try:
        if not (home / "data").is_dir():
            raise LaunchError(f"{home}: launch.py has kept nothing here; name its --home")
        java, jars = find_java(), fetched_jars()
        busy = f"Neo4j is running on {home}: stop it first"
        with locked(home / "launch.lock", busy=busy, patience_seconds=5) as lock:
            os.set_inheritable(lock, True)  # held until neo4j-admin ends
            (home / "conf").mkdir(exist_ok=True)
            os.environ["NEO4J_HOME"] = str(home)
            os.execv(java, [java, "-cp", f"{jars}/*", "org.neo4j.cli.AdminTool", *words])  # noqa: S606 (no shell)
    except (LaunchError, OSError) as exc:
        print(f"admin.py: {exc}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
