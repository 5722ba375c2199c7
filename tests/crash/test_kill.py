"""Real servers and keepers are killed with `kill -9` at random moments under load, and nothing that was said is untrue.

KILLS sets the number of kills, SEED the seed that is printed. Each `ROUND` kills are judged, and a new folder begun.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.crash.load import Load
from tests.crash.oracle import NOTHING, Notes
from tests.crash.process import Server, check_folder, is_keeper, keepers_of, processes_of, wait_for
from tests.proof import SEED, publish, times

KILLS = times("KILLS", 50)
ROUND = 50
CONNECTIONS = 32
PACE = 0.04  # seconds between two requests of a connection: some 2,000 actions a second in all

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: kills; they need Linux's /proc")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that runs."""
    made = Server(tmp_path / "data")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def kill_all_ways(server: Server, load: Load, kills: int, chance: random.Random) -> Counter[str]:
    """Kill whomever chance names, so many times; how often whom."""
    done: Counter[str] = Counter()
    keepers_in_a_row = 0  # the server waits longer each time before it starts a keeper that died at once
    with load.running():
        for _ in range(kills):
            began = len(load.notes.acknowledged)
            wait_for("an acknowledgement", lambda began=began: len(load.notes.acknowledged) > began)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.5))
            whom = chance.choice(("server", "server", "both", "both, and while starting", "keeper", "keeper"))
            if keepers_in_a_row == 2:
                whom = "server"
            keepers_in_a_row = keepers_in_a_row + 1 if whom == "keeper" else 0
            server.kill(whom, chance.uniform(0, 0.8))
            done[whom] += 1
    return done


def test_what_was_acknowledged_survives_kills(tmp_path: Path) -> None:
    """After kills of server, keeper and both under load, every acknowledged action is there once and unaltered.

    One that was not acknowledged is there once at most, each session can be read back as soon as it was acknowledged,
    and the parts folder ends whole and without leftovers.
    """
    chance = random.Random(SEED)
    done: Counter[str] = Counter()
    total = NOTHING
    requests = lost_answers = reads = 0
    for begun in range(0, KILLS, ROUND):
        server = Server(tmp_path / f"data-{begun}")
        notes = Notes(tmp_path / f"acknowledged-{begun}")
        load = Load(server, notes, SEED + begun, CONNECTIONS, PACE, cut=0.05)
        try:
            server.start()
            done += kill_all_ways(server, load, min(ROUND, KILLS - begun), chance)
            server.settle()
            verdict = notes.judge(server.everything())
            print(f"{done.total()} kills: {verdict}", flush=True)
            assert verdict.clean, f"{verdict}; seed {SEED}"
            checked = check_folder(server.folder)
            assert checked.returncode == 0, checked.stdout
        finally:
            server.stop()
            notes.close()
        total += verdict
        requests, lost_answers, reads = requests + load.requests, lost_answers + load.lost_answers, reads + load.reads
        publish(
            "kills",
            kills=done.total(),
            **total._asdict(),
            whom=done,
            requests=requests,
            answers_lost=lost_answers,
            reads=reads,
        )
    assert reads > 0
    assert total.found >= total.acknowledged > 100


def test_a_killed_server_leaves_no_keeper(server: Server) -> None:
    """The keeper of a server that was killed ends by itself, without another server."""
    keepers = keepers_of(server.pid)
    assert len(keepers) == 1
    os.kill(server.pid, signal.SIGKILL)
    wait_for("the keeper to end", lambda: not any(map(is_keeper, keepers)))


def test_a_killed_server_leaves_no_worker(tmp_path: Path) -> None:
    """When a server of several workers is killed, these and the keeper end too, and it can be started again."""
    server = Server(tmp_path / "data", FOOTPATH_WORKERS="2")
    notes = Notes(tmp_path / "acknowledged")
    try:
        server.start()
        with Load(server, notes, SEED).running():
            wait_for("actions", lambda: len(notes.acknowledged) > 100)
        group = server.pid
        os.kill(group, signal.SIGKILL)
        assert server.process is not None
        server.process.wait()
        wait_for("its processes to end", lambda: not processes_of(group))
        server.start()
        assert notes.judge(server.everything()).clean
    finally:
        server.stop()
        notes.close()


def test_a_killed_keeper_is_replaced(server: Server, tmp_path: Path) -> None:
    """After its keeper was killed the server is ready again, and the journal is flushed by another keeper."""
    numbers = count()  # so that the second load's sessions are not the first's again
    for turn in range(2):
        server.kill("keeper")
        notes = Notes(tmp_path / f"acknowledged-{turn}")
        with Load(server, notes, SEED, numbers=numbers).running():
            wait_for("actions", lambda notes=notes: len(notes.acknowledged) > 20)  # type: ignore[misc]
        notes.close()
        server.settle()
        assert server.is_ready()
