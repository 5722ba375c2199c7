"""Connections that end early, say too much, or are not HTTP: the server answers what it can and lives on.

Raw sockets, because a client library would not send most of this. Leaves out slow clients.
"""

import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.system.conftest import Server, Start, wait_until

TIME = "2018-10-20T21:37:28-06:00"


def body(user: str, count: int = 1) -> bytes:
    """A request body with so many actions."""
    actions = [{"time": TIME, "type": "CLICK", "properties": {"text": "x" * 100}}] * count
    return json.dumps({"userId": user, "sessionId": "s", "actions": actions}).encode()


def post(content: bytes, *headers: str, version: str = "1.1") -> bytes:
    """A whole request to submit."""
    lines = [f"POST /api/submitlogs HTTP/{version}", "Host: x", *headers]
    if not any("length" in line.lower() or "transfer" in line.lower() for line in headers):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def get(query: str, *headers: str) -> bytes:
    """A whole request to read."""
    return "\r\n".join([f"GET /api/retrievelogs?{query} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):  # it closes at once on what is not HTTP
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer that says its length."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(1 << 16)
        assert piece, f"the server closed after {got!r}"
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    length = int(found[1]) if found else 0
    while len(rest) < length:
        rest += connection.recv(1 << 16)
    assert len(rest) == length, "more came than one answer"
    return int(head.split()[1]), rest


def statuses(answers: bytes) -> list[int]:
    """The statuses of the answers in what a connection gave."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answers)]


def count(server: Server, user: str) -> int:
    """How many actions of a user are stored."""
    return sum(len(found["actions"]) for found in server.retrieve(userId=user).json())


@pytest.fixture(autouse=True)
def lives_on(server: Server) -> Iterator[None]:
    """After every test the same process answers, takes an action and finds it, and has logged no fault of its own."""
    yield
    before = count(server, "lives on")
    assert server.submit(body("lives on")).status_code == 200
    assert count(server, "lives on") == before + 1
    assert server.client.get("/readyz").json() == {"status": "ready"}
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


CUT = {
    "a method": b"POS",
    "a request line": b"POST /api/submitlogs HTTP/1.1\r\n",
    "a header": b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\nContent-Le",
    "no body": post(body("cut"))[: -len(body("cut"))],
    "half a body": post(body("cut"))[:-20],
    "all but the last byte": post(body("cut"))[:-1],
    "half a chunk": post(b"ff\r\n" + body("cut")[:50], "Transfer-Encoding: chunked"),
    "all but the last chunk": post(b"%x\r\n%s\r\n" % (len(body("cut")), body("cut")), "Transfer-Encoding: chunked"),
    "half a question": b"GET /api/retrievelogs?userId=",
}


@pytest.mark.parametrize("end", ["close", "reset", "half-close"])
@pytest.mark.parametrize("piece", CUT.values(), ids=CUT.keys())
def test_a_request_that_is_cut_stores_nothing(server: Server, piece: bytes, end: str) -> None:
    """A client that leaves in the middle of its request has nothing stored."""
    with server.connect() as connection:
        connection.sendall(piece)
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end == "half-close":
            connection.shutdown(socket.SHUT_WR)
            assert 200 not in statuses(read_all(connection))
    assert count(server, "cut") == 0


def test_two_requests_on_one_connection(server: Server) -> None:
    """A connection is kept: what one request stored, the next on the same connection finds."""
    with server.connect() as connection:
        for number in range(1, 4):
            connection.sendall(post(body("kept")))
            assert read_answer(connection)[0] == 200
            connection.sendall(get("userId=kept&limit=100"))
            status, found = read_answer(connection)
            assert (status, len(json.loads(found)[0]["actions"])) == (200, number)


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """Requests that are sent without waiting are all answered, in their order."""
    with server.connect() as connection:
        connection.sendall(
            post(body("pipe"))
            + get("userId=pipe&limit=1")
            + post(b"not JSON")
            + get("colour=red")
            + post(body("pipe", 3))
            + get("userId=pipe&limit=100", "Connection: close")
        )
        answers = read_all(connection)
    assert statuses(answers) == [200, 200, 400, 400, 200, 200]
    assert answers.count(b'"type":"CLICK"') == 1 + 4


def test_a_hundred_pipelined_posts_are_all_stored(server: Server) -> None:
    """A hundred requests in one piece are a hundred answers and a hundred actions."""
    with server.connect() as connection:
        connection.sendall(post(body("hundred")) * 99 + post(body("hundred"), "Connection: close"))
        assert statuses(read_all(connection)) == [200] * 100
    assert count(server, "hundred") == 100


def test_a_request_byte_by_byte(server: Server) -> None:
    """A request that comes in single bytes is one request."""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(body("bytes")):
            connection.sendall(bytes([byte]))
        assert read_answer(connection)[0] == 200
    assert count(server, "bytes") == 1


def test_expect_100_continue(server: Server) -> None:
    """A client that asks first is told to go on, and then answered."""
    content = body("expect")
    with server.connect() as connection:
        connection.sendall(post(content, "Expect: 100-continue", f"Content-Length: {len(content)}")[: -len(content)])
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(content)
        assert read_answer(connection)[0] == 200
    assert count(server, "expect") == 1


def test_expect_100_continue_of_too_much(server: Server) -> None:
    """A client that asks first whether it may send too much is refused before it sends it."""
    with server.connect() as connection:
        connection.sendall(post(b"", "Expect: 100-continue", "Content-Length: 99999999"))
        status, told = read_answer(connection)
    assert (status, json.loads(told)["code"]) == (413, "too_large")


def test_http_1_0(server: Server) -> None:
    """An HTTP/1.0 request is answered, and the connection is closed."""
    with server.connect() as connection:
        connection.sendall(post(body("old"), version="1.0"))
        assert statuses(read_all(connection)) == [200]
    assert count(server, "old") == 1


HIDDEN = post(body("hidden"))
NOT_HTTP = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "a Redis command": b"*1\r\n$4\r\nPING\r\n",
    "an empty method": b" / HTTP/1.1\r\n\r\n",
    "a version that is none": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a length and chunks": post(b"0\r\n\r\n" + HIDDEN, "Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunks and a length": post(b"0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked", "Content-Length: 5"),
    "two lengths": post(b"[]" + HIDDEN, "Content-Length: 2", "Content-Length: 500"),
    "a negative length": post(HIDDEN, "Content-Length: -1"),
    "a length with a plus": post(b"[]" + HIDDEN, "Content-Length: +2"),
    "a length in hexadecimal": post(b"[]" + HIDDEN, "Content-Length: 0x2"),
    "a length of 30 digits": post(HIDDEN, "Content-Length: " + "9" * 30),
    "a coding that is not chunked": post(b"0\r\n\r\n" + HIDDEN, "Transfer-Encoding: xchunked"),
    "chunked twice": post(b"0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked, identity"),
    "a chunk size that is none": post(b"xyz\r\n[]\r\n0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked"),
    "a negative chunk size": post(b"-1\r\n[]\r\n0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked"),
    "a chunk longer than it says": post(b"2\r\n[] \r\n0\r\n\r\n" + HIDDEN, "Transfer-Encoding: chunked"),
    "a chunk size of 20 digits": post(b"F" * 20 + b"\r\n" + HIDDEN, "Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_not_http_is_refused_once(server: Server, sent: bytes) -> None:
    """What is not HTTP, or says its length in two ways, gets no 200, no 5xx, and hides no second request."""
    with server.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    found = statuses(answer)
    assert len(found) <= 1
    assert all(400 <= status < 500 for status in found)
    if found:
        assert json.loads(answer.partition(b"\r\n\r\n")[2]).keys() == {"code", "message"}
    assert count(server, "hidden") == 0


def long_head(line: str, size: int) -> bytes:
    """A request to read with a head of about so many bytes."""
    if line == "url":
        return get("userId=" + "u" * size, "Connection: close")
    if line == "header":
        return get("userId=u", "X-Long: " + "x" * size, "Connection: close")
    number = 95 if size < (1 << 20) else size // 12
    return get(
        "userId=u", *(f"X-{place}: {'x' * (size // number - 8)}" for place in range(number)), "Connection: close"
    )


@pytest.mark.parametrize("line", ["url", "header", "headers"])
def test_a_head_without_end_is_refused(server: Server, line: str) -> None:
    """A request line or headers of 8 MiB or 34 KiB are refused with 431; of 31 KiB they are read."""
    for size, expected in ((8 << 20, {431}), (34 << 10, {431}), (31 << 10, {200, 400})):
        with server.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(long_head(line, size))
            answer = read_all(connection)
        assert len(statuses(answer)) == 1
        assert set(statuses(answer)) <= expected
        if expected == {431}:
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "head_too_large"


def test_a_head_behind_a_large_body(server: Server) -> None:
    """What counts against a head is the head: not the body before it in the same piece, and no less behind another."""
    with server.connect() as connection:
        whole = post(body("behind", 600)) + get("userId=behind&limit=1", "Connection: close")
        connection.sendall(whole[:-20])
        assert read_answer(connection)[0] == 200
        connection.sendall(whole[-20:])
        assert statuses(read_all(connection)) == [200]
    for line in ("url", "header", "headers"):
        with server.connect() as connection:
            connection.sendall(get("userId=u&limit=1") + long_head(line, 34 << 10))
            assert 200 not in statuses(read_all(connection))[1:]


def test_a_hundred_headers_are_enough(server: Server) -> None:
    """A request with 100 headers is read; with 101 it is refused with 431."""
    for number, expected in ((100, 200), (101, 431)):
        headers = [f"X-{place}: x" for place in range(number - 2)]
        with server.connect() as connection:
            connection.sendall(get("userId=u", *headers, "Connection: close"))
            assert statuses(read_all(connection)) == [expected]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0"])
def test_an_upgrade_is_not_followed(server: Server, protocol: str) -> None:
    """A request that offers another protocol is answered in HTTP/1.1."""
    headers = (
        "Connection: Upgrade, close",
        f"Upgrade: {protocol}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: eA==",
    )
    with server.connect() as connection:
        connection.sendall(get("userId=nobody", *headers))
        assert statuses(read_all(connection)) == [200]


class Reader:
    """A client that asks for much, takes little of it and leaves."""

    def __init__(self, server: Server, accept: str) -> None:
        """Ask, and take the first bytes of the answer."""
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.connection.settimeout(20)
        self.connection.connect(("127.0.0.1", server.port))
        self.connection.sendall(get("logType=click", f"Accept: {accept}"))
        assert self.connection.recv(15) == b"HTTP/1.1 200 OK"

    def leave(self, how: str) -> None:
        """Close, in order or not."""
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


@pytest.fixture(scope="module")
def narrow(start: Start) -> Server:
    """A server that answers one read at a time, with 30 MB to read, and cuts off who takes nothing for two seconds."""
    server = start(
        environment={"FOOTPATH_READERS": "1", "FOOTPATH_FLUSH_SECONDS": "0.1", "FOOTPATH_STALLED_SECONDS": "2"}
    )
    for number in range(15):
        assert server.submit(body(f"many {number}", 10_000)).status_code == 200
    wait_until("it is in parts", server.parts)
    return server


@pytest.mark.parametrize(
    "accept", ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"]
)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_reader_that_leaves_frees_its_place(narrow: Server, accept: str, how: str) -> None:
    """With one reader's place, clients that leave in the middle of their answers do not keep the next from its own."""
    for _ in range(2):
        Reader(narrow, accept).leave(how)
    started = time.monotonic()
    answer = narrow.retrieve(userId="many 3", limit=5)
    assert (answer.status_code, len(answer.json()[0]["actions"])) == (200, 5)
    assert time.monotonic() - started < 10


def test_a_reader_that_takes_nothing_is_cut_off(narrow: Server) -> None:
    """With one reader's place, a client that stops reading keeps the next waiting for seconds, and is then cut off."""
    reader = Reader(narrow, "application/json")
    answer = narrow.retrieve(userId="many 3", limit=5)
    assert (answer.status_code, len(answer.json()[0]["actions"])) == (200, 5)
    with reader.connection as connection:
        tail = b""
        while piece := connection.recv(1 << 20):
            tail = (tail + piece)[-5:]
    assert tail != b"0\r\n\r\n"  # the answer says itself that it is not whole


def test_readers_that_wait_and_leave_are_not_in_the_way(narrow: Server) -> None:
    """Clients that leave while they wait for the one reader's place do not keep it."""
    reader = Reader(narrow, "application/json")
    waiting = [narrow.connect() for _ in range(5)]
    for connection in waiting:
        connection.sendall(get("logType=click"))
    assert narrow.submit(body("meanwhile")).status_code == 200  # writes do not wait for readers
    for connection in waiting:
        connection.close()
    reader.leave("close")
    assert narrow.retrieve(userId="many 3", limit=5).status_code == 200
    assert "Traceback" not in narrow.log.read_text(encoding="utf-8")
