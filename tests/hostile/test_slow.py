"""Hundreds of slow clients of each kind do not slow the others down, nor take the files that reads need.

`make hostile` does it with 1,000 connections of slowhttptest (bench/slow_clients); cutting them is `system/test_slow`.
"""

import json
import resource
import socket
import statistics
import time
from contextlib import ExitStack

import pytest

from tests.hostile.conftest import alive
from tests.system.conftest import Server, Start, wait_until

SLOW = 300
ACTION = {"time": "2018-10-20T21:37:28Z", "type": "CLICK", "properties": {"text": "x" * 1_000}}
HEADS = b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\n"
KINDS = {
    "heads": HEADS + b"X-Slow: a",
    "bodies": HEADS + b"Content-Length: 5000\r\n\r\n[",
    "readers": b"GET /api/retrievelogs?logType=click HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that was started with room for 256 open files, which is what a shell may give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        made = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in range(5):
        body = {"userId": f"u{number}", "sessionId": "s", "actions": [ACTION] * 2_000}
        assert made.submit(body).status_code == 200
    return made


def ack_seconds(server: Server) -> float:
    """What 95 of a hundred keep to: how long an action takes to be acknowledged."""
    took = []
    for _ in range(150):
        began = time.perf_counter()
        assert server.submit({"userId": "normal", "sessionId": "s", "actions": [ACTION]}).status_code == 200
        took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=20)[-1]


@pytest.mark.parametrize("piece", KINDS.values(), ids=KINDS.keys())
def test_slow_clients_cost_the_others_little(server: Server, piece: bytes) -> None:
    """Beside 300 slow clients of one kind an action is acknowledged in three times the time, or 250 ms, at most."""
    before = ack_seconds(server)
    with ExitStack() as stack:
        for _ in range(SLOW):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(piece)
        beside = ack_seconds(server)
        print(json.dumps({"before_ms": before * 1000, "beside_ms": beside * 1000}))
        assert beside <= max(3 * before, 0.25)
    wait_until("the places of readers are free", lambda: server.retrieve(userId="u1", limit=1).status_code == 200)
    assert alive(server)
