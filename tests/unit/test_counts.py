"""What is counted comes out of /metrics as it went in, of all processes together."""

import math
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from footpath.action import Reject
from footpath.metrics import board
from footpath.metrics.board import Place
from footpath.metrics.counts import SECONDS, SIZES, Counts, Histogram, KeeperCounts, Taken
from footpath.web.metrics import METRICS, families


def values(processes: dict[str, Taken], folder: dict[str, float] | None = None) -> dict[str, float]:
    """Every sample by its name and labels, as they are read back from the text."""
    from prometheus_client import CollectorRegistry, generate_latest

    class Known:
        def collect(self) -> list[object]:
            return list(families(processes, folder or {}))

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Known())  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.lists(st.floats(0, 1e6) | st.sampled_from(SECONDS)), st.sampled_from([SECONDS, SIZES]))
def test_a_histogram_holds_each_value_once(observed: list[float], bounds: tuple[float, ...]) -> None:
    """The values at most a bound are as many as the buckets up to it say, and the sum is theirs."""
    histogram = Histogram(bounds)
    for value in observed:
        histogram.observe(value)
    for place, bound in enumerate(bounds):
        assert sum(histogram.counts[: place + 1]) == sum(value <= bound for value in observed)
    assert sum(histogram.counts) == len(observed)
    assert math.isclose(histogram.sum, sum(observed), abs_tol=1e-6)


def test_what_is_counted_is_published() -> None:
    """Each count stands under its name and labels, and accepted, rejected and duplicates are what was received."""
    counts = Counts()
    rejects = [Reject(0, 1, "bad_time", "no"), Reject(0, 2, "bad_time", "no"), Reject(1, 0, "too_deep", "no")]
    counts.submitted(10, 7, 0, rejects, 1000, 0.002)
    counts.submitted(5, 0, 5, (), 200, 0.3)
    counts.committed(2, 0.001)
    counts.answered("/api/retrievelogs", 200)
    counts.answered("/api/submitlogs", 503)
    counts.refused("journal_full")
    counts.read_seconds.observe(0.02)
    taken = counts.taken()
    taken.pid, taken.gauges = os.getpid(), {"footpath_connections": 3}
    found = values({"server-0": taken}, {"footpath_parts": 4})
    assert found["footpath_actions_received_total"] == 15
    assert found["footpath_actions_accepted_total"] == 7
    assert found["footpath_actions_duplicate_total"] == 5
    assert found["footpath_actions_rejected_total code=bad_time"] == 2
    assert found["footpath_actions_rejected_total code=too_deep"] == 1
    assert found["footpath_submit_bytes_total"] == 1200
    assert found["footpath_answers_total route=/api/submitlogs status=200"] == 2
    assert found["footpath_answers_total route=/api/submitlogs status=503"] == 1
    assert found["footpath_answers_total route=/api/retrievelogs status=200"] == 1
    assert found["footpath_refused_total code=journal_full"] == 1
    assert found["footpath_submit_seconds_bucket le=0.0025"] == 1
    assert found["footpath_submit_seconds_bucket le=+Inf"] == found["footpath_submit_seconds_count"] == 2
    assert found["footpath_submit_seconds_sum"] == pytest.approx(0.302)
    assert found["footpath_commit_requests_bucket le=2.0"] == 1
    assert found["footpath_connections"] == 3
    assert found["footpath_parts"] == 4
    assert found["footpath_keeper_up"] == 0
    assert found["footpath_server_processes"] == 1
    if Path("/proc/self").exists():
        assert found["process_resident_memory_bytes process=server-0"] > 1_000_000
        assert found["process_open_fds process=server-0"] > 3


def test_every_metric_says_what_it_is() -> None:
    """Each metric has a sentence, one that is measured in something has its unit in name and sentence, and is there."""
    for name, (kind, _, told) in METRICS.items():
        assert re.fullmatch(r"[A-Z0-9].*[.]", told), name
        for unit in ("seconds", "bytes"):
            if name.endswith(f"_{unit}"):
                assert unit in told.lower(), name
        assert kind in {"counter", "gauge", "histogram"}
    counted = Counts().taken()
    counted.add(KeeperCounts().taken())
    assert {*counted.counters, *counted.histograms} == {n for n, told in METRICS.items() if told.kind != "gauge"}


def test_processes_are_told_together(tmp_path: Path) -> None:
    """What two processes have counted is summed, whoever is asked; one that takes a place counts on from what was."""
    board.clear(tmp_path)
    one, two = Place(tmp_path, board.SERVER), Place(tmp_path, board.SERVER)
    assert (one.name, two.name) == ("server-0", "server-1")
    counts = Counts()
    counts.submitted(3, 3, 0, (), 10, 0.1)
    for place in (one, two):
        place.write(counts.taken())
    mine = one.write(counts.taken())
    assert values({**one.others(), one.name: mine})["footpath_actions_received_total"] == 6
    two.close()
    again = Place(tmp_path, board.SERVER)
    assert again.name == "server-1"
    theirs = again.write(counts.taken())
    assert values({**again.others(), again.name: theirs})["footpath_actions_received_total"] == 9
    for place in (one, again):
        place.close()
    board.clear(tmp_path)
    assert board.others(tmp_path) == {}


def test_gauges_of_what_has_ended_are_left_out(tmp_path: Path) -> None:
    """What a process had open is not told once it has written nothing for a while; what it counted is."""
    board.clear(tmp_path)
    place = Place(tmp_path, board.SERVER)
    taken = Counts().taken()
    taken.gauges = {"footpath_connections": 7}
    at = place.write(taken).at
    place.close()
    assert board.others(tmp_path, clock=lambda: at + 1)["server-0"].gauges == {"footpath_connections": 7}
    later = board.others(tmp_path, clock=lambda: at + board.FRESH_SECONDS + 1)["server-0"]
    assert (later.gauges, later.pid) == ({}, 0)


def test_who_reads_during_a_write_reads_something_whole(tmp_path: Path) -> None:
    """Read again and again while they are written, counts are never torn, lost or falling."""
    board.clear(tmp_path)
    place = Place(tmp_path, board.SERVER)
    counts = Counts()
    place.write(counts.taken())
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            counts.submitted(2, 1, 1, (), 10, 0.1)
            place.write(counts.taken())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = 0
        for _ in range(500):
            found = board.others(tmp_path)["server-0"].counters
            received = found["footpath_actions_received"][""]
            assert received >= before
            assert found["footpath_actions_accepted"][""] + found["footpath_actions_duplicate"][""] == received
            before = received
    finally:
        stop.set()
        writer.join()
        place.close()
