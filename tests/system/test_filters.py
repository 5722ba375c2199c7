"""Every combination of filters finds what a list comprehension over the posted actions finds.

Three servers hold the same actions: in the journal, in parts, and half in each. Leaves out pages (`test_pages`), what a
query may not be (`test_queries`) and other formats than JSON (`test_formats`).
"""

import itertools
import os
import random
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from tests.system.conftest import Server, Start, wait_until

Json = dict[str, Any]

FLUSHING = {"FOOTPATH_FLUSH_SECONDS": "0.05"}
NEVER = {"FOOTPATH_FLUSH_SECONDS": "3600"}
USERS = ("anna", "ANNA", "bert", "\u00e9mile \U0001f463", "anna ")
SESSIONS = ("one", "two", "One", "../3")
TYPES = ("CLICK", "VIEW", "NAVIGATE")
DAY = datetime(2024, 3, 31, tzinfo=UTC)  # on which clocks change in Europe


class Posted(NamedTuple):
    """An action as it was posted; their order is the order of seq."""

    user: str
    session: str
    time: datetime
    type: str
    number: int

    def told(self) -> Json:
        """As a request says it."""
        return {"time": self.time.isoformat(), "type": self.type, "properties": {"number": self.number}}


def made(seed: int, count: int) -> list[Posted]:
    """Made-up actions: few different instants, so that there are ties; many offsets; the ends of time."""
    draw = random.Random(seed)
    zones = [UTC, *(timezone(timedelta(minutes=minutes)) for minutes in (-720, -210, 1, 60, 120, 345, 840))]
    ends = [
        datetime.min.replace(tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    ]
    ends.append(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))
    actions = []
    for number in range(count):
        instant = DAY + timedelta(
            hours=draw.randrange(-30, 54), microseconds=draw.choice([0, 0, 0, 1, 999_999, 500_000])
        )
        time = draw.choice(ends) if draw.random() < 0.03 else instant.astimezone(draw.choice(zones))
        actions.append(Posted(draw.choice(USERS), draw.choice(SESSIONS), time, draw.choice(TYPES), number))
    return actions


def requests(actions: Sequence[Posted], size: int) -> Iterator[list[Json]]:
    """Actions in requests of so many, neighbours of one session in one batch."""
    for start in range(0, len(actions), size):
        yield [
            {"userId": user, "sessionId": session, "actions": [action.told() for action in group]}
            for (user, session), group in itertools.groupby(
                actions[start : start + size], key=lambda action: action[:2]
            )
        ]


def post(server: Server, actions: Sequence[Posted], size: int = 50) -> None:
    """Post actions in order; every one must be accepted."""
    for body in requests(actions, size):
        answer = server.submit(body).json()
        assert answer["accepted"] == sum(len(batch["actions"]) for batch in body), answer


def flushed(server: Server, actions: Sequence[Posted]) -> None:
    """Post actions in one request and wait until they are in a part."""
    before = server.parts()
    post(server, actions, len(actions))
    wait_until("they are in a part", lambda: server.parts() - before)


SEED = int(os.environ.get("SEED", random.randrange(2**32)))
ACTIONS = made(SEED, 600)


@pytest.fixture(scope="module", params=["journal", "parts", "both"])
def server(request: pytest.FixtureRequest, start: Start) -> Server:
    """A server that holds ACTIONS: in the journal, in parts, or half in each."""
    if request.param == "journal":
        server = start(environment=NEVER)
        post(server, ACTIONS)
        return server
    server = start(environment=FLUSHING)
    if request.param == "parts":
        flushed(server, ACTIONS)
        return server
    flushed(server, ACTIONS[:300])
    server.stop()
    server = start(server.data, environment=NEVER)
    post(server, ACTIONS[300:])
    return server


class Filters(NamedTuple):
    """A query, as values; None and () leave a filter out."""

    user: str | None
    session: str | None
    types: tuple[str, ...]
    times: tuple[datetime, datetime] | None

    def parameters(self) -> Json:
        """As the URL says it."""
        given: Json = {"userId": self.user, "sessionId": self.session, "logType": [name.lower() for name in self.types]}
        if self.times is not None:
            given |= {"fromTime": self.times[0].isoformat(), "toTime": self.times[1].isoformat()}
        return {name: value for name, value in given.items() if value}

    def select(self, actions: Sequence[Posted]) -> list[Posted]:
        """What it must find, in (time, seq) order."""
        found = [
            action
            for action in actions
            if (self.user is None or action.user == self.user)
            and (self.session is None or action.session == self.session)
            and (not self.types or action.type in self.types)
            and (self.times is None or self.times[0] <= action.time <= self.times[1])
        ]
        return sorted(found, key=lambda action: (action.time, action.number))


def as_batches(found: Sequence[Posted]) -> list[Json]:
    """Found actions as the answer says them: users by id, their sessions in the order they began, each once."""
    sessions: dict[tuple[str, str], list[Posted]] = {}
    for action in found:
        sessions.setdefault((action.user, action.session), []).append(action)
    order = sorted(sessions, key=lambda key: (key[0], sessions[key][0].time, key[1]))
    return [
        {"userId": key[0], "sessionId": key[1], "actions": [read(action.told()) for action in sessions[key]]}
        for key in order
    ]


def read(action: Json) -> Json:
    """An action with its time as instant and offset, which is what must come back of it."""
    time = datetime.fromisoformat(action["time"])
    return {**action, "time": (time, time.utcoffset())}


def ask(server: Server, filters: Filters, **more: Any) -> list[Json]:
    """What the server finds, with times read."""
    answer = server.retrieve(**filters.parameters(), **more)
    assert answer.status_code == 200, answer.text
    return [{**batch, "actions": [read(action) for action in batch["actions"]]} for batch in answer.json()]


_HOUR = timedelta(hours=1)
_MICRO = timedelta(microseconds=1)
COMBINATIONS = [
    Filters(user, session, types, times)
    for user, session, types, times in itertools.product(
        [None, "anna", "nobody"],
        [None, "one", "none"],
        [(), ("CLICK",), ("VIEW", "NAVIGATE"), TYPES],
        [
            None,
            (DAY, DAY + 6 * _HOUR),
            (DAY, DAY),
            (DAY - 30 * _HOUR, DAY + 54 * _HOUR),
            (DAY + _MICRO, DAY + _HOUR - _MICRO),
            (datetime.min.replace(tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        ],
    )
    if user or session or types or times
]


def test_every_combination_of_filters_is_exact(server: Server) -> None:
    """Each combination of user, session, types and time range finds exactly what it says, in order, with offsets."""
    print(f"SEED={SEED}")
    for filters in COMBINATIONS:
        assert ask(server, filters) == as_batches(filters.select(ACTIONS)), filters


def test_random_filters_are_exact(server: Server) -> None:
    """Random filters, with ends of ranges on and beside the instants of actions, find exactly what they say."""
    print(f"SEED={SEED}")
    draw = random.Random(SEED)
    for _ in range(80):
        near = [action.time for action in ACTIONS if 1 < action.time.year < 9999]
        ends = sorted(draw.choice(near) + draw.choice([-1, 0, 0, 1]) * _MICRO for _ in range(2))
        filters = Filters(
            draw.choice([None, *USERS]),
            draw.choice([None, *SESSIONS]),
            tuple(draw.sample(TYPES, draw.randrange(4))),
            (ends[0], ends[1]) if draw.random() < 0.6 else None,
        )
        if not filters.parameters():
            continue
        found = filters.select(ACTIONS)
        assert ask(server, filters) == as_batches(found), filters
        limit = draw.randrange(1, 700)
        paged = [action for batch in ask(server, filters, limit=limit) for action in batch["actions"]]
        assert sorted(action["properties"]["number"] for action in paged) == sorted(
            action.number for action in found[:limit]
        )


def test_what_comes_out_can_be_posted_again(server: Server, start: Start) -> None:
    """The answer to a read of everything, posted to an empty footpath, gives the same answer there."""
    everything = server.retrieve(logType=["click", "view", "navigate"])
    other = start()
    answer = other.submit(everything.content).json()
    assert (answer["accepted"], answer["rejected"]) == (len(ACTIONS), [])
    assert other.retrieve(logType=["click", "view", "navigate"]).json() == everything.json()
    other.stop()


def test_nothing_found_is_an_empty_array(server: Server) -> None:
    """A query that finds nothing is answered 200 with an empty array."""
    for parameters in (
        {"userId": "nobody"},
        {"userId": "nobody", "limit": 5},
        {"fromTime": "1800-01-01", "toTime": "1800-12-31"},
    ):
        answer = server.retrieve(**parameters)
        assert (answer.status_code, answer.content) == (200, b"[]")


DATES = {
    "a day": ("2024-03-31", "2024-03-31", DAY, DAY + timedelta(days=1) - _MICRO),
    "two days": ("2024-03-31", "2024-04-01", DAY, DAY + timedelta(days=2) - _MICRO),
    "no offset is UTC": ("2024-03-31T00:00:00", "2024-03-31T06:00:00", DAY, DAY + 6 * _HOUR),
    "an offset": ("2024-03-31T02:00:00+02:00", "2024-03-31T01:00:00-05:00", DAY, DAY + 6 * _HOUR),
    "Z and a fraction": ("2024-03-31T00:00:00.000001Z", "2024-03-31T06:00:00.000000Z", DAY + _MICRO, DAY + 6 * _HOUR),
    "a date and a time": ("2024-03-31", "2024-03-31T06:00:00Z", DAY, DAY + 6 * _HOUR),
    "all of time": ("0001-01-01", "9999-12-31", datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
}


@pytest.mark.parametrize(("low", "high", "after", "before"), DATES.values(), ids=DATES.keys())
def test_ways_to_say_a_range(server: Server, low: str, high: str, after: datetime, before: datetime) -> None:
    """A range may be said with dates, which mean whole days, with offsets, or without, which means UTC."""
    filters = Filters(None, None, (), (after, before))
    answer = server.retrieve(fromTime=low, toTime=high)
    assert [
        {**batch, "actions": [read(action) for action in batch["actions"]]} for batch in answer.json()
    ] == as_batches(filters.select(ACTIONS))


def test_a_plus_that_arrives_as_a_space(server: Server) -> None:
    """A URL with a bare + in a time, which means a space there, is understood as an offset."""
    bare = server.client.get("/api/retrievelogs?fromTime=2024-03-31T02:00:00+02:00&toTime=2024-03-31T12:00:00+02:00")
    assert bare.status_code == 200
    assert bare.json() == server.retrieve(fromTime="2024-03-31T00:00:00Z", toTime="2024-03-31T10:00:00Z").json()
    assert bare.json()


def test_types_in_any_case(server: Server) -> None:
    """logType is taken in any case, and naming a type twice changes nothing."""
    expected = server.retrieve(logType="click").content
    for names in ("CLICK", "Click", "cLiCk", ["click", "CLICK"]):
        assert server.retrieve(logType=names).content == expected


def test_the_same_question_has_the_same_answer(server: Server) -> None:
    """The answer to one question is the same bytes each time."""
    sums = {zlib.crc32(server.retrieve(fromTime="0001-01-01", toTime="9999-12-31").content) for _ in range(5)}
    assert len(sums) == 1
