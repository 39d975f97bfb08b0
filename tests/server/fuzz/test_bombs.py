"""Bodies that are small and unpack to much, or are slow to unpack: refused soon, and nothing is held of them."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from pathlib import Path

import httpx
import psutil
import pytest
import zstandard
from server_process import ServerProcess

from cmf.core.wire import NDJSON

MIB = 1 << 20


def bombs() -> dict[str, tuple[str, bytes]]:
    """Each with its encoding."""
    zeros = gzip.compress(b"0" * (256 * MIB), compresslevel=9)
    random = os.urandom(4 * MIB).replace(b"\n", b"x")
    flushed = zlib.compressobj(9, wbits=31)
    pieces = b"".join(flushed.compress(b"a") + flushed.flush(zlib.Z_FULL_FLUSH) for _ in range(300_000))
    packer = zstandard.ZstdCompressor()
    return {
        "gzip": ("gzip", zeros),
        "gzip in gzip": ("gzip", gzip.compress(zeros)),
        "gzip in gzip in gzip": ("gzip", gzip.compress(gzip.compress(zeros))),
        "members": ("gzip", gzip.compress(b"0" * MIB) * 1_000),
        "members without content": ("gzip", gzip.compress(b"", mtime=0) * 300_000),
        "members of newlines": ("gzip", gzip.compress(b"\n" * 1_000) * 5_000),
        "pieces of a byte": ("gzip", pieces),
        "half a member": ("gzip", gzip.compress(random)[:-9]),
        "zstd": ("zstd", packer.compress(b"0" * (256 * MIB))),
        "zstd in zstd": ("zstd", packer.compress(packer.compress(b"0" * (256 * MIB)))),
        "zstd frames": ("zstd", packer.compress(b"0" * MIB) * 1_000),
        "zstd of what does not pack": ("zstd", packer.compress(random + random[:MIB])),
        "zstd window": (
            "zstd",
            zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compress(
                b"0" * (256 * MIB)
            ),
        ),
        "no gzip": ("gzip", random),
        "values": ("gzip", gzip.compress(b"[],[],[],[],[],[],[],[],[],[],\n" * 19_000 * 12)),
    }


def test_a_bomb_of_any_kind_is_refused_soon_and_leaves_nothing(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server, httpx.Client(timeout=60) as client:
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        for what, (encoding, content) in bombs().items():
            assert len(content) <= 8 * MIB, what
            begun = process.cpu_times().user
            headers = {"Content-Type": NDJSON, "Content-Encoding": encoding}
            answer = client.post(f"{server.url}/v1/journals/A/B", content=content, headers=headers)
            assert answer.status_code in (413, 422), (what, answer.text)
            assert answer.json()["detail"], what
            assert process.cpu_times().user - begun < 10, what
        assert process.memory_info().rss - before < 150 * MIB
        assert client.get(f"{server.url}/v1/journals/A").json()["segments"] == {}
        assert "Traceback" not in server.log() and '"level": "error"' not in server.log()


@pytest.mark.soak
def test_so_are_eight_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server:
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        made = list(bombs().values())

        def post(number: int) -> int:
            encoding, content = made[number % len(made)]
            headers = {"Content-Type": NDJSON, "Content-Encoding": encoding}
            answer = httpx.post(f"{server.url}/v1/journals/A/B", content=content, headers=headers, timeout=120)
            return answer.status_code

        end = time.monotonic() + 60
        with ThreadPoolExecutor(8) as posters:
            while time.monotonic() < end:
                assert set(posters.map(post, range(64))) <= {413, 422, 503}
                assert process.memory_info().rss - before < 400 * MIB
