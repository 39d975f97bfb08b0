"""Measure what cmf costs, each figure beside its limit, and write docs/benchmarks.md.

python bench/run.py                      everything: about ten minutes
python bench/run.py --quick              less of everything: two minutes
python bench/run.py --only push lineage  some families, without writing
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Run as a script: the repository's own modules, and what its tests have for starting servers.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench import capture, direct, environment, lineage, pull, push, record, report, startup  # noqa: E402
from bench.figures import Section  # noqa: E402
from bench.plan import QUICK, WHOLE, Plan  # noqa: E402
from bench.workshop import Workshop  # noqa: E402

Family = Callable[[Plan, Workshop], list[Section]]

EMBEDDED: dict[str, list[Family]] = {
    "startup": [startup.measure],
    "record": [record.measure],
    "environment": [environment.measure],
    "capture": [capture.measure],
    "push": [push.measure_embedded],
    "direct": [direct.measure],
    "pull": [pull.measure],
    "lineage": [lineage.measure_embedded],
}
NEO4J: dict[str, list[Family]] = {"push": [push.measure_neo4j], "lineage": [lineage.measure_neo4j]}
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Parse, measure, print, write."""
    asked = _arguments()
    plan = QUICK if asked.quick else WHOLE
    if asked.size:
        plan = plan.only(asked.size)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cmf-bench-") as folder, Workshop(Path(folder)) as workshop:
        _settle(Path(folder))
        sections, neo4j = _measure(asked, plan, workshop)
    took = time.monotonic() - began
    print(f"\n{took:.0f} s")
    whole = not asked.only and asked.store == "all" and not asked.size
    if whole and not asked.no_write:
        report.write(PAGE, sections, took_seconds=took, quick=asked.quick, neo4j=neo4j)
        print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller: two minutes")
    parser.add_argument("--only", nargs="+", choices=EMBEDDED, default=[], metavar="NAME", help=", ".join(EMBEDDED))
    parser.add_argument("--store", choices=("sqlite", "neo4j", "all"), default="all", help="measure this store only")
    parser.add_argument("--size", type=int, help="one number of executions instead of several")
    parser.add_argument(
        "--no-write", action="store_true", help="leave docs/benchmarks.md alone, as a part of a run does"
    )
    return parser.parse_args()


def _settle(folder: Path) -> None:
    """Whoever runs this has settings and a home; what is measured has neither."""
    for name in [name for name in os.environ if name.startswith(("CMF_", "XDG_"))]:
        del os.environ[name]
    os.environ["HOME"] = str(folder)
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull


def _measure(asked: argparse.Namespace, plan: Plan, workshop: Workshop) -> tuple[list[Section], str | None]:
    sections: list[Section] = []
    version = None
    if asked.store in ("sqlite", "all"):
        sections += _run(EMBEDDED, asked.only, plan, workshop)
    if asked.store in ("neo4j", "all") and (not asked.only or NEO4J.keys() & asked.only):
        try:
            version = workshop.neo4j.version
        except RuntimeError as exc:
            print(f"\nNO NEO4J, so it is not measured: {exc}")
        else:
            sections += _run(NEO4J, asked.only, plan, workshop)
    return sections, version


def _run(families: dict[str, list[Family]], only: list[str], plan: Plan, workshop: Workshop) -> list[Section]:
    sections: list[Section] = []
    for name, measures in families.items():
        if only and name not in only:
            continue
        for measure in measures:
            for section in measure(plan, workshop):
                print("\n".join(report.lines(section)), flush=True)
                sections.append(section)
    return sections


if __name__ == "__main__":
    sys.exit(main())
