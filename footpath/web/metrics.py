"""`/metrics`, in Prometheus' text format: what all processes of the server have counted, and how the folder is.

`METRICS` is all of it (docs/METRICS.md is made of it), but for what prometheus-client tells of each process. Counters
begin at zero when the server starts. Whatever there are of server processes, one scrape of any of them tells of all.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import NamedTuple

import apsw
import duckdb
from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from footpath.metrics.counts import SECONDS, SIZES, Taken
from footpath.web.report import Report

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


TABLE_AGE = "footpath_table_age_seconds"


class Described(NamedTuple):
    """A metric: its kind, its labels, and a sentence with its unit."""

    kind: str
    labels: tuple[str, ...]
    help: str


METRICS = {
    "footpath_actions_received": Described(
        "counter", (), "Actions in requests to submitlogs that were answered with 200: the sum of the next three."
    ),
    "footpath_actions_accepted": Described("counter", (), "Actions that were made durable."),
    "footpath_actions_duplicate": Described(
        "counter", (), "Actions that were sent before, with the same Idempotency-Key or id, and are stored once."
    ),
    "footpath_actions_rejected": Described("counter", ("code",), "Actions that the check refused, by its code."),
    "footpath_submit_bytes": Described(
        "counter", (), "Bytes of bodies to submitlogs that were answered with 200, as they were sent."
    ),
    "footpath_answers": Described("counter", ("route", "status"), "Answers, by route and HTTP status."),
    "footpath_refused": Described("counter", ("code",), "Requests that were answered with an error, by its code."),
    "footpath_submit_seconds": Described(
        "histogram", (), "Seconds from a whole request to submitlogs to its answer 200: decoded, checked and durable."
    ),
    "footpath_commit_seconds": Described("histogram", (), "Seconds that a group commit of the journal took."),
    "footpath_commit_requests": Described("histogram", (), "Requests in a group commit of the journal."),
    "footpath_read_seconds": Described(
        "histogram",
        (),
        "Seconds from a request to retrievelogs, sessions, counts, clicks or flows to the last byte of its answer.",
    ),
    "footpath_connections": Described("gauge", (), "Connections that are open."),
    "footpath_body_bytes": Described("gauge", (), "Bytes of bodies in memory that are not whole yet."),
    "footpath_reads_running": Described("gauge", (), "Reads that are being answered."),
    "footpath_tails": Described("gauge", (), "Clients that follow what comes in, by /api/tail."),
    "footpath_reads_waiting": Described("gauge", (), "Reads that wait until others have ended."),
    "footpath_journal_waiting_bytes": Described("gauge", (), "Bytes of actions in memory that wait for their commit."),
    "footpath_journal_failing": Described(
        "gauge", (), "Server processes whose journal cannot be written just now: above 0, writes get 503."
    ),
    "footpath_journal_actions": Described("gauge", (), "Actions in the journal that are not in a part yet."),
    "footpath_journal_age_seconds": Described(
        "gauge", (), "Seconds that the oldest action in the journal has waited to be put into a part."
    ),
    "footpath_runs": Described("gauge", (), "Runs of parts: a read of one user opens a part of each."),
    "footpath_parts": Described("gauge", (), "Parts that are live."),
    "footpath_parts_actions": Described("gauge", (), "Actions in live parts."),
    "footpath_parts_bytes": Described("gauge", (), "Bytes of live parts."),
    "footpath_database_bytes": Described("gauge", (), "Bytes of footpath.db and its write-ahead log."),
    "footpath_disk_bytes": Described("gauge", (), "Bytes of the disk that the data folder is on."),
    "footpath_disk_free_bytes": Described("gauge", (), "Bytes that are free there."),
    "footpath_flush_seconds": Described("histogram", (), "Seconds that a flush of the journal into a part took."),
    "footpath_flushed_actions": Described("counter", (), "Actions that were flushed."),
    "footpath_merge_seconds": Described("histogram", (), "Seconds that each part of a merge took."),
    "footpath_merged_actions": Described("counter", (), "Actions that merges have written again."),
    "footpath_expired_actions": Described("counter", (), "Actions that have left the disk because of their age."),
    "footpath_keeper_failures": Described("counter", (), "Times that a flush or merge failed and was tried again."),
    TABLE_AGE: Described(
        "gauge", (), "Seconds since the time until which the table has everything that was put into the stream."
    ),
    "footpath_keeper_up": Described("gauge", (), "1 if the keeper runs, which flushes and merges; else 0."),
    "footpath_server_processes": Described("gauge", (), "Server processes that run."),
    "footpath_build_info": Described(
        "gauge", ("version", "python", "sqlite", "duckdb"), "Always 1; its labels are the versions of what runs."
    ),
}
"""Every metric of footpath's own. Prometheus adds `_total` to the names of counters."""

_BOUNDS = dict.fromkeys(METRICS, SECONDS) | {"footpath_commit_requests": SIZES}
_BUILD = (version("footpath"), platform.python_version(), apsw.sqlite_lib_version(), duckdb.__version__)


async def answer(report: Report, measure: Callable[[], Mapping[str, float]]) -> Response:
    """The metrics of all processes, and what `measure` says of the folder; it is called in a thread."""
    name, mine = report.mine()

    def text() -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(list(families({**report.others(), name: mine}, measure()))))
        return generate_latest(registry)

    content = await run_in_threadpool(text)
    return Response(content, headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})


class _Collector:
    """Gives a registry what is known already."""

    def __init__(self, known: Iterable[Metric]) -> None:
        self._known = known

    def collect(self) -> Iterable[Metric]:
        return self._known


def families(processes: Mapping[str, Taken], folder: Mapping[str, float]) -> Iterator[Metric]:
    """All metrics, of all processes together."""
    total = Taken()
    for taken in processes.values():
        total.add(taken)
    gauges = {
        **total.gauges,
        **folder,
        "footpath_server_processes": sum(name != "keeper" and taken.pid > 0 for name, taken in processes.items()),
    }
    if TABLE_AGE not in folder:  # a server over a stream and a table has no keeper
        gauges["footpath_keeper_up"] = float(any(name == "keeper" and taken.pid for name, taken in processes.items()))
    for name, (kind, labels, told) in METRICS.items():
        if kind == "counter":
            counter = CounterMetricFamily(name, told, labels=labels)
            for label, value in sorted(total.counters.get(name, {} if labels else {"": 0}).items()):
                counter.add_metric(label.split(" ") if labels else [], value)
            yield counter
        elif kind == "histogram":
            yield _histogram(name, told, total.histograms.get(name))
        elif name == "footpath_build_info":
            build = GaugeMetricFamily(name, told, labels=labels)
            build.add_metric(_BUILD, 1)
            yield build
        elif name in gauges:
            yield GaugeMetricFamily(name, told, value=gauges[name])
    yield from _of_processes({name: taken.pid for name, taken in processes.items() if taken.pid})


def _histogram(name: str, told: str, places: list[float] | None) -> Metric:
    bounds = _BOUNDS[name]
    *counts, total = places or [0.0] * (len(bounds) + 2)
    buckets = []
    reached = 0.0
    for bound, number in zip((*map(str, map(float, bounds)), "+Inf"), counts, strict=True):
        reached += number
        buckets.append((bound, reached))
    return HistogramMetricFamily(name, told, buckets=buckets, sum_value=total)


def _of_processes(pids: Mapping[str, int]) -> Iterable[Metric]:
    """What prometheus-client tells of a process, of each of ours; nothing where there is no /proc."""
    merged: dict[str, Metric] = {}
    for process, pid in pids.items():
        for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            into = merged.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                into.add_sample(sample.name, {"process": process}, sample.value)
    return merged.values()
