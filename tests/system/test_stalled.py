"""A client that stops taking its answer is cut off, and the place of a reader that it held goes to the next."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.system.conftest import Server, Start, wait_until

STALLED = 2.0
ACTION = {"time": "2018-10-20T21:37:28Z", "type": "CLICK", "properties": {"text": "x" * 2_000}}
ALL = b"GET /api/retrievelogs?logType=click HTTP/1.1\r\nHost: x\r\n\r\n"
BATCHES, EACH = 20, 1_000  # 40 MB: more than the buffers of both ends hold


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server with one place for readers."""
    settings = {"FOOTPATH_READERS": "1", "FOOTPATH_STALLED_SECONDS": str(STALLED)}
    made = start(environment=settings)
    fill(made)
    return made


def fill(server: Server) -> None:
    """Send it what there is to read."""
    for number in range(BATCHES):
        batch = {"userId": f"u{number}", "sessionId": "s", "actions": [ACTION] * EACH}
        assert server.submit(batch).status_code == 200


def ask(server: Server, request: bytes = ALL) -> socket.socket:
    """A client that asks for everything, and has a small buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request)
    return connection


@contextlib.contextmanager
def asking(server: Server) -> Iterator[socket.socket]:
    """A client that asks for everything, and takes the first bytes of it."""
    with ask(server) as connection:
        assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
        yield connection


def is_cut(connection: socket.socket) -> bool:
    """Whether the answer ends before its end: nothing more comes, and the last chunk has not."""
    last = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            last = (last + piece)[-5:]
    return last != b"0\r\n\r\n"


def test_the_place_of_a_stalled_reader_is_given_back(server: Server) -> None:
    """With the only place held by a client that takes nothing, the next is answered after stalled_seconds."""
    with asking(server) as connection:
        began = time.monotonic()
        answer = server.retrieve(userId="u1")
        waited = time.monotonic() - began
        assert len(json.loads(answer.content)[0]["actions"]) == EACH
        assert 0.5 * STALLED < waited < STALLED + 8
        assert is_cut(connection)
    assert server.events("cut off a client that takes nothing of its answer")
    wait_until("no read runs", lambda: "\nfootpath_reads_running 0.0" in server.client.get("/metrics").text)


def test_stalled_readers_leave_half_of_the_places(start: Start) -> None:
    """With more stalled readers than places, a page and an overview are answered at once; long answers wait."""
    server = start(environment={"FOOTPATH_READERS": "2", "FOOTPATH_WAITING_READS": "4"})
    fill(server)
    with contextlib.ExitStack() as clients:
        clients.enter_context(asking(server))
        for _ in range(2):  # these wait for the first; a third must not, since short reads have to
            clients.enter_context(ask(server))
        wait_until("they wait", lambda: "\nfootpath_reads_waiting 2.0" in server.client.get("/metrics").text)
        assert server.retrieve(logType="click").json()["code"] == "busy"
        began = time.monotonic()
        assert server.retrieve(logType="click", limit=1).status_code == 200
        assert server.client.get("/api/counts", params={"fromTime": "2018-10-20", "toTime": "2018-10-20"}).is_success
        assert time.monotonic() - began < 10  # a third of what those may take that stand in the way of a long one


def test_pages_that_nobody_takes_are_bounded(start: Start) -> None:
    """While pages that clients asked for and do not take are too many bytes, reads are refused; then all is well."""
    server = start(environment={"FOOTPATH_ANSWER_BYTES": "10000000"})
    fill(server)
    page = ALL.replace(b"logType=click", b"logType=click&limit=3000")
    with contextlib.ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(ask(server, page))
        wait_until("one is refused", lambda: server.retrieve(userId="u1", limit=1).status_code == 503)
        refused = server.retrieve(userId="u1", limit=1)
        assert (refused.json()["code"], "retry-after" in refused.headers) == ("busy", True)
        assert server.submit({"userId": "u", "sessionId": "s", "actions": [ACTION]}).status_code == 200
        assert [server.client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    wait_until("reads are served", lambda: server.retrieve(userId="u1", limit=1).status_code == 200)


def test_a_slow_reader_gets_everything(server: Server) -> None:
    """One that pauses again and again, never for stalled_seconds, takes longer than that and is not cut off."""
    with asking(server) as connection:
        began = time.monotonic()
        while time.monotonic() < began + 2 * STALLED:
            time.sleep(0.02)  # the case itself: a slow client, of 3 MB a second at most
            connection.recv(1 << 16)
        assert not is_cut(connection)
