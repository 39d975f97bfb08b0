"""Keys: the same on every machine and in every version. A change of any constant here breaks users' graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmf.core import identity
from cmf.core.errors import InvalidValue
from cmf.core.model import Code
from cmf.core.operations import (
    ForeignIdentity,
    NamedIdentity,
    PutExecution,
    RecordIdentity,
    RunIdentity,
    check,
    put_execution,
    put_record,
)
from cmf.versioning.contents import Contents

RUN = RunIdentity(
    pipeline="digits",
    stage="train",
    type="train",
    uuid="3f2b",
    started_at="2026-05-04T09:12:31.250001Z",
    project="example.org/team/digits",
    branch="main",
    command=("python", "train.py"),
    code=Code(commit="a" * 40, remote="git@example.org:team/digits.git", dirty=True),
    parameters={"C": 1.0, "tiny": 1e-9, "nan": {"$number": "NaN"}, "é": [None, True]},
)


def test_keys_are_what_they_were() -> None:
    assert put_execution(RUN).key == "execution:7c4be45ba1bdf4128fda263b3d26e2a4"
    assert (
        put_execution(NamedIdentity(pipeline="p", stage="s", name="n")).key
        == "execution:dabe1c13ce2e0f1aeffe232b6b4e9486"
    )
    assert put_execution(ForeignIdentity(source="mlflow", run="r")).key == "execution:bd9db6436bc76656accf4a2dd46449f6"
    record = RecordIdentity(kind="Metrics", execution="execution:" + "1" * 32, name="m", values={"a": 0.5})
    assert put_record(record).key == "sha256:293a5aef85921d2d4b42fd4755a5d96525c9986fabb756854ac3e9487c05ebe8"
    assert identity.stage_key("digits", "train", None) == "context:5575faf1ccb16b7a2007eb67b57e588d"
    assert identity.pipeline_key("digits", "team") == "context:90384acbf16f2d9f3c2709563e0306c4"
    assert (
        identity.use_key("execution:" + "1" * 32, "md5:" + "2" * 32, "input", "data/é.csv")
        == "use:de00574e7cdf4dceaa8f61c460ea6e1e"
    )


def test_equal_numbers_of_two_runs_are_two_records() -> None:
    records = [
        put_record(RecordIdentity(kind="Metrics", execution=f"execution:{digit * 32}", name="m", values={"a": 1}))
        for digit in "12"
    ]
    assert records[0].key != records[1].key


def test_a_key_that_is_not_that_of_its_content_is_refused() -> None:
    with pytest.raises(InvalidValue, match="is not the key of this content"):
        check(PutExecution(key="execution:" + "0" * 32, identity=RUN))


@pytest.mark.parametrize(
    "key",
    ["", "md5", "md5:", "md5:xyz", "md5:" + "0" * 31, "MD5:" + "0" * 32, "execution:" + "0" * 32 + "\n", "a b:c123"],
)
def test_what_has_not_the_form_of_a_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidValue):
        identity.check_key(key)


def test_a_version_given_by_the_caller_is_taken_as_is() -> None:
    for key in ("etag:5d41402abc4b2a76b9719d911017c592-3", "sha512:" + "a" * 128, "git:0a1b2c3d"):
        assert identity.check_key(key) == key
        assert identity.kind_of(key) == "artifact"


def test_file_and_folder_keys_are_dvcs(tmp_path: Path) -> None:
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "data"
    (folder / "b" / "c").mkdir(parents=True)
    for name, text in {"z.csv": "z", "b/ä.txt": "ü", "b/c/0": "", "b.txt": "crlf\r\n", "b/c d": "x" * 100_000}.items():
        (folder / name).write_bytes(text.encode())
    fs = LocalFileSystem()
    odb = LocalHashFileDB(fs, str(tmp_path / "cache"))
    for path in (folder, folder / "b.txt", folder / "b" / "c" / "0"):
        _, _, theirs = build(odb, str(path), fs, "md5", dry_run=True)
        assert Contents().at(path).key == f"md5:{theirs.hash_info.value}"
    assert Contents().at(folder).size_bytes == 1 + 2 + 0 + 6 + 100_000
