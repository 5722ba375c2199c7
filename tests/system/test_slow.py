"""Clients that are slow, silent or too many are cut off with a reason; those that are only slow get through."""

import json
import re
import socket
import time

import pytest

from tests.system.conftest import Server, Start

TIME = "2018-10-20T21:37:28Z"
BODY = json.dumps({"userId": "slow", "sessionId": "s", "actions": [{"time": TIME, "type": "VIEW"}]}).encode()
HEAD = b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def impatient(start: Start) -> Server:
    """A server that waits for a second or two only, and takes five connections."""
    names = {
        "HEAD_SECONDS": "1",
        "BODY_SECONDS": "1.5",
        "IDLE_SECONDS": "1.5",
        "CONNECTIONS": "5",
        "HELD_BYTES": "200000",
    }
    return start(environment={f"FOOTPATH_{name}": value for name, value in names.items()})


def until_closed(connection: socket.socket) -> tuple[bytes, float]:
    """What comes until the server closes, and after how many seconds it did."""
    began = time.monotonic()
    got = b""
    while piece := connection.recv(1 << 16):
        got += piece
    return got, time.monotonic() - began


def code(answer: bytes) -> tuple[int, str]:
    """Status and code of a refusal."""
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)["code"]


@pytest.mark.parametrize("piece", [b"POST", b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_is_cut(impatient: Server, piece: bytes) -> None:
    """A head that stops is answered with 408 after head_seconds, and the connection is closed."""
    with impatient.connect() as connection:
        connection.sendall(piece)
        answer, seconds = until_closed(connection)
    assert code(answer) == (408, "too_slow")
    assert 1 <= seconds < 4


def test_dripping_does_not_lengthen_a_head(impatient: Server) -> None:
    """A head of which a byte comes now and then is cut as early as one that stops."""
    with impatient.connect() as connection:
        began = time.monotonic()
        connection.settimeout(0.1)
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        answer = b""
        while not answer and time.monotonic() < began + 10:
            connection.sendall(b"x")
            try:
                answer = connection.recv(1 << 16)
            except TimeoutError:
                continue
        assert code(answer) == (408, "too_slow")
        assert time.monotonic() - began < 4


@pytest.mark.parametrize("path", [b"/api/submitlogs", b"/healthz"])
def test_a_body_that_does_not_end_is_cut(impatient: Server, path: bytes) -> None:
    """A body that stops is cut after body_seconds, whatever the route."""
    with impatient.connect() as connection:
        connection.sendall((HEAD % 1000).replace(b"/api/submitlogs", path) + b"[")
        answer, seconds = until_closed(connection)
    assert b"HTTP/1.1 408 " in answer or path == b"/healthz"
    assert 1.5 <= seconds < 4.5


def test_a_body_that_does_not_end_cuts_a_stream(impatient: Server) -> None:
    """A tail whose request has a body that stops is closed after body_seconds, with no second answer in the first."""
    with impatient.connect() as connection:
        connection.sendall(b"GET /api/tail HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
        answer, seconds = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"0\r\n\r\n")
    assert 1.5 <= seconds < 4.5


def test_a_slow_body_gets_through(impatient: Server) -> None:
    """A body that takes longer than body_seconds, but comes with more than 1 KB a second, is stored."""
    padded = BODY[:-1] + b" " * 20_000 + b"}"
    with impatient.connect() as connection:
        connection.sendall(HEAD % len(padded))
        for start in range(0, len(padded), 2_000):
            connection.sendall(padded[start : start + 2_000])
            time.sleep(0.3)  # the case itself: a slow line
        assert b'"accepted":1' in connection.recv(1 << 16)


def test_a_silent_connection_is_closed(impatient: Server) -> None:
    """A connection on which nothing is asked is closed after idle_seconds, before and after a request."""
    with impatient.connect() as connection:
        answer, seconds = until_closed(connection)
        assert answer == b""
        assert 1.5 <= seconds < 4.5
    with impatient.connect() as connection:
        connection.sendall(HEAD % len(BODY) + BODY)
        answer, seconds = until_closed(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert 1.5 <= seconds < 4.5


def test_more_connections_than_allowed_are_told_so(impatient: Server) -> None:
    """Beyond the limit a connection gets 503 with Retry-After at once; when others go, new ones are served."""
    impatient.client.close()
    open_ones = [impatient.connect() for _ in range(5)]
    try:
        for connection in open_ones:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = [connection.recv(1 << 16) for connection in open_ones]
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        with impatient.connect() as connection:
            answer, _ = until_closed(connection)
        assert code(answer) == (503, "busy")
        assert re.search(rb"(?i)retry-after: \d+", answer)
    finally:
        for connection in open_ones:
            connection.close()
    deadline = time.monotonic() + 10
    served = b""
    while not served.startswith(b"HTTP/1.1 200 ") and time.monotonic() < deadline:
        with impatient.connect() as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            served = connection.recv(1 << 16)
    assert served.startswith(b"HTTP/1.1 200 ")


def test_bodies_under_way_are_bounded(impatient: Server) -> None:
    """When unfinished bodies hold more than held_bytes, the next piece is refused with 503; then all goes on."""
    with impatient.connect() as first, impatient.connect() as second:
        first.sendall(HEAD % 500_000 + b" " * 150_000)
        second.sendall(HEAD % 500_000 + b" " * 150_000)
        refused = [connection for connection in (first, second) if _answered(connection)]
        assert len(refused) == 1
        assert code(refused[0].recv(1 << 16)) == (503, "busy")
    with impatient.connect() as connection:
        connection.sendall(HEAD % (len(BODY) + 150_000) + b" " * 150_000 + BODY)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def _answered(connection: socket.socket) -> bool:
    """Whether an answer comes within a second."""
    connection.settimeout(1.0)
    try:
        return bool(connection.recv(1 << 16, socket.MSG_PEEK))
    except TimeoutError:
        return False
