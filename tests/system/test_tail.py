"""Who follows gets every action that matches, once, in the order it was kept: also late, slow, and over a restart."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.system.conftest import Server, Start, wait_until

Json = dict[str, Any]
SEED = int(os.environ.get("SEED", random.randrange(2**32)))


class Follower:
    """A client of /api/tail that reads in a thread, unless it pauses: `events` are (id, line) as they came."""

    def __init__(self, server: Server, last: int | None = None, **query: Any) -> None:
        """Begin to follow; `last` is the Last-Event-ID."""
        self.events: list[tuple[int, str]] = []
        self.last: int | None = None
        self.head = b""
        self.has_ended = False
        self._left = b""
        self._text = ""
        self._reads = threading.Event()
        self._reads.set()
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        seen = "" if last is None else f"Last-Event-ID: {last}\r\n"
        path = f"/api/tail?{urlencode(query, doseq=True)}"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n{seen}\r\n".encode())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_until("the tail is answered", lambda: self.last is not None or self.has_ended)

    def _read(self) -> None:
        while self._reads.wait():
            try:
                piece = self._socket.recv(1 << 16)
            except OSError:
                piece = b""
            if not piece:
                self.has_ended = True
                return
            if not self.head:
                self.head, _, piece = (self._left + piece).partition(b"\r\n\r\n")
                self._left = b""
            self._left += piece
            self._take_chunks()

    def _take_chunks(self) -> None:
        while b"\r\n" in self._left:
            size, _, rest = self._left.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._text += rest[:length].decode()
            self._left = rest[length + 2 :]
        *whole, self._text = self._text.split("\n\n")
        for event in whole:
            if event.startswith("retry: "):
                continue
            fields = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
            if "id" in fields:
                self.last = int(fields["id"])
            if "data" in fields:
                assert fields["event"] == "action"
                self.events.append((int(fields["id"]), fields["data"]))

    def pause(self) -> None:
        """Take nothing more for now."""
        self._reads.clear()

    def go_on(self) -> None:
        """Read again."""
        self._reads.set()

    def stop(self) -> None:
        """Go away."""
        self._reads.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def numbers(self) -> list[int]:
        """The property `n` of what came."""
        return [json.loads(line)["properties"]["n"] for _, line in self.events]


@contextmanager
def following(server: Server, last: int | None = None, **query: Any) -> Iterator[Follower]:
    """A follower at work."""
    follower = Follower(server, last, **query)
    try:
        yield follower
    finally:
        follower.stop()


def views(user: str, numbers: range, session: str = "s", kind: str = "VIEW", pad: int = 0) -> Json:
    """A batch of numbered actions."""
    more = {"pad": "x" * pad} if pad else {}
    actions = [{"time": "2024-03-01T10:00:00.5+01:00", "type": kind, "properties": {"n": n, **more}} for n in numbers]
    return {"userId": user, "sessionId": session, "actions": actions}


def lines(server: Server, **query: Any) -> list[str]:
    """What a read gives, in the order of seq."""
    text = server.retrieve(accept="application/x-ndjson", **query).text
    return sorted(text.rstrip("\n").split("\n"), key=lambda line: int(json.loads(line)["seq"]))


def test_what_comes_is_what_a_read_gives(server: Server) -> None:
    """Each action that is kept comes as one event, with its seq as the id and the line of NDJSON as its data."""
    with following(server, userId="same") as follower:
        action = {
            "time": "2018-10-20T21:37:28.120-06:00",
            "type": "click",
            "id": "ü1",
            "properties": {"a": ["\u2028", 1.5]},
        }
        batch = {
            "userId": "same",
            "sessionId": "s\ns",
            "actions": [action, {"time": "2018-10-20T21:37:28Z", "type": "VIEW"}],
        }
        assert server.submit([batch, views("another", range(5))]).status_code == 200
        wait_until("both came", lambda: len(follower.events) >= 2)
    assert [line for _, line in follower.events] == lines(server, userId="same")
    assert [id_ for id_, _ in follower.events] == [json.loads(line)["seq"] for _, line in follower.events]
    assert b"content-type: text/event-stream" in follower.head


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"userId": "f1"}, {"f1"}),
        ({"sessionId": "fs"}, {"f2"}),
        ({"userId": "f2", "sessionId": "fs"}, {"f2"}),
        ({"userId": "f1", "sessionId": "fs"}, set()),
        ({"logType": "navigate", "userId": "f3"}, {"f3"}),
        ({"logType": ["click", "view"], "userId": "f3"}, set()),
        ({}, {"f1", "f2", "f3"}),
    ],
)
def test_filters_choose(server: Server, query: Json, wanted: set[str]) -> None:
    """A tail has the filters of a read: user, session and types, in any combination, or none."""
    with following(server, **query) as follower, following(server) as everything:
        batches = [views("f1", range(2)), views("f2", range(2), "fs"), views("f3", range(2), kind="NAVIGATE")]
        assert server.submit(batches).status_code == 200
        wait_until("all came to one who wants all", lambda: len(everything.events) >= 6)
        wait_until("what is wanted came", lambda: len(follower.events) >= 2 * len(wanted))
        assert sorted(json.loads(line)["userId"] for _, line in follower.events) == sorted([*wanted, *wanted])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_skipped_or_repeated_over_reconnects(start: Start, workers: str) -> None:
    """Followers that come and go while writes, flushes and merges run get each acknowledged action once, in order."""
    print(f"SEED={SEED}")
    draw = random.Random(SEED)
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.2"}, arguments=["--workers", workers])
    with following(server) as first:
        assert server.submit(views("start", range(1))).status_code == 200
        wait_until("a first one came", lambda: first.events)
    got, last = list(first.events), first.last
    done = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
            for number in range(150):
                batch = views(f"u{number % 7}", range(10 * number, 10 * number + 10))
                assert client.post("/api/submitlogs", json=batch).status_code == 200
                time.sleep(0.01)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set() or len(got) < 1501:
        with following(server, last) as follower:
            done.wait(draw.uniform(0.05, 0.6))
            if done.is_set():
                wait_until("the rest came", lambda: len(got) + len(follower.events) >= 1501)  # noqa: B023
        got += follower.events
        last = follower.last
    writer.join()
    wait_until("there are parts", server.parts)
    assert [id_ for id_, _ in got] == sorted({id_ for id_, _ in got})
    assert sorted(json.loads(line)["properties"]["n"] for _, line in got[1:]) == list(range(1500))


def test_a_flush_that_is_quicker_than_a_look_hides_nothing(start: Start) -> None:
    """Those who follow one user, one session or all get theirs, each once, while rows leave the journal at once."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.01"})
    with (
        following(server, userId="q3") as by_user,
        following(server, sessionId="session q4") as by_session,
        following(server) as everything,
    ):
        for number in range(120):
            user = f"q{number % 7}"
            batch = views(user, range(10 * number, 10 * number + 10), f"session {user}")
            assert server.submit(batch).status_code == 200
            time.sleep(0.01)
        wait_until("all came", lambda: len(everything.events) >= 1200)
        theirs = {name: [n for n in range(1200) if n // 10 % 7 == name] for name in (3, 4)}
        wait_until(
            "theirs came", lambda: len(by_user.events) + len(by_session.events) >= sum(map(len, theirs.values()))
        )
    assert by_user.numbers() == theirs[3]
    assert by_session.numbers() == theirs[4]
    assert everything.numbers() == list(range(1200))
    assert server.parts()


def test_a_follower_goes_on_after_a_restart(start: Start) -> None:
    """What was kept while nobody followed, and while the server was down and up again, comes after Last-Event-ID."""
    server = start()
    with following(server, userId="r") as follower:
        server.submit(views("r", range(3)))
        wait_until("they came", lambda: len(follower.events) == 3)
    server.submit(views("r", range(3, 6)))
    server.restart()
    server.submit(views("r", range(6, 9)))
    with following(server, follower.last, userId="r") as again:
        wait_until("they came", lambda: len(again.events) == 6)
        server.submit(views("r", range(9, 12)))
        wait_until("they came", lambda: len(again.events) == 9)
    assert again.numbers() == list(range(3, 12))
    with following(server, userId="r", after=0) as from_the_beginning:
        wait_until("all came", lambda: len(from_the_beginning.events) == 12)
    assert from_the_beginning.numbers() == list(range(12))


@pytest.mark.parametrize("query", [{}, {"userId": "mid"}, {"sessionId": "mid session"}])
def test_one_cut_off_in_the_middle_of_a_batch_gets_the_rest_of_it(server: Server, query: Json) -> None:
    """A Last-Event-ID between two actions of one batch gives the later ones, and none of the earlier."""
    assert server.submit(views("mid", range(10), "mid session")).status_code == 200
    seqs = [int(json.loads(line)["seq"]) for line in lines(server, userId="mid")][-10:]
    with following(server, seqs[3], **query) as follower:
        wait_until("the rest came", lambda: len(follower.events) >= 6)
    assert [id_ for id_, _ in follower.events] == seqs[4:]


def test_ids_of_any_kind_can_be_followed(server: Server) -> None:
    """A user and a session whose ids hold quotes, NUL or characters beyond 16 bits are followed as any other."""
    strange = 'nul\0 "quoted" \U0001f463 é'
    with following(server, userId=strange) as by_user, following(server, sessionId=strange) as by_session:
        assert server.submit([views(strange, range(2), strange), views("nul", range(2), "nul")]).status_code == 200
        wait_until("both came", lambda: len(by_user.events) >= 2 and len(by_session.events) >= 2)
    assert by_user.numbers() == by_session.numbers() == [0, 1]


def test_a_slow_follower_misses_nothing(start: Start) -> None:
    """One that takes nothing while more comes than is held for it gets all of it in the end, each once."""
    server = start(environment={"FOOTPATH_STALLED_SECONDS": "60"})
    with following(server, logType="view") as follower:
        follower.pause()
        for number in range(30):
            assert server.submit(views("slow", range(1000 * number, 1000 * number + 1000), pad=300)).status_code == 200
        time.sleep(1.0)  # for the follower to be too late: it is asked nothing of this moment
        follower.go_on()
        wait_until("all came", lambda: len(follower.events) >= 30_000, 60)
    assert follower.numbers() == list(range(30_000))


def test_a_follower_that_takes_nothing_is_cut_off(start: Start) -> None:
    """After `stalled_seconds` without a byte taken its connection is ended, and its place is free."""
    server = start(environment={"FOOTPATH_STALLED_SECONDS": "1"})
    with following(server) as follower:
        follower.pause()
        for number in range(30):
            assert server.submit(views("stall", range(1000 * number, 1000 * number + 1000), pad=500)).status_code == 200
        wait_until("it is cut off", lambda: server.events("cut off a client that takes nothing of its tail"))
        wait_until("its place is free", lambda: "footpath_tails 0" in server.client.get("/metrics").text)


def test_the_end_of_the_server_ends_tails(start: Start) -> None:
    """SIGTERM ends a tail in order, and the server is gone in seconds although somebody follows."""
    server = start()
    with following(server) as follower:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        wait_until("the tail ended", lambda: follower.has_ended)


def test_too_many_are_refused(start: Start) -> None:
    """Beyond `tails` followers it is 503 with Retry-After, and a place that becomes free can be had."""
    server = start(environment={"FOOTPATH_TAILS": "1"})
    with following(server):
        answer = server.client.get("/api/tail")
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert "retry-after" in answer.headers
    wait_until("the place is free", lambda: "footpath_tails 0" in server.client.get("/metrics").text)
    with following(server) as follower:
        assert follower.head.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("query", "headers", "named"),
    [
        ("logType=tap", {}, "logType"),
        ("userid=x", {}, "userid"),
        ("after=-1", {}, "after"),
        ("fromTime=2024-01-01&toTime=2024-01-02", {}, "fromTime"),
        ("", {"last-event-id": "abc"}, "Last-Event-ID"),
        ("", {"last-event-id": str(2**63)}, "Last-Event-ID"),
    ],
)
def test_what_cannot_be_followed_is_refused(server: Server, query: str, headers: Json, named: str) -> None:
    """An unknown parameter, type or seq is 400 with its name."""
    answer = server.client.get(f"/api/tail?{query}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_query")
    assert named in answer.json()["message"]


def test_head_has_no_events(server: Server) -> None:
    """HEAD is answered at once."""
    answer = server.client.head("/api/tail")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")


def test_the_command_shows_what_comes(server: Server) -> None:
    """`footpath tail` writes the lines that match as they come, and Ctrl-C says how to go on."""
    heeds = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", heeds]  # in the background of a shell it would heed no Ctrl-C
    command += [sys.executable, "-m", "footpath", "tail", "--data", str(server.data), "--user", "cli", "--after", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        server.submit([views("cli", range(2)), views("nobody", range(2))])
        got = [process.stdout.readline().rstrip("\n") for _ in range(2)]
        server.submit(views("cli", range(2, 3)))
        got.append(process.stdout.readline().rstrip("\n"))
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(20) == 0
    assert got == lines(server, userId="cli")
    assert "go on with --after" in said
