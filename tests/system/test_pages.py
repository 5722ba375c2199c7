"""Reads while others write: pages neither skip nor repeat, and what was acknowledged is found by the very next read.

Flushes and merges go on all the time: the tests hold that there were some.
"""

import itertools
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.system.conftest import Server, Start

Json = dict[str, Any]

SEED = int(os.environ.get("SEED", random.randrange(2**32)))
MOMENTS = [f"2024-03-{day:02}T{hour:02}:00:00Z" for day in range(1, 11) for hour in range(24)]  # few: many ties


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that flushes as often as it can."""
    return start(environment={"FOOTPATH_FLUSH_SECONDS": "0.05"})


def batch(draw: random.Random, user: str, numbers: range) -> Json:
    """A batch of numbered actions at moments drawn from a few."""
    actions = [
        {"time": draw.choice(MOMENTS), "type": draw.choice(["CLICK", "VIEW"]), "properties": {"n": number}}
        for number in numbers
    ]
    return {"userId": user, "sessionId": draw.choice("abc"), "actions": actions}


class Writer:
    """Posts batches of one user after the other until it is stopped; `acknowledged` and `sent` count its actions."""

    def __init__(self, server: Server, user: str) -> None:
        """Begin with number 0."""
        self.user = user
        self.acknowledged = self.sent = 0
        self.failure: str | None = None
        self._server = server
        self._stop = threading.Event()

    def run(self) -> None:
        """Write until told to stop."""
        draw = random.Random(SEED)
        with httpx.Client(base_url=self._server.url, trust_env=False, timeout=30) as client:
            while not self._stop.is_set():
                numbers = range(self.sent, self.sent + draw.randrange(1, 20))
                self.sent = numbers.stop
                answer = client.post("/api/submitlogs", json=[batch(draw, self.user, numbers)])
                if answer.status_code != 200:
                    self.failure = answer.text
                    return
                self.acknowledged = numbers.stop
                time.sleep(0.001)  # leaves the reader some of the processor

    def stop(self) -> None:
        """Tell it to stop."""
        self._stop.set()


@contextmanager
def writing(server: Server, user: str) -> Iterator[Writer]:
    """A writer at work."""
    writer = Writer(server, user)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer.stop()
        thread.join()
    assert writer.failure is None


def walk(server: Server, query: str) -> Iterator[list[Json]]:
    """The lines of each page."""
    url = f"/api/retrievelogs?{query}"
    while url:
        answer = server.client.get(url, headers={"accept": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text
        lines = [json.loads(line) for line in answer.text.splitlines()]
        yield lines
        url = answer.links.get("next", {}).get("url", "")
        assert not url or lines


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "filters", ["userId={user}", "fromTime=2024-03-02&toTime=2024-03-09", "userId={user}&logType=click"]
)
def test_pages_neither_skip_nor_repeat_while_others_write(server: Server, order: str, filters: str) -> None:
    """A walk through pages of any size gives what was there when it began, each action once, in order."""
    print(f"SEED={SEED}")
    draw = random.Random(SEED)
    user = f"{order}-{len(filters)}"
    assert server.submit([batch(draw, user, range(-number - 300, -number)) for number in (0, 300)]).status_code == 200
    parts = server.parts()
    with writing(server, user) as writer:
        while server.parts() == parts:
            time.sleep(0.01)
        for _ in range(2):
            before = writer.acknowledged
            limit = draw.randrange(30, 300)
            pages = walk(server, f"{filters.format(user=user)}&order={order}&limit={limit}")
            found = [line for line in next(pages) if line["userId"] == user]
            after = writer.sent
            for page in pages:
                assert len(page) <= limit
                found += [line for line in page if line["userId"] == user]
            numbers = [line["properties"]["n"] for line in found]
            assert len(set(numbers)) == len(numbers), "an action came twice"
            places = [(line["time"], line["seq"]) for line in found]
            assert places == sorted(places, reverse=order == "desc")
            assert max(numbers) < after, "an action came that was sent after the first page"
            whole = walk(server, f"userId={user}&limit=10000")
            wanted = {
                line["properties"]["n"]
                for page in whole
                for line in page
                if line["properties"]["n"] < before
                and ("logType" not in filters or line["type"] == "CLICK")
                and ("fromTime" not in filters or "2024-03-02" <= line["time"][:10] <= "2024-03-09")
            }
            assert wanted <= set(numbers), "an action that was there did not come"


def test_a_cursor_goes_on_after_a_restart(server: Server) -> None:
    """A walk that is interrupted by a restart of the server goes on where it was."""
    user = "restart"
    assert server.submit(batch(random.Random(SEED), user, range(100))).status_code == 200
    pages = walk(server, f"userId={user}&limit=30")
    found = next(pages)
    server.restart()
    for page in pages:
        found += page
    assert sorted(line["properties"]["n"] for line in found) == list(range(100))


def test_pages_of_json_hold_each_session_once(server: Server) -> None:
    """A page of JSON holds each session once, and pages together hold the whole answer."""
    user = "json pages"
    draw = random.Random(SEED)
    assert (
        server.submit([batch(draw, user, range(start, start + 10)) for start in range(0, 100, 10)]).status_code == 200
    )
    url = f"/api/retrievelogs?userId={user}&limit=17"
    numbers: list[int] = []
    sizes = []
    while url:
        answer = server.client.get(url)
        sessions = [(found["userId"], found["sessionId"]) for found in answer.json()]
        assert len(set(sessions)) == len(sessions)
        page = [action for found in answer.json() for action in found["actions"]]
        sizes.append(len(page))
        numbers += [action["properties"]["n"] for action in page]
        url = answer.links.get("next", {}).get("url", "")
    assert sizes == [17] * 5 + [15]
    assert sorted(numbers) == list(range(100))


@pytest.mark.parametrize(("count", "limit", "pages"), [(10, 10, 1), (10, 9, 2), (10, 1, 10), (0, 1, 1), (20, 10, 2)])
def test_the_last_page_has_no_link(server: Server, count: int, limit: int, pages: int) -> None:
    """There is a Link exactly when there is more."""
    user = f"exact {count} {limit}"
    if count:
        assert server.submit(batch(random.Random(SEED), user, range(count))).status_code == 200
    assert len(list(walk(server, f"userId={user}&limit={limit}"))) == pages


def test_a_page_of_large_actions_ends_early_and_goes_on(server: Server) -> None:
    """A page that would be very large ends before its limit, with a Link to the rest."""
    for number in range(0, 160, 40):
        actions = [
            {"time": "2024-03-01T00:00:00Z", "type": "CLICK", "properties": {"n": n, "text": "x" * 60_000}}
            for n in range(number, number + 40)
        ]
        assert server.submit({"userId": "large", "sessionId": "s", "actions": actions}).status_code == 200
    pages = [[line["properties"]["n"] for line in page] for page in walk(server, "userId=large&limit=10000")]
    assert len(pages) == 2
    assert list(itertools.chain(*pages)) == list(range(160))


def test_what_was_acknowledged_is_read_at_once(server: Server) -> None:
    """Right after its 200, an action is in the answer to any query that it matches, while flushes and merges run."""
    stale: list[str] = []
    parts = server.parts()

    def pairs(name: str) -> None:
        draw = random.Random(f"{SEED} {name}")
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
            for number in range(50):
                sent = batch(draw, name, range(number, number + 1))
                client.post("/api/submitlogs", json=sent).raise_for_status()
                time_ = sent["actions"][0]["time"]
                query = draw.choice(
                    [
                        f"userId={name}",
                        f"userId={name}&fromTime={time_}&toTime={time_}",
                        f"sessionId={sent['sessionId']}",
                    ]
                )
                answer = client.get(f"/api/retrievelogs?{query}", headers={"accept": "application/x-ndjson"})
                mine = [json.loads(line) for line in answer.text.splitlines() if f'"userId":"{name}"' in line]
                if [line["properties"]["n"] for line in mine].count(number) != 1:
                    stale.append(f"{name} {number}: {query}")

    threads = [threading.Thread(target=pairs, args=(f"pair{place}",)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not stale
    assert server.parts() - parts, "there was no flush"
