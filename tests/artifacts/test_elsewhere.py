"""Content that is elsewhere: recorded under an address without its secrets, fetched where its version proves it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from http_store import HttpStore
from sites import Run

import cmf
from cmf.core.addresses import without_secrets
from cmf.core.errors import InvalidValue
from cmf.recorder import AddressWarning
from cmf.recording import close_repositories

SHA256 = "sha256:" + hashlib.sha256(b"theirs").hexdigest()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://user:pass@example.org/d.csv", "https://example.org/d.csv"),
        ("https://token@example.org/d.csv?v=2#part", "https://example.org/d.csv?v=2#part"),
        ("https://b.s3.amazonaws.com/d?X-Amz-Signature=f&X-Amz-Date=1", "https://b.s3.amazonaws.com/d?X-Amz-Date=1"),
        ("https://x.blob.core.windows.net/d?sig=abc", "https://x.blob.core.windows.net/d"),
        ("ssh://me@example.org/d", "ssh://me@example.org/d"),
        ("ssh://me:pw@example.org/d", "ssh://example.org/d"),
        ("s3://bucket/data@v1.csv", "s3://bucket/data@v1.csv"),
        ("data/a@b:c.csv", "data/a@b:c.csv"),
        ("https://example.org?", "https://example.org?"),
    ],
)
def test_an_address_loses_its_secrets_and_nothing_else(address: str, kept: str) -> None:
    assert without_secrets(address) == kept


def test_an_address_is_recorded_without_its_password_and_shown(clone: Path, run: Run) -> None:
    with cmf.run("p", "s") as recording:
        with pytest.warns(AddressWarning, match=r"^https://example.org/d.csv: recorded without"):
            recording.input("https://me:secret@example.org/d.csv", version="etag:abcd-1")
        recording.input("s3://bucket/data.csv", version=SHA256)
        with pytest.raises(InvalidValue):
            recording.input("s3://bucket/data.csv", version="no version")
    close_repositories()
    assert b"secret" not in b"".join(file.read_bytes() for file in (clone / ".cmf/journal").glob("*.jsonl"))
    shown = run("cmf", "show", "etag:abcd-1", "--json", at=clone).stdout
    assert '"url": "https://example.org/d.csv"' in shown
    assert "https://example.org/d.csv" in run("cmf", "show", "etag:abcd-1", at=clone).stdout
    assert "s3://bucket/data.csv" in run("cmf", "artifacts", "list", at=clone).stdout


def test_bytes_elsewhere_are_said_to_be_so_and_fetched_on_demand(clone: Path, run: Run) -> None:
    (clone / "served").mkdir()
    (clone / "served/theirs.csv").write_bytes(b"theirs")
    with HttpStore(clone / "served") as store:
        (clone / "root").mkdir()
        run("cmf", "init", at=clone / "root")
        with cmf.run("p", "s", root=clone / "root") as recording:
            recording.input(f"{store.url}/theirs.csv", version=SHA256)
            recording.input(f"file://{clone}/served/theirs.csv", version="md5:" + hashlib.md5(b"theirs").hexdigest())
            recording.input(f"{store.url}/gone.csv", version="sha1:" + "0" * 40)
            recording.input(f"{store.url}/theirs.csv?other", version="etag:abcd")
        close_repositories()
        at = clone / "root"
        told = run("cmf", "artifacts", "pull", SHA256, at=at, ok=False)
        assert f"are at {store.url}/theirs.csv" in told.stderr and "--output FILE" in told.stderr
        assert "are at" in run("cmf", "artifacts", "pull", "--all", at=at).stderr, "where nobody named it, it is told"
        for version in (SHA256, "md5:"):
            run("cmf", "artifacts", "pull", version, "-o", f"data/{version[:3]}.csv", at=at)
            assert (at / f"data/{version[:3]}.csv").read_bytes() == b"theirs"
        assert "nothing is there" in run("cmf", "artifacts", "pull", "sha1:", "-o", "x", at=at, ok=False).stderr
        assert "no digest" in run("cmf", "artifacts", "pull", "etag:", "-o", "x", at=at, ok=False).stderr
        (clone / "served/theirs.csv").write_bytes(b"changed")
        assert "other content now" in run("cmf", "artifacts", "pull", SHA256, "-o", "x", at=at, ok=False).stderr
        assert "outside" in run("cmf", "artifacts", "pull", "md5:", "-o", "../x", at=at, ok=False).stderr
        assert not (at / "x").exists() and not (clone / "x").exists()
