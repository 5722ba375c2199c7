"""What a process counts: plain numbers in the thread that does the work, turned into something else when asked for.

A lock a count, as prometheus-client has, costs more than the count; one request makes a dozen (`python -m
bench.counting` measures it). So one process has one `Counts`, one thread writes a field of it, and `taken()` gives all
of it as plain data, which can be sent to another process, added to others, and published.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field

from footpath.action import Reject

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

SUBMIT = "/api/submitlogs"


class Histogram:
    """How many values were at most each bound, and their sum. `counts` has one more place, for larger ones."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count by these upper bounds, in rising order."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Taken(Struct):
    """All counts of a process at one moment.

    `counters` are by name of metric, then by the values of its labels, with a blank between them; `histograms` are the
    counts of each bucket, then the sum. `gauges` are what is now, so they mean nothing once the process has ended.
    """

    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    histograms: dict[str, list[float]] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    pid: int = 0
    at: float = 0.0

    def add(self, other: "Taken") -> None:
        """Add what another process, or an earlier life of this one, has counted; gauges too."""
        for name, values in other.counters.items():
            mine = self.counters.setdefault(name, {})
            for label, value in values.items():
                mine[label] = mine.get(label, 0) + value
        for name, places in other.histograms.items():
            held = self.histograms.get(name)
            self.histograms[name] = list(places) if held is None else [a + b for a, b in zip(held, places, strict=True)]
        for name, gauge in other.gauges.items():
            self.gauges[name] = self.gauges.get(name, 0) + gauge


class Counts:
    """What a server process counts, in its event loop."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.received = self.accepted = self.duplicates = self.submits = self.bytes = 0
        self.rejected: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.submit_seconds = Histogram(SECONDS)
        self.commit_seconds = Histogram(SECONDS)
        self.commit_requests = Histogram(SIZES)
        self.read_seconds = Histogram(SECONDS)

    def submitted(
        self, received: int, accepted: int, duplicates: int, rejects: Sequence[Reject], size: int, seconds: float
    ) -> None:
        """Count a request to submitlogs that was answered with 200: its actions, its bytes, and how long it took."""
        self.submits += 1
        self.received += received
        self.accepted += accepted
        self.duplicates += duplicates
        self.bytes += size
        if rejects:
            for reject in rejects:
                self.rejected[reject.code] += 1
        self.submit_seconds.observe(seconds)

    def committed(self, requests: int, seconds: float) -> None:
        """Count a group commit."""
        self.commit_requests.observe(requests)
        self.commit_seconds.observe(seconds)

    def answered(self, route: str, status: int) -> None:
        """Count an answer, other than those of `submitted`."""
        self.answers[f"{route} {status}"] += 1

    def refused(self, code: str) -> None:
        """Count an error that was answered with, by its code."""
        self.refusals[code] += 1

    def taken(self) -> Taken:
        """All of it now."""
        answers = {**self.answers, f"{SUBMIT} 200": self.submits}
        return Taken(
            counters={
                "footpath_actions_received": {"": self.received},
                "footpath_actions_accepted": {"": self.accepted},
                "footpath_actions_duplicate": {"": self.duplicates},
                "footpath_actions_rejected": dict(self.rejected),
                "footpath_submit_bytes": {"": self.bytes},
                "footpath_answers": answers,
                "footpath_refused": dict(self.refusals),
            },
            histograms={
                "footpath_submit_seconds": _places(self.submit_seconds),
                "footpath_commit_seconds": _places(self.commit_seconds),
                "footpath_commit_requests": _places(self.commit_requests),
                "footpath_read_seconds": _places(self.read_seconds),
            },
        )


class KeeperCounts:
    """What a keeper counts; flush and merge each write fields of their own."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.flushed = self.merged = self.expired = self.failures = 0
        self.flush_seconds = Histogram(SECONDS)
        self.merge_seconds = Histogram(SECONDS)

    def taken(self) -> Taken:
        """All of it now."""
        return Taken(
            counters={
                "footpath_flushed_actions": {"": self.flushed},
                "footpath_merged_actions": {"": self.merged},
                "footpath_expired_actions": {"": self.expired},
                "footpath_keeper_failures": {"": self.failures},
            },
            histograms={
                "footpath_flush_seconds": _places(self.flush_seconds),
                "footpath_merge_seconds": _places(self.merge_seconds),
            },
        )


def _places(histogram: Histogram) -> list[float]:
    return [*histogram.counts, histogram.sum]
