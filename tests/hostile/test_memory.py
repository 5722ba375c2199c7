"""What one client can send does not grow the server: bombs, and bodies without end."""

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.hostile.conftest import MB, found, grows_less_than, read_all
from tests.system.conftest import Server


def send(server: Server, head: bytes, pieces: Iterator[bytes]) -> bytes:
    """What comes for a request whose body is sent for as long as the server takes it."""
    with server.connect() as connection:
        connection.sendall(b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
        with contextlib.suppress(ConnectionError):  # it has answered and closed, and that is read below
            for piece in pieces:
                connection.sendall(piece)
        return read_all(connection)


def without_end(piece: bytes) -> Iterator[bytes]:
    """A gigabyte of chunks of one kind."""
    chunk = b"%x\r\n%s\r\n" % (len(piece), piece)
    for _ in range(1_000_000_000 // len(chunk)):
        yield chunk


NOISE = gzip.compress(b" " * MB)
BODIES = {
    "1000:1": gzip.compress(bytes(64 << 20)) * 16,
    "10 GB in nested gzip": gzip.compress(gzip.compress(gzip.compress(bytes(64 << 20)) * 160)),
    "many members": NOISE * 4_000,
    "5 MiB of empty members": gzip.compress(b"", mtime=0) * 262_144,
    "JSON of 20 MiB of open arrays": gzip.compress(b"[" * (20 << 20)),
    "JSON of 20 MiB of empty arrays": gzip.compress(b"[" + b"[]," * (6 << 20) + b"[]]"),
    "JSON of 20 MiB of empty objects as actions": gzip.compress(
        b'{"userId":"u","sessionId":"s","actions":[' + b"{}," * (6 << 20) + b"{}]}"
    ),
    "JSON of a million small batches": gzip.compress(
        b"[" + b'{"userId":"u","sessionId":"s","actions":[]},' * 450_000 + b"{}]"
    ),
    "half pairs without end": gzip.compress(b'{"userId":"' + b"\\ud800" * (3 << 20) + b'"}'),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_bomb_is_refused_in_flat_memory(server: Server, body: bytes) -> None:
    """It is refused with 400 or 413, four times at once, and the server grows by less than 250 MB for all of them."""
    answers: list[int] = []
    with grows_less_than(server, 250 * MB):
        threads = [threading.Thread(target=lambda: answers.append(server.submit(body).status_code)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 4
    assert set(answers) <= {400, 413}


@pytest.mark.parametrize("piece", [b" " * 65_536, b"[ "], ids=len)
def test_chunks_without_end_are_cut(server: Server, piece: bytes) -> None:
    """Chunks of any size that never end are answered with 413 after some megabytes, and the connection is closed."""
    with grows_less_than(server, 50 * MB):
        answer = send(server, b"Transfer-Encoding: chunked\r\n", without_end(piece))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")  # nothing came if its reset was quicker


def test_a_length_that_lies_about_gzip(server: Server) -> None:
    """A length that ends in the middle of a gzip body is not_json, and what follows is no second request."""
    body = gzip.compress(json.dumps({"userId": "lies", "sessionId": "s", "actions": []}).encode())
    for length in (len(body) - 1, len(body) // 2, 2):
        with server.connect() as connection:
            head = b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % length + body)
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert answer.count(b"HTTP/1.1 200") == 0
        assert answer.startswith(b"HTTP/1.1 400 ")


def test_nothing_of_a_bomb_is_stored(server: Server) -> None:
    """After all bombs there is nothing of them."""
    assert found(server, "u") == []
