"""What a server measures, for Prometheus. A server of several processes tells of all of them, whichever is asked."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cmf import __version__

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client knows where several processes count together."""

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_AGES: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600)


def count_together(folder: Path) -> None:
    """Let this process and those that it starts count together, in files of an emptied folder.

    To be called before any of them makes its `Metrics`: prometheus-client looks once, when it is loaded.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[FOLDER] = str(folder)


class Metrics:
    """The figures of this process; `text` has those of all that count together with it."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = of = CollectorRegistry()
        self.requests = Counter("cmf_requests_total", "Requests answered.", ["method", "route", "status"], registry=of)
        self.request_seconds = Histogram(
            "cmf_request_seconds",
            "From a request's head to the end of its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=of,
        )
        self.received_bytes = Counter("cmf_received_bytes_total", "Bytes of bodies, as sent.", registry=of)
        self.sent_bytes = Counter("cmf_sent_bytes_total", "Bytes of answers.", registry=of)
        self.refusals = Counter(
            "cmf_refusals_total", "Requests answered with an error, by code.", ["code"], registry=of
        )
        self.in_progress = Gauge(
            "cmf_requests_in_progress", "Requests being answered.", registry=of, multiprocess_mode="livesum"
        )
        self.chunks = Counter(
            "cmf_chunks_total",
            "Chunks that sites pushed: applied (something new), duplicate (all known), refused.",
            ["outcome"],
            registry=of,
        )
        self.records = Counter(
            "cmf_records_total", "Records that sites pushed, by outcome: applied, duplicate.", ["outcome"], registry=of
        )
        self.record_age = Histogram(
            "cmf_record_age_seconds",
            "From the time that a chunk's newest record bears to its merge.",
            buckets=_AGES,
            registry=of,
        )
        self.transactions = Histogram(
            "cmf_transaction_seconds",
            "Transactions of the store, by outcome: committed, failed.",
            ["outcome"],
            buckets=_SECONDS,
            registry=of,
        )
        self.waiting = Gauge(
            "cmf_waiting_pushes", "Pushes waiting for the store.", registry=of, multiprocess_mode="livesum"
        )
        self.store_up = Gauge(
            "cmf_store_up",
            "Whether the store could be used when it was last looked at.",
            registry=of,
            multiprocess_mode="livemostrecent",
        )
        self.ready = Gauge("cmf_ready", "Whether /readyz says ready.", registry=of, multiprocess_mode="livemostrecent")
        self.resident = Gauge(
            "cmf_resident_bytes", "Memory of the server's processes.", registry=of, multiprocess_mode="livesum"
        )
        self.started = Gauge(
            "cmf_started_timestamp_seconds", "When it started.", registry=of, multiprocess_mode="livemin"
        )
        self.lost_lines = Gauge(
            "cmf_log_lines_lost",
            "Lines of the log that could not be written.",
            registry=of,
            multiprocess_mode="livesum",
        )
        self.started.set(time.time())
        self._beside: list[Collector] = [_Build()]

    def also(self, collector: Collector) -> None:
        """Tell of these too: what all processes know alike."""
        self._beside.append(collector)

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        shown: CollectorRegistry
        if os.environ.get(FOLDER):
            shown = CollectorRegistry()
            MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
            return generate_latest(shown) + generate_latest(self._others())
        return generate_latest(self._registry) + generate_latest(self._others())

    def gone(self) -> None:
        """That this process ends: its gauges are no longer counted."""
        if os.environ.get(FOLDER):
            from prometheus_client.multiprocess import mark_process_dead

            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    def _others(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        for collector in self._beside:
            registry.register(collector)
        return registry


class _Build:
    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily("cmf_build_info", "The version that runs.", labels=["version"])
        family.add_metric([__version__], 1)
        yield family


def family(name: str, says: str, labels: list[str], rows: Iterable[tuple[list[str], float]]) -> Iterator[Any]:
    """A gauge with a row for each of many, as a collector yields it."""
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(name, says, labels=labels)
    for values, figure in rows:
        made.add_metric(values, figure)
    yield made


def resident_bytes() -> int:
    """The memory of this process that is in RAM now; where the system does not tell, the most that it was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource
        import sys

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
