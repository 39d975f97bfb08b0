"""The clock that stamps a journal: never back, whatever the machine's clock does, and never at an end."""

from __future__ import annotations

import time
from pathlib import Path

from histories import as_recorded, typical

from cmf.clock import HybridClock, microseconds
from cmf.core.operations import SetProperty
from cmf.core.records import make_stamp
from cmf.repository import Repository
from cmf.segments import check

LAST = "2199-12-31T23:59:59.999999Z"
KEY = f"md5:{'0' * 32}"


def test_a_clock_stays_behind_what_it_has_seen_until_the_machine_has_caught_up() -> None:
    clock = HybridClock("2100-01-01T00:00:00.000000Z")
    assert [clock.tick(), clock.tick()] == ["2100-01-01T00:00:00.000001Z", "2100-01-01T00:00:00.000002Z"]
    assert abs(microseconds(HybridClock("2001-01-01T00:00:00.000000Z").tick()) - time.time_ns() // 1000) < 10_000_000


def test_a_site_that_has_seen_the_last_time_there_is_goes_on_recording(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path)
    seen = SetProperty(key=KEY, name="said", value="by a site whose clock is at the end of time")
    repository.take([(make_stamp(LAST, "elsewhere", 1), seen)])
    repository.close()

    again = Repository.create(tmp_path)
    for operations in (list(typical(2)), [SetProperty(key=KEY, name="said", value="here")]):
        again.record(operations)
    assert again.clock.tick() == LAST
    assert not list(check(again.segments))
    assert again.view.state() == as_recorded(again)
    again.close()
