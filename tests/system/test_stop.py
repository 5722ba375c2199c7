"""A server that is told to stop finishes what it is at, takes no more, and loses nothing; told twice it ends now."""

import contextlib
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.conftest import Server, Start, wait_until

TIME = "2018-10-20T21:37:28-06:00"
RESTARTS = 4
ACTION = {"time": TIME, "type": "CLICK", "properties": {"n": 1}}
BODY = json.dumps({"userId": "slow", "sessionId": "s", "actions": [ACTION]}).encode()
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: Windows has no signals like these")
pytestmark = POSIX


@contextlib.contextmanager
def half_a_request(server: Server) -> Iterator[socket.socket]:
    """A connection on which all but the end of a body was sent, and the server has seen that."""
    with server.connect() as connection:
        connection.sendall(b"POST /api/submitlogs HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n")
        connection.sendall(b"content-length: %d\r\n\r\n" % len(BODY))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(BODY[:-10])
        yield connection


def refuses(server: Server) -> bool:
    """Whether it takes no connection."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def rest(connection: socket.socket) -> bytes:
    """All that is still answered on a connection."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_that_run_are_finished(start: Start, workers: str) -> None:
    """After SIGTERM no connection is taken, a request whose body is half sent is answered with 200; the code is 0."""
    server = start(environment={"FOOTPATH_WORKERS": workers})
    with half_a_request(server) as connection:
        server.process.send_signal(signal.SIGTERM)
        wait_until("no connection is taken", lambda: refuses(server))
        assert server.process.poll() is None
        connection.sendall(BODY[-10:])
        answer = rest(connection)
    assert b"HTTP/1.1 200" in answer
    assert b'{"message":"submitted","accepted":1' in answer
    assert server.process.wait(30) == 0
    assert [event["reason"] for event in server.events("stopped")] == ["SIGTERM"]
    assert "Traceback" not in server.log.read_text(encoding="utf-8")
    server.restart()
    (found,) = server.retrieve(userId="slow").json()
    assert found["actions"] == [ACTION]


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGTERM), ("1", signal.SIGINT), ("2", signal.SIGTERM)])
def test_a_second_signal_ends_it_at_once(start: Start, workers: str, number: signal.Signals) -> None:
    """While it waits for a request, a second signal ends it with 1; another can start, and has what it said yes to."""
    server = start(environment={"FOOTPATH_WORKERS": workers})
    assert server.submit({"userId": "kept", "sessionId": "s", "actions": [ACTION]}).status_code == 200
    with half_a_request(server) as connection:
        server.process.send_signal(number)
        wait_until("no connection is taken", lambda: refuses(server))
        told = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 1
        assert b"200" not in rest(connection)
    assert time.monotonic() - told < 10
    assert server.events("stopped at once")
    server.restart()
    assert server.retrieve(userId="kept").json()[0]["actions"] == [ACTION]
    assert server.retrieve(userId="slow").json() == []


class Client(threading.Thread):
    """Sends batches to whatever serves at the moment, and notes what was acknowledged."""

    def __init__(self, url: Callable[[], str], place: int) -> None:
        """Prepare to send to what `url` gives."""
        super().__init__()
        self._url = url
        self._place = place
        self.told = threading.Event()
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()

    def run(self) -> None:
        """Send."""
        number = self._place
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self.told.wait(0.01):
                number += 10
                self.sent.add(number)
                action: dict[str, Any] = {**ACTION, "properties": {"n": number}}
                body = {"userId": f"u{number % 7}", "sessionId": "s", "actions": [action]}
                try:
                    answer = client.post(f"{self._url()}/api/submitlogs", json=body)
                except httpx.TransportError:  # it is being restarted
                    continue
                assert answer.status_code == 200, answer.text
                self.acknowledged.add(number)


def test_nothing_is_lost_when_it_is_restarted_under_load(start: Start, tmp_path: Path) -> None:
    """Told to stop and started again while clients send, it exits with 0 each time and has what it acknowledged."""
    settings = {"FOOTPATH_FLUSH_SECONDS": "0.1", "FOOTPATH_PART_ACTIONS": "200"}
    server = start(tmp_path / "data", environment=settings)
    clients = [Client(lambda: server.url, place) for place in range(6)]
    for client in clients:
        client.start()
    try:
        for _ in range(RESTARTS):
            before = sum(len(client.acknowledged) for client in clients)
            wait_until("more was acknowledged", lambda b=before: sum(len(c.acknowledged) for c in clients) > b + 50)  # type: ignore[misc]
            assert server.stop() == 0
            server.start()
    finally:
        for client in clients:
            client.told.set()
        for client in clients:
            client.join()
    answer = server.retrieve(accept="application/x-ndjson", logType="click")
    found = [json.loads(line)["properties"]["n"] for line in answer.text.splitlines()]
    assert len(found) == len(set(found))
    acknowledged = {n for client in clients for n in client.acknowledged}
    assert acknowledged <= set(found) <= {n for client in clients for n in client.sent}
    assert len(server.events("stopped")) == RESTARTS
