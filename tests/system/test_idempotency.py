"""Idempotency-Key: a request that is sent again is stored once, and answered as it was the first time.

Leaves out crashes between the commit and the answer (tests/crash).
"""

import gzip
import json
import threading
from typing import Any

import pytest

from tests.system.conftest import Server

TIME = "2018-10-20T21:37:28-06:00"


def body(user: str, *, bad: bool = False) -> bytes:
    """A request of two actions, the second of them of an unknown type if `bad`."""
    actions: list[dict[str, Any]] = [
        {"time": TIME, "type": kind, "properties": {}} for kind in ("CLICK", "HOVER" if bad else "VIEW")
    ]
    return json.dumps([{"userId": user, "sessionId": "s", "actions": actions}]).encode()


def count(server: Server, user: str) -> int:
    """How many actions of a user are stored."""
    return sum(len(found["actions"]) for found in server.retrieve(userId=user).json())


@pytest.mark.parametrize("bad", [False, True], ids=["all accepted", "one rejected"])
def test_the_same_again_is_answered_as_before(server: Server, *, bad: bool) -> None:
    """The same key and body again gets the same bytes, is marked as a replay, and stores nothing."""
    user = f"again {bad}"
    key = {"idempotency-key": user}
    first = server.submit(body(user, bad=bad), key)
    again = [server.submit(body(user, bad=bad), key) for _ in range(3)]
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    assert {(answer.status_code, answer.content) for answer in again} == {(200, first.content)}
    assert {answer.headers["idempotent-replayed"] for answer in again} == {"true"}
    assert count(server, user) == 2 - bad


def test_another_body_is_refused(server: Server) -> None:
    """The same key with another body is 422 key_reused and stores nothing; the key still answers its own body."""
    key = {"idempotency-key": "other body"}
    first = server.submit(body("first body"), key)
    others = [body("second body"), body("first body") + b" ", gzip.compress(body("first body")), b"[]"]
    for other in others:
        answer = server.submit(other, key)
        assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
    assert count(server, "second body") == 0
    assert server.submit(body("first body"), key).content == first.content
    assert count(server, "first body") == 2


def test_another_key_is_another_request(server: Server) -> None:
    """The same body with another key, in another case too, or with none, is stored again."""
    keys: list[dict[str, str]] = [{"idempotency-key": text} for text in ("key", "KEY", "key2")]
    for headers in [*keys, {}, {}]:
        assert server.submit(body("another key"), headers).json()["accepted"] == 2
    assert count(server, "another key") == 10


@pytest.mark.parametrize(
    "wrong", [b"not JSON", b"{}", b"[" + b" " * (5 << 20) + b"]"], ids=["not_json", "not_batches", "too_large"]
)
def test_a_refused_request_does_not_use_its_key(server: Server, wrong: bytes) -> None:
    """After a request that was refused whole, its key takes the body that is right."""
    key = {"idempotency-key": f"refused {len(wrong)}"}
    assert server.submit(wrong, key).status_code in {400, 413}
    assert server.submit(body(f"refused {len(wrong)}"), key).json()["accepted"] == 2
    assert count(server, f"refused {len(wrong)}") == 2


def test_a_request_of_nothing_uses_its_key(server: Server) -> None:
    """An empty request is remembered too: its key with another body is 422."""
    key = {"idempotency-key": "nothing"}
    assert server.submit(b"[]", key).json()["accepted"] == 0
    assert server.submit(b"[]", key).json()["accepted"] == 0
    assert server.submit(body("nothing"), key).status_code == 422
    assert count(server, "nothing") == 0


KEYS: dict[str, tuple[bytes, int]] = {
    "255 characters": (b"k" * 255, 200),
    "256 characters": (b"k" * 256, 400),
    "empty": (b"", 400),
    "Latin-1": (b"cl\xe9", 200),
    "UTF-8": ("\U0001f463".encode(), 200),
    "SQL": (b"' OR 1=1--", 200),
    "a path": (b"../../etc/passwd", 200),
}


@pytest.mark.parametrize(("key", "status"), KEYS.values(), ids=KEYS.keys())
def test_what_a_key_may_be(server: Server, key: bytes, status: int) -> None:
    """A key is any text of 1 to 255 characters; another is 400 bad_key and stores nothing."""
    user = f"key {len(key)} {key[:9]!r}"
    headers: Any = {b"idempotency-key": key}
    for _ in range(2):
        answer = server.client.post("/api/submitlogs", content=body(user), headers=headers)
        assert answer.status_code == status
        if status != 200:
            assert answer.json()["code"] == "bad_key"
    assert count(server, user) == (2 if status == 200 else 0)


def test_many_at_once_are_stored_once(server: Server) -> None:
    """Of many requests with one key that come in one moment one is stored, and all are answered alike."""
    for round_ in range(5):
        answers: list[bytes] = []
        together = threading.Barrier(8)

        def send(round_: int = round_, answers: list[bytes] = answers, together: threading.Barrier = together) -> None:
            together.wait()
            answers.append(server.submit(body(f"at once {round_}"), {"idempotency-key": f"at once {round_}"}).content)

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(answers) == {b'{"message":"submitted","accepted":2,"duplicates":0,"rejected":[]}'}
        assert len(answers) == 8
        assert count(server, f"at once {round_}") == 2


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_key_outlives_the_process(server: Server, *, kill: bool) -> None:
    """After a restart the same key and body get the answer of before and store nothing; another body is 422."""
    user = f"restart {kill}"
    key = {"idempotency-key": user}
    first = server.submit(body(user, bad=True), key)
    if kill:
        server.process.kill()
    server.restart()
    assert server.submit(body(user, bad=True), key).content == first.content
    assert server.submit(body(user), key).status_code == 422
    assert count(server, user) == 1
