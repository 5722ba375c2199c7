"""What a program tracks is stored once, whatever happens between, or said to be lost."""

import asyncio
import http.server
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from footpath.client import Client, Counts
from footpath.errors import BadSetting
from tests.system.conftest import Server, Start, wait_until

NOWHERE = "http://127.0.0.1:9"  # the port of the discard service: nobody listens


def numbers(server: Server, user: str) -> list[int]:
    """The property `n` of a user's actions, in time order."""
    answer = server.retrieve(userId=user)
    assert answer.status_code == 200
    return sorted(action["properties"]["n"] for batch in answer.json() for action in batch["actions"])


def track(client: Client, user: str, count: int, start: int = 0) -> None:
    """Track numbered views."""
    for number in range(start, start + count):
        assert client.track(user, "s", "view", {"n": number})


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with these statuses in turn, then with 200; and the keys and bodies it got.

    A double: footpath cannot be told to fail a request on command.
    """
    left = list(statuses)
    got: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"key": self.headers["Idempotency-Key"], "body": body})
            status = left.pop(0) if left else 200
            said = (
                b'{"message":"submitted","accepted":1,"duplicates":0,"rejected":[]}'
                if status == 200
                else b'{"code":"c","message":"not today"}'
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Nothing to tell."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def test_what_was_tracked_is_there_as_it_was_tracked(server: Server) -> None:
    """User, session, type, time, properties and id of an action come back, and an id is stored once."""
    at = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
    properties = {"locationX": 52, "of": {"ünï": [1, None, "💡"]}}
    with Client(server.url) as client:
        for _ in range(2):
            client.track('Anna "A"', "first/session", "click", properties, time=at, id="once")
        properties["locationX"] = 0
        assert client.flush()
        assert client.counts == Counts(tracked=2, accepted=1, duplicates=1)
    batch = server.retrieve(userId='Anna "A"').json()[0]
    assert batch["sessionId"] == "first/session"
    assert batch["actions"] == [
        {
            "time": "2026-11-25T10:30:00Z",
            "type": "CLICK",
            "properties": {"locationX": 52, "of": {"ünï": [1, None, "💡"]}},
            "id": "once",
        }
    ]


def test_many_threads_lose_nothing(server: Server) -> None:
    """What eight threads track at once is stored, each action once."""
    with Client(server.url, together=50, interval=0.05) as client:
        threads = [threading.Thread(target=track, args=(client, "threads", 500, 500 * place)) for place in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert client.counts == Counts(tracked=4000, accepted=4000)
    assert numbers(server, "threads") == list(range(4000))


def test_a_coroutine_tracks_and_flushes(server: Server) -> None:
    """The client works in an event loop, which runs on while it is flushed and closed."""

    async def main() -> None:
        async with Client(server.url) as client:
            track(client, "coroutine", 10)
            assert await client.flushed()
            track(client, "coroutine", 10, 10)

    asyncio.run(main())
    assert numbers(server, "coroutine") == list(range(20))


def test_the_interval_sends_without_a_flush(server: Server) -> None:
    """An action that waits alone is sent after the interval."""
    with Client(server.url, interval=0.05) as client:
        track(client, "alone", 1)
        wait_until("it was sent by itself", lambda: client.counts.accepted == 1)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("u", "s", "tap"), '"tap" is not one of CLICK'),
        (("", "s", "click"), "userId"),
        (("u", "s" * 257, "click"), "sessionId"),
        (("u", "s", "click", {"locationX": "left"}), "locationX"),
        (("u", "s", "view", {"text": "x" * 70_000}), "65536"),
    ],
)
def test_what_the_server_would_refuse_is_refused_at_once(arguments: tuple[Any, ...], why: str) -> None:
    """`track` raises ValueError with a sentence that names the fault, and nothing is queued."""
    with Client(NOWHERE) as client:
        with pytest.raises(ValueError, match=why):
            client.track(*arguments)
        with pytest.raises(ValueError, match="offset"):
            client.track("u", "s", "click", time=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the fault
        with pytest.raises(TypeError):
            client.track("u", "s", "click", {"what": object()})
        assert client.counts == Counts()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:no"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """An address that cannot be one is named when the client is made."""
    with pytest.raises(BadSetting, match="is not the address of a server"):
        Client(url)


def test_keys_are_sent_and_never_shown(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A client with a key writes to a server that asks for one; one with a wrong key loses, says so, and names none."""
    server = start()
    command = [sys.executable, "-m", "footpath", "key", "create", "--role", "write", "--name", "app"]
    made = subprocess.run([*command, "--data", str(server.data)], capture_output=True, text=True, check=True)
    key = made.stdout.split()[0]
    with Client(server.url, key) as client:
        track(client, "keyed", 1)
    assert client.counts == Counts(tracked=1, accepted=1)
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    with Client(server.url, wrong) as client:
        track(client, "keyed", 1)
    assert client.counts == Counts(tracked=1, dropped=1)
    assert "refused" in caplog.text
    assert wrong not in caplog.text + repr(client)
    with pytest.raises(BadSetting) as refused:
        Client(server.url, "two words")
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize("status", [503, 429, 502])
def test_a_busy_server_gets_the_same_request_again(status: int) -> None:
    """After 429, 502 and 503 the same body comes again under the same key."""
    with answering(status) as (url, got), Client(url) as client:
        client.track("u", "s", "view")
        assert client.flush()
        assert client.counts == Counts(tracked=1, accepted=1)
    assert len(got) == 2
    assert got[0] == got[1]


def test_a_request_that_is_refused_is_said_to_be_lost(caplog: pytest.LogCaptureFixture) -> None:
    """After 400 the request is not sent again; its actions are counted as dropped, with the server's sentence."""
    with answering(400) as (url, got), Client(url) as client:
        client.track("u", "s", "view")
        assert client.flush()
        assert client.counts == Counts(tracked=1, dropped=1)
    assert len(got) == 1
    assert "dropped 1 action(s), 1 in all" in caplog.text
    assert "not today" in caplog.text


def test_the_queue_is_bounded_and_says_what_it_drops(caplog: pytest.LogCaptureFixture) -> None:
    """While the server is away the queue fills; what is over its bound is refused and counted, and tracking goes on."""
    client = Client(NOWHERE, together=10, queue=20)
    taken = [client.track("u", "s", "view") for _ in range(30)]
    assert taken == [True] * 20 + [False] * 10
    assert client.counts == Counts(tracked=30, dropped=10, waiting=20)
    with caplog.at_level(logging.ERROR):
        client.close()
    assert client.counts == Counts(tracked=30, dropped=30)
    with pytest.raises(RuntimeError, match="closed"):
        client.track("u", "s", "view")


def test_a_server_that_comes_back_gets_what_waited(start: Start) -> None:
    """What is tracked while the server is down waits in memory, and is stored once when it is up again."""
    server = start()
    port = server.port
    server.stop()
    with Client(f"http://127.0.0.1:{port}", interval=0.05) as client:
        track(client, "back", 100)
        wait_until("it was tried", lambda: client.counts.waiting == 100)
        again = start(server.data, arguments=["--port", str(port)])
        assert client.flush()
        assert client.counts == Counts(tracked=100, accepted=100)
    assert numbers(again, "back") == list(range(100))


def test_a_spool_outlives_the_process(server: Server, tmp_path: Path) -> None:
    """What a killed process had spooled is sent by the next one, once, and the spool is empty then."""
    spool = tmp_path / "spool"
    program = f"""
import os, signal
from footpath.client import Client
client = Client("{NOWHERE}", spool={str(spool)!r}, together=50)
for number in range(200):
    client.track("spooled", "s", "view", {{"n": number}})
assert client.flush()
assert client.counts.spooled == 200, client.counts
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(list(spool.glob("*.json"))) >= 4
    with Client(server.url, spool=spool) as client:
        wait_until("the spool is empty", lambda: not list(spool.glob("*.json")))
        wait_until("all is counted", lambda: client.counts.accepted == 200)
    assert numbers(server, "spooled") == list(range(200))


def test_a_spooled_request_that_was_stored_before_is_stored_once(server: Server, tmp_path: Path) -> None:
    """A request whose answer was lost is found in the spool under the same key, and stores nothing twice."""
    spool = tmp_path / "spool"
    with Client(NOWHERE, spool=spool) as client:
        track(client, "answer lost", 5)
        assert client.flush()
    (file,) = spool.glob("*.json")
    key = file.stem.split("-", 2)[2]
    assert server.submit(file.read_bytes(), headers={"idempotency-key": key}).status_code == 200
    with Client(server.url, spool=spool):
        wait_until("the spool is empty", lambda: not list(spool.glob("*.json")))
    assert numbers(server, "answer lost") == list(range(5))


def test_a_spool_keeps_what_a_wrong_key_cannot_send(start: Start, tmp_path: Path) -> None:
    """With a spool, a key that is refused loses nothing: the right one sends what was spooled."""
    server = start()
    command = [sys.executable, "-m", "footpath", "key", "create", "--role", "write", "--name", "app"]
    made = subprocess.run([*command, "--data", str(server.data)], capture_output=True, text=True, check=True)
    with Client(server.url, spool=tmp_path / "spool") as client:
        track(client, "mended", 3)
        assert client.flush()
    assert client.counts == Counts(tracked=3, spooled=3)
    with Client(server.url, made.stdout.split()[0], spool=tmp_path / "spool") as client:
        wait_until("they are stored", lambda: client.counts.accepted == 3)


def test_what_the_server_never_takes_is_kept_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A spooled request that is refused for good stays as a file for a person, and the next one is sent."""
    spool = tmp_path / "spool"
    with Client(NOWHERE, spool=spool, together=1) as client:
        track(client, "u", 2)
        assert client.flush()
    with answering(413) as (url, got), Client(url, spool=spool) as client:
        wait_until("both were sent", lambda: client.counts.accepted == 1)
    assert len(got) == 2
    (aside,) = spool.glob("*.refused")
    assert aside.read_bytes() == got[0]["body"]
    assert aside.name in caplog.text


def test_a_full_spool_leaves_actions_in_memory(start: Start, tmp_path: Path) -> None:
    """When the spool has no room actions wait in memory, and are stored when the server is back."""
    server = start()
    port = server.port
    server.stop()
    with Client(f"http://127.0.0.1:{port}", spool=tmp_path / "spool", spool_bytes=10) as client:
        track(client, "no room", 3)
        wait_until("it was tried", lambda: client.counts.waiting == 3)
        again = start(server.data, arguments=["--port", str(port)])
        assert client.flush()
    assert numbers(again, "no room") == [0, 1, 2]


def test_the_end_of_the_program_sends_what_waits(server: Server) -> None:
    """A program that just ends, without a close, has sent what it tracked."""
    program = f"""
from footpath.client import Client
client = Client("{server.url}")
for number in range(10):
    client.track("ended", "s", "view", {{"n": number}})
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert numbers(server, "ended") == list(range(10))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_processes_send_each_its_own(server: Server) -> None:
    """A client made before a fork works in parent and child, and nothing is sent by both."""
    program = f"""
import os
from footpath.client import Client
client = Client("{server.url}")
for number in range(10):
    client.track("forked", "s", "view", {{"n": number}})
child = os.fork()
first = 100 if child == 0 else 200
for number in range(first, first + 10):
    client.track("forked", "s", "view", {{"n": number}})
assert client.flush()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert numbers(server, "forked") == [*range(10), *range(100, 110), *range(200, 210)]
