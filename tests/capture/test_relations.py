"""Labels and relations: stated by people, merged everywhere, shown from either end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cmf
from cmf.core.errors import FileProblem, InvalidValue, UnknownKey
from cmf.core.model import Artifact, Relation
from cmf.core.slices import answer, statements
from cmf.core.store import Store
from cmf.core.wire import PullQuestion
from cmf.recording import close_repositories, open_repository


@pytest.fixture
def files(clone: Path) -> Path:
    for name in ("train.csv", "labels.csv", "model.pkl", "pretrained.pkl"):
        (clone / name).write_text(name)
    return clone


def relations(asked: str) -> set[tuple[str, str, str]]:
    return {(r.kind, r.source, r.target) for r in cmf.query().show(asked).relations}


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cmf.cli", *arguments], capture_output=True, text=True)


def test_labels_are_an_input_of_the_run_and_label_their_dataset(files: Path) -> None:
    with cmf.run("digits", "train") as run:
        dataset = run.input("train.csv")
        for named in ("train.csv", files / "train.csv", dataset, dataset.key, dataset.key[:12]):
            made = run.label("labels.csv", named, annotator="me")
    assert (made.types, made.properties) == (("Label",), {"annotator": "me"})
    assert relations("labels.csv") == relations("train.csv") == {("labels", made.key, dataset.key)}
    uses = {(use.source, use.kind) for use in cmf.query().show(run.key).uses}
    assert uses == {(dataset.key, "input"), (made.key, "input")}


def test_a_dataset_that_is_not_recorded_as_it_is_leaves_no_trace_of_the_labels(files: Path) -> None:
    with cmf.run("digits", "train") as run:
        before = open_repository(files).view.state()
        with pytest.raises(FileProblem, match="train.csv: is not recorded as it is now"):
            run.label("labels.csv", "train.csv")
        for unknown in ("nowhere.csv", "md5:" + "0" * 32):
            with pytest.raises(UnknownKey):
                run.label("labels.csv", unknown)
        with pytest.raises(InvalidValue, match="names no content"):
            run.label("labels.csv", run.key)
        assert open_repository(files).view.state() == before
        run.input("train.csv")
        (files / "train.csv").write_text("changed")
        with pytest.raises(FileProblem, match="not recorded as it is now"):
            run.label("labels.csv", "train.csv")


def test_relations_are_stated_within_a_run_outside_of_one_and_by_command(files: Path) -> None:
    with cmf.run("digits", "train") as run:
        pretrained = run.input("pretrained.pkl")
        model = run.output("model.pkl", type="Model")
        data = run.input("train.csv")
        run.derived_from(model, "pretrained.pkl")
        run.version_of("model.pkl", pretrained)
    cmf.relate("model.pkl", "derived_from", data)
    cmf.relate(model, "derived_from", "train.csv")
    close_repositories()
    done = cli("relate", "train.csv", "version_of", pretrained.key[:12])
    assert (done.returncode, done.stdout.split()[1]) == (0, "version_of"), done.stderr
    expected = {("derived_from", pretrained.key), ("version_of", pretrained.key), ("derived_from", data.key)}
    assert {(kind, target) for kind, source, target in relations("model.pkl") if source == model.key} == expected
    shown = cli("show", "model.pkl").stdout
    assert "derived from  pretrained.pkl  Dataset" in shown
    shown = cli("show", "pretrained.pkl").stdout
    assert "source of    model.pkl  Model" in shown and "has version  train.csv" in shown
    assert cmf.query().lineage("pretrained.pkl", "downstream").complete


def test_relations_that_say_nothing_are_refused(files: Path) -> None:
    (files / "copy.pkl").write_text("model.pkl")
    with cmf.run("digits", "train") as run:
        run.input("model.pkl")
        run.input("train.csv")
        run.input("copy.pkl")
        with pytest.raises(InvalidValue, match="the same content"):
            run.derived_from("copy.pkl", "model.pkl")
        with pytest.raises(InvalidValue, match="the same content"):
            run.label("copy.pkl", "model.pkl")
    with pytest.raises(InvalidValue, match="these are: slice_of, labels, derived_from, version_of"):
        cmf.relate("model.pkl", "part_of", "train.csv")  # type: ignore[arg-type]
    assert relations("model.pkl") == set()
    done = cli("relate", "model.pkl", "derived_from", "nowhere")
    assert (done.returncode, "nothing recorded under 'nowhere'" in done.stderr) == (1, True)


def test_every_store_merges_shows_and_gives_them_back_with_a_slice(files: Path, store: Store) -> None:
    with cmf.run("digits", "train") as run:
        data = run.input("train.csv")
        label = run.label("labels.csv", data)
        pretrained = run.input("pretrained.pkl")
        model = run.output("model.pkl", type="Model")
        run.derived_from(model, pretrained)
    view = open_repository(files).view
    state = view.state()
    for _ in range(2):  # a repeated push changes nothing
        store.write(lambda transaction: transaction.merge(state))
    assert store.state() == state
    detail = store.detail(data.key, 10)
    assert detail is not None
    assert detail.relations == (Relation(kind="labels", source=label.key, target=data.key),)
    question = PullQuestion(artifacts=(model.key,), direction="upstream")
    lines = b"".join(statements(store, answer(store, question))).decode()
    assert lines.count('"PutRelation"') == 2
    assert isinstance(store.nodes([label.key])[0], Artifact)
