"""The figures as text: lines on a terminal, and the tables of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.figures import Figure, Section, number
from cmf import __version__

BEGIN = "<!-- findings: written by people, kept by bench/run.py -->"
END = "<!-- end of findings -->"

_PREFACE = """# Benchmarks

`make bench` measures everything and writes this page; `python bench/run.py --quick` takes two minutes. Each figure
stands beside its limit: the same work with nothing of ours in between, measured in turns with it in the same run.
*Ratio* is how many times the limit's time ours takes. Absolute figures are those of one machine; ratios travel better.
A target is what we want, not a test: nothing fails here.
"""


def lines(section: Section) -> Iterable[str]:
    """A section for a terminal."""
    yield f"\n{section.title}"
    width = max((len(figure.name) for figure in section.figures), default=0)
    for figure in section.figures:
        ours, limit, ratio = _cells(figure)
        yield f"  {figure.name:<{width}}  {ours:>18}  {limit:>18}  {ratio:>7}  {figure.target:<16} {figure.beside}"


def write(file: Path, sections: Sequence[Section], *, took_seconds: float, quick: bool, neo4j: str | None) -> None:
    """Write the page; the findings that are in it stay."""
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    kept = old.partition(BEGIN)[2].partition(END)[0].strip() if BEGIN in old else ""
    parts = [_PREFACE, "\n".join(_machine(took_seconds, quick, neo4j)), "## Findings", BEGIN, kept, END]
    parts += ["\n".join(_table(section)) for section in sections]
    file.write_text("\n\n".join(part.strip("\n") for part in parts if part) + "\n", encoding="utf-8")


def _table(section: Section) -> Iterable[str]:
    yield f"## {section.title}\n\n{section.limit}\n"
    yield "| | ours | limit | ratio | target | |"
    yield "|---|---:|---:|---:|---|---|"
    for figure in section.figures:
        yield f"| {figure.name} | {' | '.join(_cells(figure))} | {figure.target} | {figure.beside} |"


def _cells(figure: Figure) -> tuple[str, str, str]:
    limit = "" if figure.limit is None else f"{number(figure.limit)} {figure.unit}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}×"
    return f"{number(figure.ours)} {figure.unit}", limit, ratio


def _machine(took_seconds: float, quick: bool, neo4j: str | None) -> Iterable[str]:
    memory = psutil.virtual_memory().total / (1 << 30)
    run = "a quick run" if quick else "a whole run"
    yield f"Measured on {datetime.now(UTC):%Y-%m-%d} by {run} of {took_seconds / 60:.0f} minutes, cmf {__version__}.\n"
    kernel = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    yield f"- {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, {kernel}"
    yield f"- {platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield f"- Neo4j {neo4j}, heap 1 GiB, on the same machine" if neo4j else "- no Neo4j"
