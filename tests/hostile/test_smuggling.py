"""Requests that two machines could read differently: each is answered once or cut, and what it hides is never done.

Behind every case stands a whole request that must not be served when the case is refused: `HIDDEN`. A case that is
taken is one that RFC 9112 lets a server take; then what stands behind it is the next request, and nothing else is.
Leaves out what `tests/system/test_connections` has: those cases are refused as well, and once.
"""

import re
import socket
import time
from collections.abc import Callable

import pytest

from tests.hostile.conftest import found, read_all
from tests.system.conftest import Server

ACTION = '{"userId": "%s", "sessionId": "s", "actions": [{"time": "2018-10-20T21:37:28Z", "type": "VIEW"}]}'
GOOD = (ACTION % "good").encode()
LINE = b"POST /api/submitlogs HTTP/1.1"
LENGTH = b"Content-Length: %d" % len(GOOD)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)


def post(content: bytes, *headers: bytes, line: bytes = LINE, end: bytes = b"\r\n") -> bytes:
    """A request with just these headers and Host."""
    return end.join([line, b"Host: x", *headers, b"", b""]) + content


def in_chunks(text: bytes) -> bytes:
    """A request whose body is sent as this text in chunks, where %s is the good body and %x its size."""
    return post(text.replace(b"%x", b"%x" % len(GOOD)).replace(b"%s", GOOD), CHUNKED)


HIDDEN_BODY = (ACTION % "hidden").encode()
HIDDEN = post(HIDDEN_BODY, b"Content-Length: %d" % len(HIDDEN_BODY))
Connect = Callable[[Server], socket.socket]
LAST = b"GET /healthz?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

REFUSED = {
    "CL and TE": post(CHUNKS, LENGTH, CHUNKED),
    "TE and CL": post(CHUNKS, CHUNKED, LENGTH),
    "CL 0 and TE": post(CHUNKS, b"Content-Length: 0", CHUNKED),
    "TE and CL in other cases": post(CHUNKS, b"tRANSFER-eNCODING: chunked", b"CONTENT-length: 0"),
    "two CL that agree": post(GOOD, LENGTH, LENGTH),
    "two CL that do not": post(GOOD, LENGTH, b"Content-Length: 0"),
    "CL as a list of one number": post(GOOD, LENGTH + b", %d" % len(GOOD)),
    "CL as a list": post(GOOD, b"Content-Length: 5, 6"),
    "CL with a plus": post(GOOD, b"Content-Length: +%d" % len(GOOD)),
    "CL with a minus": post(GOOD, b"Content-Length: -%d" % len(GOOD)),
    "CL minus 0": post(GOOD, b"Content-Length: -0"),
    "CL with a space inside": post(GOOD, b"Content-Length: 1 0"),
    "CL with a tab inside": post(GOOD, b"Content-Length: 1\t0"),
    "CL in hexadecimal": post(GOOD, b"Content-Length: 0x10"),
    "CL with an underscore": post(GOOD, b"Content-Length: 1_0"),
    "CL as a float": post(GOOD, b"Content-Length: 10.0"),
    "CL with an exponent": post(GOOD, b"Content-Length: 1e2"),
    "CL of nothing": post(GOOD, b"Content-Length:"),
    "CL in Arabic digits": post(GOOD, "Content-Length: \u0661\u0660".encode()),
    "CL over 64 bits": post(GOOD, b"Content-Length: 18446744073709551617"),
    "CL over 63 bits": post(GOOD, b"Content-Length: 9223372036854775808"),
    "CL of a terabyte": post(GOOD, b"Content-Length: 1099511627776"),
    "CL in quotes": post(GOOD, b'Content-Length: "%d"' % len(GOOD)),
    "CL with a space before its colon": post(GOOD, b"Content-Length : %d" % len(GOOD)),
    "CL with a NUL": post(GOOD, LENGTH + b"\0"),
    "CL folded": post(GOOD, b"Content-Length:\r\n %d" % len(GOOD)),
    "bare line feeds": post(GOOD, LENGTH, end=b"\n"),
    "bare carriage returns": post(GOOD, LENGTH, end=b"\r"),
    "a bare line feed in a header": post(CHUNKS, b"X: a\nTransfer-Encoding: chunked", LENGTH),
    "a bare carriage return in a header": post(GOOD, b"X: a\rContent-Length: 0", LENGTH),
    "a bare line feed after a header": post(GOOD, LENGTH).replace(b"Host: x\r\n", b"Host: x\n"),
    "a bare line feed after the head": post(GOOD, LENGTH).replace(b"\r\n\r\n", b"\r\n\n"),
    "a folded header": post(GOOD, b"X: a\r\n b", LENGTH),
    "a folded TE": post(CHUNKS, b"Transfer-Encoding:\r\n chunked"),
    "a TE folded with a tab": post(CHUNKS, b"Transfer-Encoding:\r\n\tchunked"),
    "a space before the first header": post(GOOD, LENGTH).replace(b"Host", b" Host"),
    "a space before TE": post(CHUNKS, b" Transfer-Encoding: chunked", LENGTH),
    "TE xchunked": post(CHUNKS, b"Transfer-Encoding: xchunked"),
    "TE identity": post(GOOD, b"Transfer-Encoding: identity"),
    "TE identity and CL": post(GOOD, b"Transfer-Encoding: identity", LENGTH),
    "TE gzip, chunked": post(CHUNKS, b"Transfer-Encoding: gzip, chunked"),
    "TE chunked, gzip": post(CHUNKS, b"Transfer-Encoding: chunked, gzip"),
    "TE chunked, chunked": post(CHUNKS, b"Transfer-Encoding: chunked, chunked"),
    "two TE": post(CHUNKS, CHUNKED, CHUNKED),
    "TE chunked, then identity": post(CHUNKS, CHUNKED, b"Transfer-Encoding: identity"),
    "TE identity, then chunked": post(CHUNKS, b"Transfer-Encoding: identity", CHUNKED),
    "TE cow, then chunked": post(CHUNKS, b"Transfer-Encoding: cow", CHUNKED),
    "TE with a vertical tab": post(CHUNKS, b"Transfer-Encoding:\x0bchunked"),
    "TE with a no-break space": post(CHUNKS, b"Transfer-Encoding: chunked\xa0"),
    "TE in quotes": post(CHUNKS, b'Transfer-Encoding: "chunked"'),
    "TE with a parameter": post(CHUNKS, b"Transfer-Encoding: chunked;q=1"),
    "TE after a comma": post(CHUNKS, b"Transfer-Encoding: ,chunked"),
    "TE before a comma": post(CHUNKS, b"Transfer-Encoding: chunked,"),
    "TE of nothing": post(GOOD, b"Transfer-Encoding:", LENGTH),
    "TE of nothing, then chunked": post(CHUNKS, b"Transfer-Encoding:", CHUNKED),
    "TE with a space before its colon": post(CHUNKS, b"Transfer-Encoding : chunked"),
    "TE with a NUL": post(CHUNKS, CHUNKED + b"\0"),
    "TE with a control character in its name": post(CHUNKS, b"Transfer\x01-Encoding: chunked", LENGTH),
    "TE of HTTP/1.0": post(CHUNKS, CHUNKED, line=LINE.replace(b"1.1", b"1.0")),
    "TE and an upgrade": post(CHUNKS, CHUNKED, b"Connection: Upgrade", b"Upgrade: h2c"),
    "a chunk size with 0x": in_chunks(b"0x%x\r\n%s\r\n0\r\n\r\n"),
    "a chunk size with a plus": in_chunks(b"+%x\r\n%s\r\n0\r\n\r\n"),
    "a chunk size with a minus": in_chunks(b"-%x\r\n%s\r\n0\r\n\r\n"),
    "a chunk size with an underscore": in_chunks(b"1_0\r\n%s\r\n0\r\n\r\n"),
    "a chunk size with a space before it": in_chunks(b" %x\r\n%s\r\n0\r\n\r\n"),
    "a chunk size with a space after it": in_chunks(b"%x \r\n%s\r\n0\r\n\r\n"),
    "a chunk size of nothing": in_chunks(b"\r\n%s\r\n0\r\n\r\n"),
    "a chunk size of a semicolon": in_chunks(b";a\r\n%s\r\n0\r\n\r\n"),
    "a chunk size over 64 bits": in_chunks(b"1" + b"0" * 16 + b"%x\r\n%s\r\n0\r\n\r\n"),
    "a chunk that ends in a line feed": in_chunks(b"%x\n%s\n0\n\n"),
    "a chunk that ends in a carriage return": in_chunks(b"%x\r%s\r0\r\r"),
    "a chunk without an end": in_chunks(b"%x\r\n%s0\r\n\r\n"),
    "a chunk longer than its size": in_chunks(b"%x\r\n%sXX\r\n0\r\n\r\n"),
    "a chunk extension that ends in a line feed": in_chunks(b"%x;a\n%s\r\n0\r\n\r\n"),
    "a chunk extension with a carriage return": in_chunks(b"%x;a\rb\r\n%s\r\n0\r\n\r\n"),
    "CL as a trailer": in_chunks(b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "TE as a trailer": in_chunks(b"%x\r\n%s\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a trailer that ends in a line feed": in_chunks(b"%x\r\n%s\r\n0\r\nX: y\n\r\n"),
    "a NUL in a header": post(GOOD, b"X: a\0b", LENGTH),
    "a NUL in a header's name": post(GOOD, b"X\0: a", LENGTH),
    "a NUL in the path": post(GOOD, LENGTH, line=LINE.replace(b"logs", b"logs\0")),
    "a DEL in a header": post(GOOD, b"X: \x7f", LENGTH),
    "a header without a colon": post(GOOD, b"nonsense", LENGTH),
    "a header without a name": post(GOOD, b": a", LENGTH),
    "a space before the method": b" " + post(GOOD, LENGTH),
    "tabs in the request line": post(GOOD, LENGTH, line=LINE.replace(b" ", b"\t")),
    "bytes in the path that are not ASCII": post(GOOD, LENGTH, line=LINE.replace(b"logs", b"logs?\xff")),
    "a method in lower case": post(GOOD, LENGTH, line=LINE.lower().replace(b"http", b"HTTP")),
    "a method that is none": post(GOOD, LENGTH, line=LINE.replace(b"POST", b"HACK")),
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": post(GOOD, LENGTH).replace(b"Host: x\r\n", b""),
    "two Hosts": post(GOOD, b"Host: y", LENGTH),
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.2": post(GOOD, LENGTH, line=LINE.replace(b"1.1", b"1.2")),
    "HTTP/1.10": post(GOOD, LENGTH, line=LINE.replace(b"1.1", b"1.10")),
    "HTTP/2.0": post(GOOD, LENGTH, line=LINE.replace(b"1.1", b"2.0")),
    "http/1.1": post(GOOD, LENGTH, line=LINE.replace(b"HTTP", b"http")),
    "ICY": post(GOOD, LENGTH, line=LINE.replace(b"HTTP/1.1", b"ICE/1.0")),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
    "the PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + post(GOOD, LENGTH),
    "too much announced": post(b"", b"Content-Length: 99999999"),
    "a refusal, then more": post(b"", b"Content-Length: 99999999", b"Expect: 100-continue"),
}
TAKEN = {
    "the usual request": post(GOOD, LENGTH),
    "CL with spaces around it": post(GOOD, LENGTH.replace(b": ", b":   ") + b"  "),
    "CL after a tab": post(GOOD, LENGTH.replace(b": ", b":\t")),
    "CL with zeros before it": post(GOOD, LENGTH.replace(b": ", b": 000")),
    "CL beside Content_Length": post(GOOD, b"Content_Length: 5", LENGTH),
    "CL named in Connection": post(GOOD, LENGTH, b"Connection: Content-Length"),
    "CL and Expect of something else": post(GOOD, LENGTH, b"Expect: 200-maybe"),
    "chunks": in_chunks(b"%x\r\n%s\r\n0\r\n\r\n"),
    "TE in upper case": post(CHUNKS, b"Transfer-Encoding: CHUNKED"),
    "TE with spaces around it": post(CHUNKS, b"Transfer-Encoding: \tchunked "),
    "a chunk extension": in_chunks(b"%x;a=b;c\r\n%s\r\n0;d\r\n\r\n"),
    "a chunk extension in quotes": in_chunks(b'%x;a="b\\"c"\r\n%s\r\n0\r\n\r\n'),
    "a chunk extension of 100 KB": in_chunks(b"%x;a=" + b"b" * 100_000 + b"\r\n%s\r\n0\r\n\r\n"),
    "a chunk size with zeros before it": in_chunks(b"000000%x\r\n%s\r\n000\r\n\r\n"),
    "a trailer": in_chunks(b"%x\r\n%s\r\n0\r\nX: y\r\n\r\n"),
    "a trailer that is another user's key": in_chunks(b"%x\r\n%s\r\n0\r\nIdempotency-Key: x\r\n\r\n"),
    "20,000 trailers": in_chunks(b"%x\r\n%s\r\n0\r\n" + b"X-Long: y\r\n" * 20_000 + b"\r\n"),
    "bytes in a header that are not ASCII": post(GOOD, b"X: \xff\xfe", LENGTH),
    "empty lines before it": b"\r\n\r\n" + post(GOOD, LENGTH),
    "two spaces in the request line": post(GOOD, LENGTH, line=LINE.replace(b" /", b"  /")),
    "an upgrade with a length": post(GOOD, LENGTH, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
    "an upgrade to websocket": post(GOOD, LENGTH, b"Connection: Upgrade", b"Upgrade: websocket"),
}


def known(server: Server) -> socket.socket:
    """A connection on which the usual head has come so often that it is known again."""
    connection = server.connect()
    for _ in range(3):
        connection.sendall(post(GOOD, LENGTH))
        assert connection.recv(1 << 16).endswith(b'"rejected":[]}')
    return connection


@pytest.mark.parametrize("connect", [Server.connect, known])
@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_read_in_two_ways_is_refused_once(server: Server, sent: bytes, connect: Connect) -> None:
    """It gets one 4xx, or none, and a closed connection; neither it nor what stands behind it is stored."""
    with connect(server) as connection:
        before = len(found(server, "good"))
        connection.sendall(sent + HIDDEN)
        answer = read_all(connection)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]
    assert len(statuses) <= 1
    assert all(400 <= status < 500 for status in statuses)
    assert found(server, "hidden") == []
    assert len(found(server, "good")) == before


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN.keys())
@pytest.mark.parametrize("pieces", [1, 2, 40])
@pytest.mark.parametrize("connect", [Server.connect, known])
def test_what_is_read_in_one_way_is_taken_once(server: Server, sent: bytes, pieces: int, connect: Connect) -> None:
    """However it is cut, it is one request that is stored once, and the next one is the one that stands behind it."""
    whole = sent + LAST
    step = -(-len(whole) // pieces)
    with connect(server) as connection:
        before = len(found(server, "good"))
        for start in range(0, len(whole), step):
            connection.sendall(whole[start : start + step])
            time.sleep(0.0005 if pieces > 1 else 0)  # so that most pieces come alone; what is held does not need it
        answer = read_all(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200"]
    assert answer.endswith(b'{"status":"alive"}')
    assert len(found(server, "good")) == before + 1


PATHS = {
    "absolute": (b"http://x/api/submitlogs", 200),
    "absolute of another host": (b"http://elsewhere/api/submitlogs", 200),
    "encoded": (b"/api/submit%6cogs", 200),
    "with a fragment": (b"/api/submitlogs#more", 405),
    "with dots": (b"/./api/../api/submitlogs", 404),
    "with two slashes": (b"//api/submitlogs", 404),
    "with a slash behind it": (b"/api/submitlogs/", 404),
    "with a parameter": (b"/api/submitlogs;x", 404),
    "in upper case": (b"/API/SUBMITLOGS", 404),
    "a star": (b"*", 404),
}


@pytest.mark.parametrize(("path", "status"), PATHS.values(), ids=PATHS.keys())
def test_one_path_is_one_route(server: Server, path: bytes, status: int) -> None:
    """A path that is another way to write the route's is that route or nothing at all, with one answer either way."""
    with server.connect() as connection:
        connection.sendall(post(GOOD, LENGTH, b"Connection: close", line=b"POST " + path + b" HTTP/1.1"))
        assert [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", read_all(connection))] == [status]


@pytest.mark.parametrize("offer", [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"], ids=["plain", "upgrade"])
def test_the_body_of_an_upgrade_is_no_request(server: Server, offer: bytes) -> None:
    """A request as the body of another is its body, also where an upgrade is offered and the body comes by itself."""
    head = post(b"", b"Content-Length: %d" % len(HIDDEN), offer.rstrip() or b"X: y")
    with server.connect() as connection:
        connection.sendall(head)
        time.sleep(0.05)
        connection.sendall(HIDDEN)
        time.sleep(0.05)
        connection.sendall(LAST)
        answer = read_all(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400", b"200"]
    assert found(server, "hidden") == []


def test_a_refusal_is_no_answer_to_an_earlier_request(server: Server) -> None:
    """What is not HTTP behind a read that takes its time gets no answer in the place of that read's."""
    for _ in range(10):
        with server.connect() as connection:
            connection.sendall(
                b"GET /api/retrievelogs?logType=view HTTP/1.1\r\nHost: x\r\n\r\n" + b"\0not HTTP\r\n\r\n" + HIDDEN
            )
            answer = read_all(connection)
        assert not answer.startswith(b"HTTP/1.1 4")
        assert answer.count(b"HTTP/1.1 ") <= 1
    assert found(server, "hidden") == []


def test_trailers_without_end_are_cut(server: Server) -> None:
    """Trailers that never end are refused with 413 after some megabytes."""
    with server.connect() as connection:
        connection.sendall(post(b"0\r\n", CHUNKED))
        piece = b"X-Trailer: " + b"x" * 10_000 + b"\r\n"
        sent = 0
        try:
            while sent < 64 << 20:
                connection.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass  # it closed, as it should
        answer = read_all(connection)
    assert sent < 64 << 20
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
