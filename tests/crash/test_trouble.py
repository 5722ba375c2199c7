"""Disks that are slow, fail for a while, or are full, under a real server: it says so, and heals by itself.

FULLS sets how often the disk is filled.
"""

import http.client
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.crash.disks import full, need, small_disk
from tests.crash.load import Load
from tests.crash.oracle import NOTHING, Notes
from tests.crash.process import WAIT_SECONDS, Server, check_folder, wait_for
from tests.proof import SEED, publish, times

FULLS = times("FULLS", 1)
SLOW = 0.2  # seconds of a slow disk's fdatasync
HEAL_SECONDS = 5.0


def under(fault: str) -> list[str]:
    """strace in front of a command, with a fault in every fdatasync that it names; the command keeps its process id."""
    need("strace")
    command = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fdatasync"]
    return [*command, "-e", f"inject=fdatasync:{fault}"]


@contextmanager
def serving(folder: Path, fault: str = "", **settings: str) -> Iterator[Server]:
    """A server over a folder, with a fault in its fdatasync. Its log is on the same disk, as it often is."""
    server = Server(folder, log=folder.with_suffix(".log"), under=under(fault) if fault else (), **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.torture
def test_a_slow_disk_holds_up_nothing_but_its_acknowledgements(tmp_path: Path) -> None:
    """With 200 ms an fdatasync, acknowledgements take as long and are right, and /healthz answers at once meanwhile."""
    notes = Notes(tmp_path / "acknowledged")
    waits: list[float] = []
    with serving(tmp_path / "data", f"delay_exit={SLOW * 1e6:.0f}") as server:
        load = Load(server, notes, SEED, connections=8, cut=0.0)
        with load.running():
            wait_for("acknowledgements", lambda: notes.acknowledged)
            began, before = time.monotonic(), load.requests
            while time.monotonic() < began + 20 * SLOW:
                asked = time.monotonic()
                assert server.get("/healthz")[0] == 200
                waits.append(time.monotonic() - asked)
                time.sleep(0.01)
            rate = (load.requests - before) / (time.monotonic() - began)
    with serving(tmp_path / "data") as server:
        verdict = notes.judge(server.everything())
    notes.close()
    publish(
        "slow-disk",
        fdatasync_ms=SLOW * 1000,
        healthz_p50_ms=round(statistics.median(waits) * 1000, 1),
        healthz_p99_ms=round(sorted(waits)[len(waits) * 99 // 100] * 1000, 1),
        requests_a_second=round(rate, 1),
        **verdict._asdict(),
    )
    assert rate <= load.connections / SLOW, "acknowledgements did not wait for the disk: the fault was not there"
    assert statistics.median(waits) < SLOW / 4
    assert verdict.clean


@pytest.mark.torture  # test_fsync.py has the short form
def test_an_error_of_the_disk_is_no_yes_until_it_is_mended(tmp_path: Path) -> None:
    """After a failed fdatasync nothing is acknowledged until the journal has mended itself; all that was, is kept."""
    notes = Notes(tmp_path / "acknowledged")
    with serving(tmp_path / "data", "error=EIO:when=20+25", FOOTPATH_FLUSH_SECONDS="3600") as server:
        load = Load(server, notes, SEED, connections=8, cut=0.0)
        failures: list[tuple[int, int]] = []
        with load.running():
            for _ in range(3):
                wait_for("a failure", lambda: not server.is_ready())
                at_first = len(notes.acknowledged)
                time.sleep(0.5)  # half of what the journal waits before it tries to mend itself
                failures.append((at_first, len(notes.acknowledged)))
                wait_for("the journal to mend itself", server.is_ready)
    with serving(tmp_path / "data") as server:
        verdict = notes.judge(server.everything())
    notes.close()
    publish("disk-errors", failures=len(failures), refused=load.refused, false_yes=-verdict.lost, **verdict._asdict())
    for at_first, later in failures:
        assert later - at_first <= 20 * load.connections, "acknowledged while the journal was in trouble"
    assert load.refused > 0
    assert verdict.clean


def post(server: Server, number: int) -> int:
    """The status of posting an action with this number."""
    action = {"time": "2018-10-20T21:37:28-06:00", "type": "VIEW", "properties": {"probe": number}}
    body = json.dumps({"userId": "probe", "sessionId": "s", "actions": [action]})
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)) as connection:
        connection.request("POST", "/api/submitlogs", body)
        return connection.getresponse().status


@pytest.mark.torture
def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """With a disk that is full, reads go on and no write is falsely acknowledged; with space, writes are back in 5 s.

    Flushes and merges that fail on the full disk leave nothing broken behind.
    """
    total = NOTHING
    healed: list[float] = []
    reads = refused = 0
    with small_disk(tmp_path, 64) as disk:
        notes = Notes(tmp_path / "acknowledged")
        with serving(disk / "data") as server:
            load = Load(server, notes, SEED, connections=8, pace=0.02, cut=0.0)
            for _ in range(FULLS):
                with load.running():
                    began = len(notes.acknowledged)
                    wait_for("acknowledgements", lambda began=began: len(notes.acknowledged) > began + 300)  # type: ignore[misc]
                    with full(disk):
                        before = load.refused
                        wait_for("writes to be refused", lambda before=before: load.refused > before + 8)  # type: ignore[misc]
                        time.sleep(3)  # the keeper tries to flush and merge meanwhile
                        kept = len(notes.acknowledged)
                        for _ in range(20):
                            status, body = server.get("/api/retrievelogs?userId=user+7")
                            assert status == 200, body
                            reads += 1
                        assert notes.judge(server.everything(), kept).lost == 0
                    freed = time.monotonic()
                    acknowledged = len(notes.acknowledged)
                    wait_for("writes", lambda acknowledged=acknowledged: len(notes.acknowledged) > acknowledged)  # type: ignore[misc]
                    healed.append(time.monotonic() - freed)
                refused = load.refused
            server.settle()
            total = notes.judge(server.everything())
        checked = check_folder(disk / "data")
        notes.close()
    publish(
        "disk-full",
        fills=FULLS,
        refused=refused,
        reads_while_full=reads,
        longest_heal_seconds=round(max(healed), 2),
        **total._asdict(),
    )
    assert total.clean
    assert checked.returncode == 0, checked.stdout
    assert max(healed) < HEAL_SECONDS


def test_a_start_on_a_full_disk_says_what_is_wrong(tmp_path: Path) -> None:
    """A server that is started on a full disk ends with a sentence that says so, and starts when there is space."""
    with small_disk(tmp_path, 16) as disk:
        with serving(disk / "data") as server:
            assert post(server, 1) == 200
        with full(disk):
            server.begin()
            assert server.process is not None
            assert server.process.wait(WAIT_SECONDS) != 0
            said = server.log.read_text(encoding="utf-8")
            assert "No space left on device" in said or "the disk is full" in said
            assert str(disk / "data") in said
            assert "Traceback" not in said
        with serving(disk / "data") as again:
            assert b'"probe": 1' in again.everything().replace(b'"probe":1', b'"probe": 1')
