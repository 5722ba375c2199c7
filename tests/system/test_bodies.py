"""How a body may come: its size before and after gunzip, its encoding, its type, in one piece or many.

Leaves out what is inside (`test_bad_input`) and connections that break (`test_connections`).
"""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.conftest import Server, Start, wait_until

MIB = 1 << 20
LIMIT = 5 * MIB
INFLATED_LIMIT = 20 * MIB
TIME = "2018-10-20T21:37:28-06:00"


def batches(user: str, count: int = 1) -> bytes:
    """A body with so many actions of one user."""
    actions = [{"time": TIME, "type": "CLICK", "properties": {"n": number}} for number in range(count)]
    return json.dumps([{"userId": user, "sessionId": "s", "actions": actions}]).encode()


def padded(body: bytes, size: int) -> bytes:
    """A JSON body made larger by spaces."""
    return body + b" " * (size - len(body))


def count(server: Server, user: str) -> int:
    """How many actions of a user are stored."""
    return sum(len(found["actions"]) for found in server.retrieve(userId=user).json())


def check_refused(server: Server, answer: httpx.Response, status: int, code: str, user: str) -> None:
    """Hold that a body was refused whole."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json().keys() == {"code", "message"}
    assert count(server, user) == 0


def resident(server: Server) -> int:
    """The most memory that the server has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_a_body_of_the_limit_is_taken(server: Server) -> None:
    """A body of exactly 5 MiB is taken."""
    assert server.submit(padded(batches("at the limit"), LIMIT)).status_code == 200
    assert count(server, "at the limit") == 1


@pytest.mark.parametrize("size", [LIMIT + 1, 6 * MIB, 40 * MIB], ids=lambda size: f"{size} bytes")
def test_a_body_over_the_limit_is_refused(server: Server, size: int) -> None:
    """A body over 5 MiB is refused with 413, which a client that sends all of it before it reads gets to see."""
    body = padded(batches("too large"), size)
    for _ in range(3):
        check_refused(server, server.submit(body), 413, "too_large", "too large")


@pytest.mark.parametrize("size", [LIMIT + 1, 12 * MIB], ids=lambda size: f"{size} bytes")
def test_a_chunked_body_over_the_limit_is_refused(server: Server, size: int) -> None:
    """A body over 5 MiB that does not say its length is refused with 413."""

    def pieces() -> Iterator[bytes]:
        body = padded(batches("too large in chunks"), size)
        for start in range(0, size, 1 << 16):
            yield body[start : start + (1 << 16)]

    answer = server.client.post("/api/submitlogs", content=pieces())
    check_refused(server, answer, 413, "too_large", "too large in chunks")


@pytest.mark.parametrize("level", [1, 9])
def test_gzip_up_to_the_limit_is_taken(server: Server, level: int) -> None:
    """A body of exactly 20 MiB after gunzip is taken."""
    body = padded(batches(f"inflated {level}"), INFLATED_LIMIT)
    assert server.submit(gzip.compress(body, level)).json()["accepted"] == 1
    assert count(server, f"inflated {level}") == 1


def test_gzip_over_the_limit_is_refused(server: Server) -> None:
    """A body of 20 MiB and a byte after gunzip is refused with 413."""
    body = padded(batches("inflated over"), INFLATED_LIMIT + 1)
    check_refused(server, server.submit(gzip.compress(body)), 413, "too_large", "inflated over")


BOMBS = {
    "1 GiB in one member": lambda: gzip.compress(bytes(64 * MIB)) * 16,
    "many members that are too much together": lambda: gzip.compress(b" " * MIB) * 1000,
    "a good body, then a bomb": lambda: gzip.compress(batches("bomb")) + gzip.compress(b" " * 64 * MIB) * 16,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_gzip_bomb_is_refused_in_flat_memory(server: Server, bomb: Any) -> None:
    """A body of a gigabyte after gunzip is refused with 413, and the server grows by less than 100 MB for it."""
    before = resident(server)
    check_refused(server, server.submit(bomb()), 413, "too_large", "bomb")
    assert resident(server) - before < 100_000_000


def test_many_empty_members_are_taken_in_steady_time(server: Server) -> None:
    """A body of 5 MiB that is made of gzip members of 20 bytes is answered within 5 seconds."""
    body = gzip.compress(b"", mtime=0) * (LIMIT // 20)
    started = time.monotonic()
    assert server.submit(body).json()["code"] == "not_json"
    assert time.monotonic() - started < 5


GOOD = gzip.compress(batches("gzip lies"))
LIES = {
    "cut in its data": GOOD[:-12],
    "cut in its checksum": GOOD[:-6],
    "cut in its length": GOOD[:-1],
    "cut in its header": GOOD[:6],
    "only the first two bytes": GOOD[:2],
    "a wrong checksum": GOOD[:-8] + bytes([GOOD[-8] ^ 1]) + GOOD[-7:],
    "a wrong length": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "damaged data": GOOD[:20] + bytes([GOOD[20] ^ 255]) + GOOD[21:],
    "an unknown method": GOOD[:2] + b"\x07" + GOOD[3:],
    "text after it": GOOD + b"more",
    "zeros after it": GOOD + bytes(512),
    "half a member after it": GOOD + GOOD[:15],
    "gzip in gzip": gzip.compress(GOOD),
    "gzip of nothing": gzip.compress(b""),
    "gzip of something that is not JSON": gzip.compress(b"user=u"),
}


@pytest.mark.parametrize("body", LIES.values(), ids=LIES.keys())
def test_gzip_that_lies_is_refused(server: Server, body: bytes) -> None:
    """A body that begins as gzip but is cut, damaged, followed by something, or not JSON inside is 400 not_json."""
    check_refused(server, server.submit(body, {"content-encoding": "gzip"}), 400, "not_json", "gzip lies")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "identity", "", None], ids=repr)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_gzip_is_recognised_whatever_the_header_says(server: Server, encoding: str | None, *, compressed: bool) -> None:
    """gzip and plain bodies are told apart by their bytes, whichever of the known encodings the header names."""
    user = f"encoding {encoding} {compressed}"
    body = gzip.compress(batches(user)) if compressed else batches(user)
    headers = {} if encoding is None else {"content-encoding": encoding}
    assert server.submit(body, headers).json()["accepted"] == 1
    assert count(server, user) == 1


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "compress", "*"])
def test_another_encoding_is_refused(server: Server, encoding: str) -> None:
    """A content encoding other than gzip is 415 unknown_encoding, also with a body that could be read."""
    answer = server.submit(batches("other encoding"), {"content-encoding": encoding})
    check_refused(server, answer, 415, "unknown_encoding", "other encoding")


def test_members_are_read_as_one_body(server: Server) -> None:
    """A gzip body of several members, some of them empty, is read as one."""
    body = batches("members", 3)
    pieces = [body[:10], b"", body[10:11], body[11:]]
    assert server.submit(b"".join(gzip.compress(piece) for piece in pieces)).json()["accepted"] == 3
    assert count(server, "members") == 3


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "text/plain;charset=UTF-8", "application/octet-stream",
     "application/x-www-form-urlencoded", "nonsense", "", None],
    ids=repr,
)  # fmt: skip
def test_any_content_type_is_taken(server: Server, content_type: str | None) -> None:
    """The content type, or its absence, changes nothing."""
    user = f"type {content_type}"
    assert (
        server.submit(batches(user), {} if content_type is None else {"content-type": content_type}).status_code == 200
    )
    assert count(server, user) == 1


@pytest.mark.parametrize("step", [1, 7, 100_000], ids=lambda step: f"{step} bytes a chunk")
def test_a_chunked_body_is_taken(server: Server, step: int) -> None:
    """A body that comes in chunks of any size is read as one."""
    body = batches(f"chunks of {step}", 20)
    answer = server.client.post(
        "/api/submitlogs", content=(body[start : start + step] for start in range(0, len(body), step))
    )
    assert answer.json()["accepted"] == 20
    assert count(server, f"chunks of {step}") == 20


def test_ten_thousand_actions_are_taken_and_one_more_is_not(server: Server) -> None:
    """10,000 actions in a request are stored, 10,001 are refused with 413, however many batches they are in."""
    assert server.submit(batches("many", 10_000)).json()["accepted"] == 10_000
    assert count(server, "many") == 10_000
    check_refused(server, server.submit(batches("too many", 10_001)), 413, "too_large", "too many")
    halves = json.loads(batches("too many halves", 5_000)) + json.loads(batches("too many halves", 5_001))
    check_refused(server, server.submit(halves), 413, "too_large", "too many halves")


def test_the_largest_batch_leaves_the_journal_with_little_memory(start: Start) -> None:
    """A batch that needs more to be flushed than keeper_memory is in a part soon, and what came behind it, too."""
    server = start(environment={"FOOTPATH_KEEPER_MEMORY": "52MB", "FOOTPATH_FLUSH_SECONDS": "0.2"})
    actions = [{"time": TIME, "type": "CLICK", "properties": {"text": "x" * 60_000}}] * 320
    body = gzip.compress(json.dumps({"userId": "wide", "sessionId": "s", "actions": actions}).encode(), 1)
    assert server.submit(body).json()["accepted"] == 320
    assert server.submit({"userId": "small", "sessionId": "s", "actions": [{"time": TIME, "type": "VIEW"}]}).is_success
    wait_until(
        "both are in parts", lambda: "\nfootpath_journal_actions 0.0\n" in server.client.get("/metrics").text, 60
    )
    assert len(server.parts()) >= 2
    assert server.retrieve(userId="wide").text.count("CLICK") == 320
    assert server.events("the keeper needs more memory; trying again")
