"""A journal that can hold no more says so before it reads what is sent, and takes the next when there is room again."""

import time

import httpx
import pytest

from tests.system.conftest import Server, Start, wait_until

ACTION = {"time": "2018-10-20T21:37:28Z", "type": "VIEW"}
BATCH = {"userId": "u", "sessionId": "s", "actions": [ACTION] * 30}


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server whose journal may hold 40 actions, for two seconds."""
    return start(environment={"FOOTPATH_JOURNAL_ACTIONS": "40", "FOOTPATH_FLUSH_SECONDS": "2"})


def is_full(answer: httpx.Response) -> bool:
    """Whether it was refused because the journal is full, and says when to come again."""
    refused = answer.status_code == 503 and answer.json()["code"] == "journal_full"
    assert not refused or int(answer.headers["retry-after"]) >= 1
    return refused


def test_what_comes_while_it_is_full_is_refused_unread(server: Server) -> None:
    """Behind a refusal even a body that is no JSON gets 503 and not 400, a second later, on the same connection."""
    with server.connect() as connection:
        began = 0.0
        answer = b""
        for _ in range(10):  # half a second later it is looked again whether there is room
            wait_until("it is full", lambda: is_full(server.submit(BATCH)))
            began = time.monotonic()
            connection.sendall(b"POST /api/submitlogs HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nno!")
            answer = connection.recv(1 << 16)
            if not answer.startswith(b"HTTP/1.1 400 "):
                break
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"\r\nretry-after: " in answer
        assert b"connection: close" not in answer
        assert time.monotonic() - began >= 1
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_it_takes_what_comes_when_there_is_room_again(server: Server) -> None:
    """After a flush the same is taken, and all that was said yes to is there, once."""
    wait_until("it takes some again", lambda: server.submit({**BATCH, "userId": "again"}).status_code == 200)
    assert server.retrieve(userId="again").text.count("VIEW") == len(BATCH["actions"])
    assert server.client.get("/readyz").status_code == 200
