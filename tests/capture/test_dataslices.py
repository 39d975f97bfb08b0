"""Dataslices: equal ones are one artifact, they know their dataset, and what does not fit is refused by name."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from work_tree import WorkTree

import cmf
from cmf.core.errors import CmfError, FileProblem, InvalidValue, UnknownKey
from cmf.core.identity import md5_of
from cmf.core.model import Artifact, Relation
from cmf.recording import Run, open_repository

NAMES = ("1.png", "2.png", "below/3.png")


@pytest.fixture
def images(clone: Path) -> Path:
    """A folder of three files."""
    folder = clone / "data" / "images"
    (folder / "below").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text(name)
    return folder


def sliced(run: Run, name: str, *items: str, **properties: object) -> Artifact:
    with run.dataslice(name) as made:
        for number, item in enumerate(items):
            made.add(item, number=number, **properties)
    return made.artifact


def relations(key: str) -> tuple[Relation, ...]:
    return cmf.query().show(key).relations


def test_a_slice_lists_files_with_their_md5_and_properties_and_knows_its_dataset(images: Path) -> None:
    with cmf.run("digits", "select") as run:
        dataset = run.input("data/images")
        with run.dataslice("hard-cases", reviewed=True) as hard:
            hard.add("data/images/below/3.png", split="test", score=0.5)
            hard.add(images / "1.png", split="train", score=1, good=True)
            assert len(hard) == 2
    made = hard.artifact
    assert (made.types, made.name) == (("Dataslice",), "hard-cases.parquet")
    assert relations(made.key) == (Relation(kind="slice_of", source=made.key, target=dataset.key),)
    found = cmf.query().dataslice("hard-cases")
    assert found.key == made.key
    assert found.rows == [
        {"path": "data/images/1.png", "md5": md5_of(b"1.png"), "good": True, "score": 1.0, "split": "train"},
        {"path": "data/images/below/3.png", "md5": md5_of(b"below/3.png"), "good": None, "score": 0.5, "split": "test"},
    ]
    assert found.to_pandas().query("split == 'test'").path.tolist() == ["data/images/below/3.png"]
    node = cmf.query().show(made.key).node
    assert node.properties == {"item_count": 2, "reviewed": True}
    (use,) = cmf.query().show(made.key).uses
    assert (use.kind, use.path) == ("output", "cmf_artifacts/dataslices/hard-cases.parquet")


def test_equal_slices_are_one_artifact_whoever_makes_them_and_in_whatever_order(clone: Path, images: Path) -> None:
    paths = [f"data/images/{name}" for name in NAMES]
    keys = set()
    with cmf.run("digits", "select") as run:
        run.input("data/images")
        for name, order in (("a", paths), ("b", paths[::-1])):
            with run.dataslice(name) as made:
                for path in order:
                    made.add(path, size=len(path), at=numpy.float64(0.25), note="é", nothing=None)
            keys.add(made.artifact.key)
        with run.dataslice("c") as made:
            for path in paths:
                made.add(path, nothing=None, note="é", at=0.25, size=numpy.int32(len(path)))
        assert keys == {made.artifact.key}
        assert sliced(run, "d", *paths).key not in keys
    code = f"""
import cmf
with cmf.run("digits", "select") as run, run.dataslice("e") as made:
    for path in {paths!r}:
        made.add(path, size=len(path), at=0.25, note="é", nothing=None)
print(made.artifact.key)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=True)
    assert {done.stdout.strip()} == keys


def test_a_slice_that_is_read_is_an_input(images: Path) -> None:
    with cmf.run("digits", "select") as run:
        run.input("data/images")
        made = sliced(run, "hard cases", "data/images/1.png")
    for asked in ("hard cases", made.key, made.key[:12], made):
        with cmf.run("digits", "train") as later:
            assert later.read_dataslice(asked).rows[0]["path"] == "data/images/1.png"
        (use,) = cmf.query().show(later.key).uses
        assert (use.source, use.kind, use.path) == (made.key, "input", "cmf_artifacts/dataslices/hard cases.parquet")
    answer = cmf.query().lineage(later.key, "upstream")
    assert run.key in {node.key for node in answer.nodes}


def test_the_dataset_may_be_named_by_its_folder_its_artifact_or_its_key(images: Path) -> None:
    with cmf.run("digits", "select") as run:
        whole = run.input("data")
        inner = run.input("data/images")
        for of, dataset in (
            (None, inner),
            ("data", whole),
            (whole, whole),
            (whole.key, whole),
            (inner.key[:10], inner),
        ):
            with run.dataslice("some", of=of) as made:
                made.add("data/images/1.png", of=str(of))
            assert [r.target for r in relations(made.artifact.key)] == [dataset.key]


def test_items_of_several_datasets_and_of_none_may_be_in_one_slice(clone: Path, images: Path) -> None:
    (clone / "more").mkdir()
    (clone / "more" / "4.png").write_text("4")
    (clone / "loose.png").write_text("5")
    with cmf.run("digits", "select") as run:
        datasets = {run.input("data/images").key, run.input("more").key}
        made = sliced(run, "all", "data/images/1.png", "more/4.png", "loose.png")
    assert {r.target for r in relations(made.key)} == datasets
    assert [row["md5"] for row in cmf.query().dataslice("all").rows if row["path"] == "loose.png"] == [md5_of(b"5")]


def test_what_does_not_fit_is_refused_by_name_and_nothing_is_recorded(clone: Path, images: Path) -> None:
    (clone / "outside.png").write_text("x")
    with cmf.run("digits", "select") as run:
        run.input("data/images")
        before = open_repository(clone).view.state()
        with pytest.raises(InvalidValue, match="is empty"), run.dataslice("none"):
            pass
        with pytest.raises(InvalidValue, match="is empty"), run.dataslice("never") as draft:
            with pytest.raises(FileProblem, match=r"outside of the dataset"):
                run.dataslice("x", of="data/images").add("outside.png")
            with pytest.raises(FileProblem, match=r"9.png: is no file of the dataset"):
                draft.add("data/images/9.png")
            with pytest.raises(FileProblem, match="No such file"):
                draft.add("nowhere.png")
            with pytest.raises(FileProblem, match="is no file of the dataset"):
                draft.add("data/images/below")
            with pytest.raises(FileProblem, match="is a folder"):
                draft.add("data")
            with pytest.raises(InvalidValue, match="'md5' is a column of its own"):
                draft.add("outside.png", md5="0")
            with pytest.raises(InvalidValue, match="'boxes' of outside.png is a list"):
                draft.add("outside.png", boxes=[1, 2])
            with pytest.raises(InvalidValue, match="beyond 64 bits"):
                draft.add("outside.png", id=2**63)
        with pytest.raises(UnknownKey):
            run.dataslice("x", of="nowhere")
        with pytest.raises(InvalidValue, match="leads elsewhere"):
            run.dataslice("../x")
        assert open_repository(clone).view.state() == before


def test_an_item_twice_and_a_column_of_two_types_are_refused(images: Path) -> None:
    with cmf.run("digits", "select") as run:
        run.input("data/images")
        with run.dataslice("twice") as draft:
            draft.add("data/images/1.png")
            with pytest.raises(InvalidValue, match="in the slice already"):
                draft.add("data/images/../images/1.png", split="test")
        told = r"'label' has values of several types: a whole number of data/images/1.png, text of data/images/2.png"
        with pytest.raises(InvalidValue, match=told), run.dataslice("mixed") as draft:
            draft.add("data/images/2.png", label="seven")
            draft.add("data/images/1.png", label=7)
        with pytest.raises(InvalidValue, match="cannot hold exactly"), run.dataslice("inexact") as draft:
            draft.add("data/images/1.png", id=2**53 + 1)
            draft.add("data/images/2.png", id=0.5)
        with run.dataslice("numbers") as draft:
            draft.add("data/images/1.png", score=float("nan"), id=2**62)
            draft.add("data/images/2.png", score=1, id=None)
    first, second = cmf.query().dataslice("numbers").rows
    assert math.isnan(first["score"]) and (first["id"], second["id"]) == (2**62, None)  # type: ignore[arg-type]


def test_an_item_or_a_dataset_that_changed_is_found(images: Path) -> None:
    with cmf.run("digits", "select") as run:
        run.input("data/images")
        with pytest.raises(FileProblem, match=r"1.png: changed since"), run.dataslice("late") as draft:
            draft.add("data/images/1.png")
            (images / "1.png").write_text("changed")
        with run.dataslice("later") as draft:
            with pytest.raises(FileProblem, match="not recorded as it is now"):
                draft.add("data/images/2.png")
            with pytest.raises(FileProblem, match="not recorded as it is now"):
                run.dataslice("later", of="data/images")
            run.input("data/images")
            draft.add("data/images/2.png")


def test_an_exception_in_its_body_records_no_slice(images: Path) -> None:
    with cmf.run("digits", "select") as run:
        run.input("data/images")
        with pytest.raises(ValueError, match="stop"), run.dataslice("half") as draft:
            draft.add("data/images/1.png")
            raise ValueError("stop")
    with pytest.raises(UnknownKey):
        cmf.query().dataslice("half")


def test_files_of_a_dataset_are_not_read_again(images: Path) -> None:
    time.sleep(0.05)  # so that an unchanged file is known to be unchanged
    code = f"""
import sys
import cmf
opened = []
with cmf.run("digits", "select") as run:
    run.input("data/images")
    sys.addaudithook(lambda event, told: opened.append(str(told[0])) if event == "open" else None)
    with run.dataslice("some") as made:
        for name in {NAMES!r}:
            made.add("data/images/" + name)
print(len(opened), *[path for path in opened if path.endswith(".png")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *read = done.stdout.split()
    assert (int(count) > 0, read) == (True, [])


def test_bytes_that_are_gone_damaged_or_no_slice_are_told(clone: Path, images: Path) -> None:
    with cmf.run("digits", "select") as run:
        data = run.input("data/images/1.png")
        made = sliced(run, "some", "data/images/1.png")
        metrics = run.metrics(accuracy=1)
        place = open_repository(clone).cache.path(made.key.removeprefix("md5:"))
        content = place.read_bytes()
        place.chmod(0o644)
        place.write_bytes(content[:-1])
        with pytest.raises(FileProblem, match="is not what was kept"):
            run.read_dataslice("some")
        place.unlink()
        with pytest.raises(FileProblem, match="not in the cache here"):
            run.read_dataslice(made)
        for other in (data, metrics):
            with pytest.raises(CmfError, match="no dataslice|not in the cache"):
                run.read_dataslice(other)
        with pytest.raises(UnknownKey):
            run.read_dataslice("never made")
    assert {use.kind for use in cmf.query().show(made.key).uses} == {"output"}


def test_with_dvc_a_slice_is_in_the_commits_of_the_run_and_survives_links(tree: WorkTree) -> None:
    (tree.folder / "data").mkdir()
    (tree.folder / "data" / "1.png").write_text("1")
    tree.dvc("config", "cache.type", "symlink")
    with cmf.run("digits", "select") as run:
        run.input("data")
        made = sliced(run, "some", "data/1.png")
        assert run.read_dataslice("some").key == made.key
    assert cmf.query().dataslice("some").key == made.key
    uses = cmf.query().show(made.key).uses
    assert len(uses) == 2
    for use in uses:
        pointer = tree.git("show", f"{use.commit}:cmf_artifacts/dataslices/some.parquet.dvc")
        assert made.key.removeprefix("md5:") in pointer


def test_a_hundred_thousand_items_are_few_megabytes_and_seconds(clone: Path) -> None:
    """Of files that are not there: what is measured is the slice, not the reading of files."""
    from cmf import parquet

    rows = {
        f"data/{n:06}.png": {"path": f"data/{n:06}.png", "md5": f"{n:032x}", "split": "test", "score": n / 7}
        for n in range(100_000)
    }
    began = time.monotonic()
    content = parquet.write(sorted(rows), rows, ("path", "md5"))
    assert parquet.read(content).num_rows == 100_000
    assert len(content) < 10 << 20
    assert time.monotonic() - began < 30


def test_without_a_library_for_parquet_the_extra_is_named(images: Path) -> None:
    code = """
import sys
sys.modules["pyarrow"] = None
import cmf
from cmf.core.errors import MissingExtra
with cmf.run("digits", "select") as run:
    try:
        run.dataslice("x")
    except MissingExtra as exc:
        print(exc)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'cmf-lineage[pandas]'" in done.stdout
