"""A bucket as a remote. Runs where `dvc-s3` and `moto[server]` are installed; they bring more than all else here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sites import Run, files

pytest.importorskip("dvc_s3")
moto = pytest.importorskip("moto.server")


def test_a_bucket_serves_both(site: Path, clone: Callable[[str], Path], run: Run, environment: dict[str, str]) -> None:
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
        )
        client.create_bucket(Bucket="data")
        run("cmf", "init", "--artifacts", "s3://data/team", at=site)
        run("dvc", "remote", "modify", "storage-2", "endpointurl", url, at=site)
        run("git", "commit", "-qam", "a bucket", at=site)
        told = run("cmf", "artifacts", "push", at=site, ok=False)
        assert "storage-2 (s3://data/team)" in told.stderr and "redentials" in told.stderr
        environment.update(keys)
        assert "5 objects" in run("cmf", "artifacts", "push", at=site).stdout
        assert "in sync" in run("dvc", "status", "-c", at=site).stdout
        other, third = clone("other"), clone("third")
        run("dvc", "pull", at=other)
        run("cmf", "artifacts", "pull", "--all", at=third)
        assert files(other) == files(third) == files(site)
        lost = client.list_objects_v2(Bucket="data")["Contents"][0]["Key"]
        client.delete_object(Bucket="data", Key=lost)
        told = run("cmf", "artifacts", "list", "--remote", at=third)
        told = run("cmf", "artifacts", "pull", "--all", "--no-checkout", at=clone("fourth"), ok=False)
        assert "has no object" in told.stderr
    finally:
        server.stop()
