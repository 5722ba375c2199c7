"""Clients that send again until they are answered store nothing twice and lose nothing, whatever cuts them off.

RETRIES sets how many actions are sent: a fifth of the requests have their connection cut after sending, and the server
is killed every few seconds. PAIRS sets how often an action is written and read back at once, WALKS how often pages are
walked through, both while others write and everything is flushed and merged all the time.
"""

import contextlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.crash.load import Load
from tests.crash.oracle import Notes
from tests.crash.process import WAIT_SECONDS, Server, check_folder, wait_for
from tests.proof import SEED, publish, times

RETRIES = times("RETRIES", 20_000)
PAIRS = times("PAIRS", 400)
WALKS = times("WALKS", 20)
THREADS = 8
KILL_EVERY = 2.0  # seconds, on average
FIRST, LAST = 300, 500  # actions of a user when walks begin, and when a new one takes its place: walks stay short
pytestmark = pytest.mark.torture  # tests/system has the short forms


def test_retries_store_nothing_twice(tmp_path: Path) -> None:
    """Batches with an Idempotency-Key are there once, however often their connection was cut or the server killed."""
    notes = Notes(tmp_path / "acknowledged")
    chance = random.Random(SEED)
    server = Server(
        tmp_path / "data",
        FOOTPATH_FLUSH_SECONDS="1",
        FOOTPATH_FLUSH_ACTIONS="20000",
        FOOTPATH_PART_ACTIONS="20000",
    )
    kills = 0
    try:
        server.start()
        load = Load(server, notes, SEED, 16, pace=0.0, keyed=1.0, cut=0.2, sizes=(20, 50, 80), rich=False)
        with load.running():
            while len(notes.acknowledged) < RETRIES:
                time.sleep(chance.uniform(0, 2 * KILL_EVERY))
                server.kill(chance.choice(("server", "both")))
                kills += 1
        server.settle()
        verdict = notes.judge(server.everything())
        assert check_folder(server.folder).returncode == 0
    finally:
        server.stop()
        notes.close()
    publish("retries", requests=load.requests, answers_lost=load.lost_answers, kills=kills, **verdict._asdict())
    assert verdict.clean, f"{verdict}; seed {SEED}"
    assert load.lost_answers > load.requests // 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that flushes and merges all the time."""
    made = Server(tmp_path / "data", FOOTPATH_FLUSH_SECONDS="0.2")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def connect(server: Server) -> contextlib.closing[http.client.HTTPConnection]:
    """A connection, closed when the block is left."""
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS))


def ask(connection: http.client.HTTPConnection, path: str, body: object = None) -> http.client.HTTPResponse:
    """A GET, or a POST of a value as JSON."""
    headers = {"accept": "application/x-ndjson"}
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
    return connection.getresponse()


def in_threads(work: Callable[[int], None], number: int) -> None:
    """Do some work in threads; what goes wrong in one is raised here."""
    wrong: list[BaseException] = []

    def guarded(place: int) -> None:
        try:
            work(place)
        except BaseException as error:  # noqa: BLE001 - raised below
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in wrong:
        raise error


def action(chance: random.Random, number: int) -> dict[str, object]:
    """An action with a number, at one of few moments: many ties."""
    at = f"2024-03-{chance.randrange(1, 11):02}T{chance.randrange(24):02}:00:00Z"
    return {"time": at, "type": chance.choice(("CLICK", "VIEW")), "properties": {"n": number}}


def test_what_was_acknowledged_is_read_at_once(server: Server) -> None:
    """What a thread was told is submitted its next read finds, by any filter, while flushes and merges run."""
    numbers = count()
    stale = []

    def pairs(place: int) -> None:
        chance = random.Random(f"{SEED} {place}")
        with connect(server) as connection:
            for _ in range(PAIRS // THREADS):
                number = next(numbers)
                user, session = f"pair {place} {chance.randrange(50)}", f"{number // 40}"
                one = action(chance, number)
                sent = ask(connection, "/api/submitlogs", {"userId": user, "sessionId": session, "actions": [one]})
                assert (sent.status, json.loads(sent.read())["accepted"]) == (200, 1)
                filters = chance.choice(
                    (f"userId={quote(user)}", f"sessionId={session}", f"userId={quote(user)}&logType={one['type']}")
                )
                found = ask(connection, f"/api/retrievelogs?{filters}")
                if [json.loads(line)["properties"]["n"] for line in found.read().splitlines()].count(number) != 1:
                    stale.append((number, filters))

    parts = set((server.folder / "parts").iterdir())
    in_threads(pairs, THREADS)
    publish("read-your-writes", pairs=PAIRS // THREADS * THREADS, threads=THREADS, stale=len(stale))
    assert not stale
    assert set((server.folder / "parts").iterdir()) - parts, "there was no flush"


class Walked:
    """Users whose actions are walked through while more are written; how many were sent, and how many acknowledged."""

    def __init__(self, server: Server, number: int) -> None:
        """Begin with so many users."""
        self.sent: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self._chance = random.Random(SEED)
        self._server = server
        self._names = map("walk {}".format, count())
        self.users: list[str] = []
        with connect(server) as connection:
            for _ in range(number):
                self.users.append(self._begin(connection))

    def write_until(self, stop: threading.Event) -> None:
        """Write an action of one of the users at a time; a new one takes the place of each that has enough."""
        with connect(self._server) as connection:
            while not stop.wait(0.02):
                place = self._chance.randrange(len(self.users))
                self._write(connection, self.users[place], 1)
                if self.sent[self.users[place]] > LAST:
                    self.users[place] = self._begin(connection)

    def _begin(self, connection: http.client.HTTPConnection) -> str:
        user = next(self._names)
        self._write(connection, user, FIRST)
        return user

    def _write(self, connection: http.client.HTTPConnection, user: str, number: int) -> None:
        actions = [action(self._chance, self.sent[user] + place) for place in range(number)]
        self.sent[user] += number
        answer = ask(connection, "/api/submitlogs", {"userId": user, "sessionId": "s", "actions": actions})
        assert (answer.status, json.loads(answer.read())["accepted"]) == (200, number)
        self.said[user] = self.sent[user]


def check_walk(found: list[tuple[str, int, int]], before: int, after: int, order: str) -> None:
    """That a walk found the first `before` actions, of those before `after`, once and in order of (time, seq)."""
    numbers = {number for _, _, number in found}
    assert len(numbers) == len(found), "an action came twice"
    assert set(range(before)) <= numbers, "an action that was there did not come"
    assert max(numbers) < after, "an action came that was sent after the first page"
    assert found == sorted(found, reverse=order == "desc")


def test_pages_neither_skip_nor_repeat(server: Server) -> None:
    """A walk through pages finds each action that was there when it began once, in order, whatever is written."""
    walked = Walked(server, 20)
    stop = threading.Event()
    turns = iter(range(WALKS))
    pages = count()

    def walks(place: int) -> None:
        mine = random.Random(f"{SEED} {place}")
        with connect(server) as connection:
            for _ in turns:
                user, order = mine.choice(walked.users), mine.choice(("asc", "desc"))
                before = walked.said[user]
                path = f"/api/retrievelogs?userId={quote(user)}&order={order}&limit={mine.randrange(20, 200)}"
                found: list[tuple[str, int, int]] = []
                after = 0
                while path:
                    answer = ask(connection, path)
                    assert answer.status == 200
                    link = answer.headers.get("link", "")
                    lines = [json.loads(line) for line in answer.read().splitlines()]
                    found += [(line["time"], line["seq"], line["properties"]["n"]) for line in lines]
                    after = after or walked.sent[user]  # what was sent when the first page had come
                    path = link[1 : link.index(">")] if link else ""
                    next(pages)
                check_walk(found, before, after, order)

    writer = threading.Thread(target=walked.write_until, args=(stop,))
    writer.start()
    try:
        in_threads(walks, 4)
    finally:
        stop.set()
        writer.join()
    publish("pages", walks=WALKS, pages=next(pages), users=len(walked.sent), skipped=0, repeated=0)
    wait_for("a look at the server", server.is_ready)
