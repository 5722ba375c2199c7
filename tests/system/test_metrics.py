"""/metrics of the real server: what was answered is what is counted, with one process or several."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.conftest import Server, Start, wait_until

ANY = {"connection": "close"}  # so that each request goes over a connection of its own, to any process
TIME = "2018-10-20T21:37:28-06:00"


def metrics(server: Server) -> dict[str, float]:
    """Every sample by its name and labels."""
    answer = server.client.get("/metrics", headers=ANY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def total(found: dict[str, float], name: str) -> int:
    """The sum of a metric over its labels."""
    return int(sum(value for sample, value in found.items() if sample.partition(" ")[0] == name))


def batch(number: int) -> dict[str, Any]:
    """Three actions, of which one has no time, and for every third number one has no known type."""
    actions: list[dict[str, Any]] = [{"time": TIME, "type": "CLICK", "properties": {"n": number}} for _ in range(3)]
    del actions[0]["time"]
    if number % 3 == 0:
        actions[1]["type"] = "HOVER"
    return {"userId": f"u{number % 5}", "sessionId": "s", "actions": actions}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_was_answered_is_counted(start: Start, workers: str) -> None:
    """Whichever process is asked, accepted, rejected and duplicates are those of all answers, and what was received."""
    server = start(environment={"FOOTPATH_WORKERS": workers, "FOOTPATH_FLUSH_SECONDS": "0.1"})
    answered = {"accepted": 0, "rejected": 0, "received": 0, "duplicate": 0}

    def send(number: int) -> tuple[dict[str, Any], bool]:
        key = {"idempotency-key": f"k{number % 20}"} if number >= 40 else {}
        body = json.dumps(batch(number % 20 if key else number)).encode()
        answer = server.submit(body, ANY | key)
        assert answer.status_code == 200
        return answer.json(), "idempotent-replayed" in answer.headers

    with ThreadPoolExecutor(8) as threads:
        for said, replayed in threads.map(send, range(80)):
            answered["duplicate" if replayed else "accepted"] += said["accepted"]
            answered["rejected"] += len(said["rejected"])
            answered["received"] += said["accepted"] + len(said["rejected"])
    assert answered["duplicate"] > 0
    bad = server.submit(b"[{}]")
    assert (bad.status_code, bad.json()["code"]) == (400, "not_batches")
    assert server.retrieve(userId="u1").status_code == 200
    assert server.retrieve(userid="u1").status_code == 400
    assert server.client.get("/no/such/path").status_code == 404

    def found() -> dict[str, int]:
        now = metrics(server)
        return {name: total(now, f"footpath_actions_{name}_total") for name in answered}

    for _ in range(6):  # by either process
        wait_until("all is counted", lambda: found() == answered)
    now = metrics(server)
    assert now["footpath_answers_total route=/api/submitlogs status=200"] == 80
    assert now["footpath_answers_total route=/api/submitlogs status=400"] == 1
    assert now["footpath_answers_total route=/api/retrievelogs status=200"] == 1
    assert now["footpath_answers_total route=/api/retrievelogs status=400"] == 1
    assert now["footpath_answers_total route=other status=404"] == 1
    assert now["footpath_refused_total code=not_batches"] == 1
    assert now["footpath_refused_total code=bad_query"] == 1
    assert now["footpath_submit_seconds_count"] == 80
    assert now["footpath_commit_requests_sum"] == 80
    assert now["footpath_read_seconds_count"] == 1
    wait_until("every worker has started", lambda: metrics(server)["footpath_server_processes"] == int(workers))
    assert now["footpath_journal_failing"] == 0
    wait_until("the keeper has told of a flush", lambda: metrics(server)["footpath_flushed_actions_total"] > 0)
    wait_until("all is flushed", lambda: metrics(server)["footpath_journal_actions"] == 0)
    now = metrics(server)
    assert now["footpath_parts_actions"] == answered["accepted"]
    assert now["footpath_keeper_up"] == 1
    assert now["footpath_runs"] >= 1
    assert now["footpath_disk_free_bytes"] > 0
    for process in ("keeper", *(f"server-{place}" for place in range(int(workers)))):
        assert now[f"process_resident_memory_bytes process={process}"] > 1_000_000
    assert server.stop() == 0
    server.start()
    assert total(metrics(server), "footpath_actions_received_total") == 0


def test_a_worker_that_is_replaced_takes_nothing_along(start: Start) -> None:
    """After the death of a worker, what it had counted is still counted, and what it had open is not."""
    import os
    import signal
    from pathlib import Path

    server = start(environment={"FOOTPATH_WORKERS": "2"})
    for number in range(20):
        assert server.submit(batch(number), ANY).status_code == 200
    wait_until("all is counted", lambda: total(metrics(server), "footpath_actions_received_total") == 60)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not children.exists():
        pytest.skip("NOT TESTED: the death of a worker; finding it needs Linux's /proc")
    workers = [
        int(child)
        for child in children.read_text(encoding="utf-8").split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)

    def replaced() -> bool:
        try:
            return metrics(server)["footpath_server_processes"] == 2 and not Path(f"/proc/{workers[0]}").exists()
        except httpx.TransportError:
            return False

    wait_until("another has taken its place", replaced, 40)
    for _ in range(4):
        assert total(metrics(server), "footpath_actions_received_total") == 60


def test_a_slow_read_is_told_without_names(start: Start) -> None:
    """A read over the time that is set is logged with how it was asked and not for whom; one within it is not."""
    server = start(environment={"FOOTPATH_SLOW_READ_SECONDS": "0.000001"})
    assert server.retrieve(userId="somebody", logType="click").status_code == 200
    wait_until("it is told", lambda: server.events("slow read"))
    (told,) = server.events("slow read")
    assert told["asked"] == ["logType", "userId"]
    assert told["seconds"] >= 0
    assert "somebody" not in server.log.read_text(encoding="utf-8")
    quick = start()
    assert quick.retrieve(userId="somebody").status_code == 200
    quick.stop()
    assert not quick.events("slow read")


def test_what_was_refused_is_told_in_one_line(start: Start) -> None:
    """However many requests were refused, when the server stops it has told of them in one line, by their codes."""
    server = start()
    for _ in range(50):
        assert server.submit(b"no JSON").status_code == 400
    assert server.submit(batch(1)).status_code == 200
    assert server.stop() == 0
    (told,) = server.events("refused since the last such line")
    assert (told["not_json"], told["rejected_bad_time"]) == (50, 1)
    assert len(server.log.read_text(encoding="utf-8").splitlines()) < 20
