"""Every field of every endpoint, fuzzed by schemathesis from the OpenAPI document, with all of its checks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest
from histories import artifact, chain, execution, typical
from server_process import ServerProcess

from cmf.core.operations import PutPoints
from cmf.core.store import Store

HERE = Path(__file__).parent
AT = "2026-01-01T00:00:00.000000Z"


@pytest.mark.slow
def test_no_request_that_can_be_made_up_meets_a_fault_or_is_answered_against_the_schema(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    _fuzz(tmp_path, server, open_store, ["--max-examples", "10"], seed=1, patience_seconds=300)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_nor_in_a_quarter_of_an_hour(tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store]) -> None:
    seed = int(os.environ.get("CMF_TEST_FUZZ_SEED", random.randrange(10**6)))
    _fuzz(tmp_path, server, open_store, ["--max-time", "900", "--max-examples", "500"], seed, patience_seconds=1500)


def _fuzz(
    folder: Path,
    server: ServerProcess,
    open_store: Callable[[], Store],
    options: list[str],
    seed: int,
    patience_seconds: float,
) -> None:
    print(f"schemathesis, seed {seed}: CMF_TEST_FUZZ_SEED={seed} repeats it")
    known = _fill(server)
    before = httpx.get(f"{server.url}/v1/artifacts/{known[0]}", timeout=60).json()
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [f"{server.url}/openapi.json", "--checks", "all", "--seed", str(seed), "--warnings", "off", *options]
    knowing = {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "CMF_TEST_FUZZ_KEYS": " ".join(known)}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | knowing, capture_output=True, text=True, timeout=patience_seconds
    )
    told = done.stdout[-20_000:] + done.stderr[-5_000:]
    assert done.returncode == 0, f"seed {seed}\n{told}\n{server.log()[-5_000:]}"
    operations = sum(map(len, httpx.get(f"{server.url}/openapi.json", timeout=60).json()["paths"].values()))
    assert f"Tested: {operations}" in told
    faults = [line for line in server.log().splitlines() if "Traceback" in line or '"level": "error"' in line]
    assert not faults, faults[:5]
    assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200
    # What was there is as it was, but for what may be said of anything.
    after = httpx.get(f"{server.url}/v1/artifacts/{known[0]}", timeout=60).json()
    assert after["uses"][: len(before["uses"])] == before["uses"] and after["node"]["name"] == before["node"]["name"]
    opened = open_store()
    assert artifact("chain-1") in set(opened.all_keys())
    opened.close()


def _fill(server: ServerProcess) -> list[str]:
    """A graph with something behind every route; → keys in it."""
    run = execution(0, [], [], pipeline="chain")[0].key  # type: ignore[union-attr]
    rows = ((1, 1_700_000_000.0, 0.5), (None, 1_700_000_001.0, 0.25))
    points = PutPoints(execution=run, series="loss", chunk=0, rows=rows)
    operations = [msgspec.to_builtins(operation) for operation in [*chain(3), *typical(5), points]]
    answer = httpx.post(f"{server.url}/v1/operations", json={"operations": operations, "at": AT}, timeout=60)
    assert answer.status_code == 200, answer.text
    return [artifact("chain-1"), artifact("output-0"), run]
