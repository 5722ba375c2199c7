"""What one client can send or ask for does not grow the server: bombs, bodies without end, and users with huge actions.

Memory is the most that the server process has had resident (VmHWM) after, less what it had before.
"""

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.conftest import found, read_all
from tests.system.conftest import Server, Start, wait_until

MB = 1_000_000
TIME = "2018-10-20T21:37:28Z"
WIDE = "x" * 60_000


def resident(server: Server) -> int:
    """The most memory that the server has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def forget_peak(server: Server) -> None:
    """Begin to measure the peak anew."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")


@contextlib.contextmanager
def grows_less_than(server: Server, most: int) -> Iterator[None]:
    """Hold that the server's peak within the block is less than so many bytes over what it had."""
    forget_peak(server)
    before = resident(server)
    yield
    grown = resident(server) - before
    print(f"grown by {grown / MB:.0f} MB")
    assert grown < most


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
    """It is refused with 400 or 413, eight times at once, and the server grows by less than 250 MB for all of them."""
    answers: list[int] = []
    with grows_less_than(server, 250 * MB):
        threads = [threading.Thread(target=lambda: answers.append(server.submit(body).status_code)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 8
    assert set(answers) <= {400, 413}


@pytest.mark.parametrize("piece", [b" " * 65_536, b"[", b" " * 1_000], ids=len)
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


@pytest.fixture(scope="module")
def wide(start: Start) -> Server:
    """A server with 300 MB of the largest actions of one user, partly in parts."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "2"})
    action = {"time": TIME, "type": "CLICK", "properties": {"text": WIDE}}
    body = json.dumps({"userId": "wide", "sessionId": "s", "actions": [action] * 80}).encode()
    for _ in range(62):
        assert server.submit(body).status_code == 200
    wait_until("something is in parts", server.parts)
    return server


FORMS = {
    "json": ("application/json", 250),
    "ndjson": ("application/x-ndjson", 250),
    "csv": ("text/csv", 250),
    "arrow": ("application/vnd.apache.arrow.stream", 350),
    "parquet": ("application/vnd.apache.parquet", 450),
}


@pytest.mark.parametrize("filters", [{"userId": "wide"}, {"logType": "click"}], ids=["user", "all"])
@pytest.mark.parametrize(("accept", "most"), FORMS.values(), ids=FORMS.keys())
def test_a_user_of_huge_actions_is_read_in_flat_memory(
    wide: Server, accept: str, most: int, filters: dict[str, str]
) -> None:
    """300 MB of one user's actions are streamed, and the server grows by less than they are, in every format."""
    size = 0
    with (
        grows_less_than(wide, most * MB),
        wide.client.stream("GET", "/api/retrievelogs", params=filters, headers={"accept": accept}) as answer,
    ):
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            size += len(piece)
    assert size > (290 * MB if "parquet" not in accept else 1)


def test_a_page_of_huge_actions_ends_early(wide: Server) -> None:
    """A page of 10,000 actions of 60 KB each ends early, with a next page, in flat memory."""
    with grows_less_than(wide, 250 * MB):
        answer = wide.retrieve(userId="wide", limit=10_000)
    assert 50 < len(answer.json()[0]["actions"]) < 400
    assert "link" in answer.headers


def test_nothing_of_a_bomb_is_stored(server: Server) -> None:
    """After all bombs there is nothing of them."""
    assert found(server, "u") == []
