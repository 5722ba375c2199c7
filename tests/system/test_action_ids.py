"""The id of an action: whatever request it comes in, it is stored once. Idempotency-Key: see test_idempotency."""

import json
import signal
import threading
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.system.conftest import Server, Start

TIME = "2018-10-20T21:37:28-06:00"


def batch(user: str, *ids: str | None, session: str = "s") -> dict[str, Any]:
    """A batch of actions with these ids."""
    actions: list[dict[str, Any]] = [{"time": TIME, "type": "CLICK", "properties": {}, "id": name} for name in ids]
    return {"userId": user, "sessionId": session, "actions": actions}


def stored(server: Server, user: str) -> Counter[str | None]:
    """How often each id of a user is stored."""
    return Counter(action.get("id") for found in server.retrieve(userId=user).json() for action in found["actions"])


def test_an_id_is_stored_once_in_any_request(server: Server) -> None:
    """An action sent again, alone, among others, in another session or twice in one request, counts as a duplicate."""
    for body, accepted, duplicates in (
        (batch("u", "a", "b"), 2, 0),
        (batch("u", "b", session="t"), 0, 1),
        ([batch("u", "c", "a", None), batch("u", "c"), batch("v", "a")], 3, 2),
        ([batch("u", None, None)], 2, 0),
    ):
        answer = server.submit(body).json()
        assert answer == {"message": "submitted", "accepted": accepted, "duplicates": duplicates, "rejected": []}
    assert stored(server, "u") == {"a": 1, "b": 1, "c": 1, None: 3}
    assert stored(server, "v") == {"a": 1}


def test_a_replay_tells_the_same_duplicates(server: Server) -> None:
    """The answer kept with an Idempotency-Key holds the duplicates that were found the first time."""
    key = {"idempotency-key": "replayed"}
    server.submit(batch("replayed", "a"))
    first = server.submit(batch("replayed", "a", "b"), key)
    assert (first.json()["accepted"], first.json()["duplicates"]) == (1, 1)
    again = server.submit(batch("replayed", "a", "b"), key)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"


def test_workers_store_an_id_once(start: Start) -> None:
    """Of many clients that send the same ids to two workers at once, each id is stored for one of them."""
    server = start(arguments=["--workers", "2"])
    counts: list[tuple[int, int]] = []
    together = threading.Barrier(8)

    def send() -> None:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            together.wait()
            for place in range(20):
                names = [f"{place} {number}" for number in range(20)]
                answer = client.post("/api/submitlogs", json=batch(f"raced {place % 2}", *names)).json()
                counts.append((answer["accepted"], answer["duplicates"]))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 8 * 20
    assert all(accepted + duplicates == 20 for accepted, duplicates in counts)
    assert sum(accepted for accepted, _ in counts) == 20 * 20
    for user in ("raced 0", "raced 1"):
        assert set(stored(server, user).values()) == {1}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ids_outlive_the_process(start: Start, how: signal.Signals) -> None:
    """After a restart, and after kill -9 while answers were on their way, what is sent again is stored once."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.2"})
    names = [f"{place}" for place in range(2_000)]
    asked = [json.dumps(batch("outlived", *names[place : place + 20])).encode() for place in range(0, 2_000, 20)]
    answered = 0
    with server.connect() as connection:  # pipelined, so that some are committed and none of their answers read
        for body in asked:
            connection.sendall(
                b"POST /api/submitlogs HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
        connection.recv(1)
        server.process.send_signal(how)
        server.process.wait(40)
    server.restart()
    kept = stored(server, "outlived")
    assert set(kept.values()) == {1}
    for body in asked:
        answer = server.submit(body).json()
        assert answer["accepted"] + answer["duplicates"] == 20
        answered += answer["accepted"]
    assert answered == 2_000 - len(kept)
    assert stored(server, "outlived") == dict.fromkeys(names, 1)
