"""The benchmark runs from end to end on a history of a size that says nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"


def test_a_tiny_run_measures_every_family_and_writes_nothing() -> None:
    before = PAGE.read_bytes() if PAGE.exists() else None
    command = [sys.executable, ROOT / "bench" / "run.py", "--quick", "--size", "20", "--store", "sqlite", "--no-write"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    for title in (
        "Starting",
        "Recording",
        "The environment",
        "Recording with git and DVC",
        "Hashing and keeping files",
        "Push into the embedded store",
        "Sending what is recorded at once",
        "Memory",
        "Pull",
        "Lineage",
    ):
        assert f"\n{title}" in ran.stdout, f"{title} was not measured:\n{ran.stdout}"
    assert (PAGE.read_bytes() if PAGE.exists() else None) == before


def test_findings_that_people_wrote_stay_when_the_page_is_written_again(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from bench import report
from bench.figures import Figure, Section
section = Section("Walking", "The limit is running.", [Figure("a mile", 1200.0, "s", 400.0, "≤ 10 min", "uphill")])
report.write(Path(sys.argv[1]), [section], took_seconds=60, quick=True, neo4j=None)
"""
    page = tmp_path / "benchmarks.md"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, page], check=True, cwd=ROOT)
        text = page.read_text()
        assert "| a mile | 1,200 s | 400 s | 3.00× | ≤ 10 min | uphill |" in text
        page.write_text(text.replace("<!-- end of findings -->", "Shoes matter.\n\n<!-- end of findings -->"))
    assert text.count("Shoes matter.") == 1
