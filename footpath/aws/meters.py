"""What a sink tells Prometheus, on a port of its own where one is asked for.

`METERS` is all of it (docs/METRICS.md is made of it), but for what prometheus-client tells of each process.
"""

from collections.abc import Callable
from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector

from footpath.aws.sink import Round
from footpath.errors import BadSetting


class Meter(NamedTuple):
    """A metric: its kind, and a sentence with its unit."""

    kind: str
    help: str


METERS = {
    "footpath_sink_lag_seconds": Meter(
        "gauge", "Seconds that the table is behind the stream, at the last commit, over all shards this sink reads."
    ),
    "footpath_sink_retention_seconds": Meter("gauge", "Seconds that the stream keeps a record."),
    "footpath_sink_held_records": Meter("gauge", "Records that were read and are not in the table yet."),
    "footpath_sink_shards": Meter("gauge", "Shards that this sink reads."),
    "footpath_sink_records": Meter(
        "counter", "Records that were read and are in the table, or were left out with reason."
    ),
    "footpath_sink_actions": Meter("counter", "Actions that this sink has put into the table."),
    "footpath_sink_duplicates": Meter("counter", "Records that were left out because they were there already."),
    "footpath_sink_unreadable": Meter("counter", "Records that hold no actions, and were set aside."),
    "footpath_sink_files": Meter("counter", "Files that this sink has added to the table."),
    "footpath_sink_moved": Meter(
        "counter", "Rounds that were dropped because another sink had written the same records."
    ),
    "footpath_sink_failures": Meter("counter", "Rounds that failed and were tried again."),
}
"""Every metric of a sink. Prometheus adds `_total` to the names of counters."""


class Meters:
    """The metrics of one sink."""

    def __init__(self, retention: float, held: Callable[[], int], shards: Callable[[], int]) -> None:
        """Begin at zero; `held` and `shards` are asked when somebody looks."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        gauges = {
            name: Gauge(name, it.help, registry=self.registry) for name, it in METERS.items() if it.kind == "gauge"
        }
        gauges["footpath_sink_retention_seconds"].set(retention)
        gauges["footpath_sink_held_records"].set_function(held)
        gauges["footpath_sink_shards"].set_function(shards)
        self._lag = gauges["footpath_sink_lag_seconds"]
        self._counters = {
            name: Counter(name, it.help, registry=self.registry) for name, it in METERS.items() if it.kind == "counter"
        }

    def did(self, done: Round) -> None:
        """Count a round."""
        for name in ("records", "actions", "duplicates", "unreadable", "files"):
            self._counters[f"footpath_sink_{name}"].inc(getattr(done, name))
        self._counters["footpath_sink_moved"].inc(done.moved)
        if not done.moved:
            self._lag.set(done.lag)

    def failed(self) -> None:
        """Count a round that failed."""
        self._counters["footpath_sink_failures"].inc()

    def serve(self, address: str) -> Callable[[], None]:
        """Answer `GET /metrics` at `HOST:PORT` in a thread; what ends that.

        Raises:
            BadSetting: the address is wrong, or taken.
        """
        host, _, port = address.rpartition(":")
        try:
            server, thread = prometheus_client.start_http_server(int(port), host or "127.0.0.1", self.registry)
        except (OSError, ValueError, OverflowError) as error:
            raise BadSetting(f"cannot tell metrics at {address!r}: {error}; give --metrics HOST:PORT") from error

        def end() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return end
