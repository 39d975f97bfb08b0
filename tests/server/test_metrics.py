"""What a server measures, as Prometheus reads it, and what it knows of its sites."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pushed import AT, push, segment
from server_process import ServerProcess

from cmf.clock import now
from cmf.core.records import Header, header_line
from cmf_api.sitebook import MAX_SITES, SHOWN_SITES, SiteBook

TOKEN = "secret-of-this-test"


def figures(server: ServerProcess) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and its labels' values."""
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_merges_refusals_requests_and_sites_are_counted(server: ServerProcess) -> None:
    body = segment(5)
    assert push(server, body).json()["applied"] == 5
    assert push(server, body).json()["duplicates"] == 5
    assert push(server, b"junk\n").status_code == 422
    header, *lines = body.splitlines(keepends=True)
    assert push(server, b"".join(lines[1:]), name="OTHER").status_code == 409
    httpx.get(f"{server.url}/v1/artifacts/nothing")
    found = figures(server)
    assert found["cmf_records_total", "applied"] == 5 and found["cmf_records_total", "duplicate"] == 5
    chunks = {outcome: found["cmf_chunks_total", outcome] for outcome in ("applied", "duplicate", "refused")}
    assert chunks == {"applied": 1, "duplicate": 1, "refused": 2}
    assert [found["cmf_refusals_total", code] for code in ("BadRecord", "Gap", "UnknownKey")] == [1, 1, 1]
    assert found["cmf_transaction_seconds_count", "committed"] == 3  # what it refuses, it refuses within
    assert found["cmf_request_seconds_count", "POST", "/v1/journals/{site}/{segment}"] == 4
    assert found["cmf_requests_total", "GET", "/v1/artifacts/{key:path}", "404"] == 1
    assert found["cmf_received_bytes_total",] == 2 * len(body) + 5 + sum(map(len, lines[1:]))
    assert found["cmf_store_up",] == found["cmf_ready",] == 1 and found["cmf_waiting_pushes",] == 0
    assert found["cmf_resident_bytes",] > 10e6 and found["cmf_requests_in_progress",] == 1
    assert 0 <= found["cmf_site_seconds_since_push", "SITE"] < 60
    assert found["cmf_site_merge_lag_seconds", "SITE"] > 86_400  # the records are of January
    assert any(name == "cmf_build_info" for name, *_ in found)
    assert header


def test_nobody_can_make_figures_grow_without_end(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url) as client:
        client.get("/v1/stats")
        before = len(figures(server))
        for number in range(50):
            client.get(f"/v1/none/{number}")
            client.request(f"BREW{number}", "/v1/stats")
            client.get(f"/v1/artifacts/{number}")
    assert len(figures(server)) - before < 4 * 25


def test_figures_are_for_those_with_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    store = f"sqlite:///{tmp_path / 'graph.db'}"
    with ServerProcess(tmp_path, store, "--token-file", str(tmp_path / "token")) as server:
        for path in ("/metrics", "/v1/sites"):
            assert httpx.get(server.url + path).json()["code"] == "Unauthorized"
            shown = {"Authorization": f"Bearer {TOKEN}"}
            assert httpx.get(server.url + path, headers=shown).status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        server.stop()
        assert TOKEN not in server.log() and "Unauthorized" in server.log()


def test_sites_are_told_with_what_they_pushed_and_what_was_refused(server: ServerProcess) -> None:
    for site in ("B", "A"):
        push(server, segment(2, site, "one"), site, "one")
        push(server, segment(3, site, "two"), site, "two")
    push(server, b"junk\n", "C", "one")
    push(server, segment(1, "B", "one")[:-9], "B", "one")
    answer = httpx.get(f"{server.url}/v1/sites").json()
    a, b, c = answer["items"]
    assert answer["next"] is None
    assert [a["site"], a["segments"], a["records"], a["refusals"]] == ["A", 2, 5, 0]
    assert [b["refusals"], b["last_refusal"]["code"]] == [1, "BadRecord"]
    assert AT < b["last_push"] < b["last_refusal"]["at"] < now() and b["lag_seconds"] > 86_400
    assert [c["site"], c["segments"], c["records"], c["last_push"], c["refusals"]] == ["C", 0, 0, None, 1]
    first = httpx.get(f"{server.url}/v1/sites", params={"limit": 2}).json()
    assert [item["site"] for item in first["items"]] == ["A", "B"] and first["next"] == "B"
    rest = httpx.get(f"{server.url}/v1/sites", params={"limit": 2, "cursor": "B"}).json()
    assert rest == {"items": [c], "next": None}
    assert httpx.get(f"{server.url}/v1/sites", params={"limit": 0}).status_code == 422


def test_what_is_known_of_sites_is_there_after_a_restart(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'graph.db'}") as server:
        push(server, segment(2))
        before = httpx.get(f"{server.url}/v1/sites").json()
        server.stop()
        server.start()
        assert httpx.get(f"{server.url}/v1/sites").json() == before
        # A file that is damaged costs the notes, never a push.
        server.stop()
        (tmp_path / "graph" / "sites.db").write_bytes(b"no database" * 1000)
        server.start()
        assert push(server, segment(3)).json()["applied"] == 1
        assert httpx.get(f"{server.url}/v1/sites").json()["items"][0]["records"] == 3
        deadline = time.monotonic() + 15
        book = tmp_path / "graph" / "sites.db"
        while not book.exists() or book.read_bytes()[:6] != b"SQLite":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "notes of sites are kept in memory" in server.log()


def test_the_book_of_sites_is_bounded_and_shared(tmp_path: Path) -> None:
    one, other = SiteBook(tmp_path), SiteBook(tmp_path)
    one.pushed("first", AT)
    one.flush()
    for number in range(MAX_SITES):
        other.pushed(f"s{number:05}", AT)
    assert len(other._new) == MAX_SITES
    other.flush()
    assert len(one.notes()) == MAX_SITES and "first" not in one.notes()
    one.refused("s00001", "Gap")
    one.flush()
    other.refused("s00001", "BadRecord")
    note = other.notes(["s00001"])["s00001"]
    assert (note.refusals, note.refusal) == (2, "BadRecord") and note.pushed is not None
    assert all(len(family.samples) == SHOWN_SITES for family in other.collect())


def test_notes_that_cannot_be_written_cost_no_push(tmp_path: Path) -> None:
    (tmp_path / "home" / "sites.db").mkdir(parents=True)
    store = f"sqlite:///{tmp_path / 'graph.db'}"
    with ServerProcess(tmp_path, store, "--home", str(tmp_path / "home")) as server:
        assert push(server, segment(2)).json()["applied"] == 2
        assert httpx.get(f"{server.url}/v1/sites").json()["items"][0]["records"] == 2
        assert figures(server)["cmf_records_total", "applied"] == 2


def test_processes_that_count_together_tell_of_all(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from cmf_api.metrics import Metrics, count_together
count_together(Path(sys.argv[1]))
for _ in range(2):
    if (child := os.fork()) == 0:
        metrics = Metrics()
        metrics.records.labels("applied").inc(21)
        metrics.waiting.set(3)
        metrics.request_seconds.labels("GET", "/x").observe(0.002)
        metrics.gone()
        os._exit(0)
    os.waitpid(child, 0)
print(Metrics().text().decode())
"""
    said = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], capture_output=True, text=True, check=True)
    assert 'cmf_records_total{outcome="applied"} 42.0' in said.stdout
    assert 'cmf_request_seconds_bucket{le="0.0025",method="GET",route="/x"} 2.0' in said.stdout
    assert "cmf_waiting_pushes 0.0" in said.stdout or "cmf_waiting_pushes 6" not in said.stdout
    assert "cmf_build_info" in said.stdout


def test_a_header_alone_is_a_chunk(server: ServerProcess) -> None:
    line, _ = header_line(Header(1, "SITE", "SEGMENT", "test", AT))
    assert push(server, line + b"\n").json()["sequence"] == 0
    assert figures(server)["cmf_chunks_total", "applied"] == 1
