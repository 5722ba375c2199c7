"""A client that goes before its answer has begun is read for no longer: its place is the next one's within a second."""

import signal
import socket
import sys
import time
from contextlib import ExitStack

import pytest

from tests.system.conftest import Server, Start, wait_until

CLIENTS = 50
BATCHES = 150  # of 8,000 actions that stay in the journal: looking through all of them takes five seconds or so
AT_ONCE = 2.0  # s: a second, and one for a busy machine
ACTIONS = [
    {"time": f"2018-10-20T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z", "type": "CLICK"} for n in range(0, 80_000, 10)
]
SLOW = [
    "/api/retrievelogs?logType=click",
    "/api/retrievelogs?logType=click&limit=10",
    "/api/counts?fromTime=2018-10-20&toTime=2018-10-20",
    "/api/clicks?page=p&fromTime=2018-10-20&toTime=2018-10-20",
]


@pytest.fixture
def server(start: Start) -> Server:
    """A server whose reads of everything take seconds before their first byte."""
    settings = {"FLUSH_SECONDS": "3600", "FLUSH_ACTIONS": "100000000", "READERS": "4"}
    made = start(environment={f"FOOTPATH_{name}": value for name, value in settings.items()})
    for number in range(BATCHES):
        assert made.submit({"userId": f"u{number}", "sessionId": "s", "actions": ACTIONS}).status_code == 200
    return made


def asking(server: Server, path: str) -> socket.socket:
    """A connection on which something was asked."""
    connection = server.connect()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def reads(server: Server) -> tuple[int, int]:
    """How many reads run and wait."""
    told = dict(line.split(" ") for line in server.client.get("/metrics").text.splitlines() if line.startswith("foot"))
    return int(float(told["footpath_reads_running"])), int(float(told["footpath_reads_waiting"]))


def test_clients_that_leave_hold_no_place(server: Server) -> None:
    """With every place taken and the queue long, all are free within a second of the clients' leaving."""
    began = time.monotonic()
    assert len(server.client.get(SLOW[0]).content) > 1_000_000
    usual = time.monotonic() - began
    assert usual > AT_ONCE, f"looking through everything took {usual:.1f} s: too short to show anything"
    with ExitStack() as clients:
        for number in range(CLIENTS):
            clients.enter_context(asking(server, SLOW[number % len(SLOW)]))
        wait_until("all have come", lambda: sum(reads(server)) == CLIENTS)
        assert reads(server)[0] == 4
    left = time.monotonic()
    wait_until("nobody is read for", lambda: reads(server) == (0, 0))
    assert len(server.retrieve(userId="u1", limit=10).json()) == 1
    assert time.monotonic() - left < AT_ONCE
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: Windows has no signals like these")
@pytest.mark.parametrize("path", [SLOW[0], "/api/tail?after=0&logType=click"])
def test_a_stop_waits_for_nobody_who_has_gone(server: Server, path: str) -> None:
    """Told to stop while it reads for a client that leaves, a server ends at once, and in order."""
    with asking(server, path):
        wait_until("it is read for", lambda: reads(server)[0] == 1)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert time.monotonic() - told < AT_ONCE + 1
    assert [event["reason"] for event in server.events("stopped")] == ["SIGTERM"]
