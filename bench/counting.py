"""What counting costs a request to submitlogs: `python -m bench.counting`.

Prints the microseconds of the calls that one request makes, and of the same counts made with prometheus-client's own
objects, which lock.
"""

import time
import timeit

from prometheus_client import CollectorRegistry, Counter, Histogram

from footpath.metrics.counts import SECONDS, Counts

NUMBER = 200_000


def micros(statement: str, names: dict[str, object]) -> float:
    """The least time of a statement, in microseconds, out of five rounds."""
    return min(timeit.repeat(statement, globals=names, number=NUMBER, repeat=5)) / NUMBER * 1e6


def main() -> None:
    """Print both."""
    counts = Counts()
    ours = micros("submitted(1, 1, 0, (), 200, 0.0021)", {"submitted": counts.submitted})
    registry = CollectorRegistry()
    counters = [Counter(f"c{place}", "counts", registry=registry) for place in range(5)]
    seconds = Histogram("h", "seconds", buckets=SECONDS, registry=registry)
    statement = "; ".join([f"c[{place}].inc(1)" for place in range(5)]) + "; h.observe(0.0021)"
    theirs = micros(statement, {"c": counters, "h": seconds})
    clock = micros("perf_counter() - perf_counter()", {"perf_counter": time.perf_counter})
    print(f"footpath's counts of a request  {ours:.2f} us, and {clock:.2f} us to look at the clock twice")
    print(f"prometheus-client's objects     {theirs:.2f} us")


if __name__ == "__main__":
    main()
