"""What sites that share bytes are made of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cmf
from cmf.core.records import Stamped, parse_record
from cmf.pulled import write_pulled
from cmf.recording import close_repositories

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def record(root: Path) -> None:
    (root / "data/img/more").mkdir(parents=True)
    (root / "data/a.csv").write_text("1,2\n")
    (root / "data/img/one.png").write_bytes(bytes(range(256)))
    (root / "data/img/more/two.png").write_bytes(b"")
    (root / "model.pkl").write_bytes(b"weights")
    with cmf.run("digits", "train", root=root) as run:
        run.input(root / "data/a.csv")
        run.input(root / "data/img")
        run.output(root / "model.pkl", type="Model")
    close_repositories()


def take(segment: Path, folder: Path) -> None:
    """Put the operations of a segment among what was pulled, as `cmf pull` does."""
    records = [parse_record(line) for line in segment.read_bytes().splitlines()[1:]]
    write_pulled(folder, (Stamped(record.stamp_in(segment.stem), record.op) for record in records), None)


def files(root: Path) -> dict[str, bytes]:
    """The content of what the run used."""
    found = [root / "model.pkl", *(path for path in (root / "data").rglob("*") if path.is_file())]
    return {
        str(p.relative_to(root)): p.read_bytes() for p in found if p.name not in (".gitignore",) and p.suffix != ".dvc"
    }
