"""Overviews are what list comprehensions give over the same actions, wherever they are kept.

Random actions go into a folder, some into the journal only, others through flushes and merges into parts of a few rows,
some of which are summed up ahead.
"""

import asyncio
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from footpath import database, decode
from footpath.action import MAX_MICROS, MIN_MICROS, TYPE_BITS
from footpath.errors import BadQuery
from footpath.find import overviews as summing
from footpath.find.duckdb import DuckdbFind
from footpath.find.overviews import DuckdbOverviews
from footpath.journal import hot
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.keeper.summarise import Summariser
from footpath.overview import asked
from footpath.query import Query, filters, rfc3339
from footpath.store import parquet, summaries
from footpath.store.local import LocalStore

PART_ACTIONS = 5
DAY = 86_400_000_000
START = 1_793_000_000_000_000 // DAY * DAY
PAGES = ["home", "item/1", 'a"\\ü', "a\x00", "", "😀"]
SIZES = [0, 1, 7, 100, 1280, 99.5, 10**30, -5, None, "1280", True, [1], 5e-324]

times = st.sampled_from([MIN_MICROS, -1, 0, MAX_MICROS]) | st.integers(START, START + 3 * DAY)
pages = st.sampled_from([*PAGES, None])
other = pages | st.sampled_from([5, True, ["home"], {"page": "home"}])


@st.composite
def actions(draw: st.DrawFn) -> tuple[int, str, dict[str, Any]]:
    """Time, type and properties: those that overviews look at, of the types that they should have and of others."""
    kind = draw(st.sampled_from(sorted(TYPE_BITS)))
    made: dict[str, Any] = {}
    if draw(st.booleans()):
        made["page"] = draw(other)
    if kind == "NAVIGATE":
        made |= {name: draw(pages) for name in ("pageFrom", "pageTo") if draw(st.booleans())}
    else:
        place = st.sampled_from([0, 1, 50, 1279, 1280, 0.5, -1, 10**29, None])
        made |= {name: draw(place) for name in ("locationX", "locationY") if draw(st.booleans())}
        size = st.just(1280) | st.sampled_from(SIZES)
        made |= {name: draw(size) for name in ("pageWidth", "pageHeight") if draw(st.integers(0, 3))}
    return draw(times), kind, made


Step = tuple[str, str, list[tuple[int, str, dict[str, Any]]]] | Literal["flush", "merge", "sum up"]
users = st.sampled_from(["u", "v"])
sessions = st.sampled_from(["s", "t", "ü"])
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(users, sessions, st.lists(actions(), min_size=1, max_size=6))
    | st.sampled_from(["flush", "flush", "merge", "sum up"]),
    max_size=20,
)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, list[str]]:
    """The parameters of a time range, often of whole days."""
    first, last = sorted([draw(times), draw(times)])
    if draw(st.booleans()):
        last = max(MIN_MICROS, min(MAX_MICROS, last // DAY * DAY + DAY - 1))
        first = max(MIN_MICROS, first // DAY * DAY)
    return {"fromTime": [rfc3339(first)], "toTime": [rfc3339(last)]}


@dataclass(frozen=True)
class Kept:
    """An action that was kept."""

    user: str
    session: str
    time: int
    type: str
    properties: dict[str, Any]
    seq: int

    def page(self, *names: str) -> str | None:
        """The first of these properties that is text."""
        return next((self.properties[name] for name in names if isinstance(self.properties.get(name), str)), None)

    def cell(self, at: str, size: str, cells: int) -> int | None:
        """The column or row of a click."""
        place, whole = (number(self.properties.get(name)) for name in (at, size))
        if whole <= 0 or not 0 <= place <= whole:
            return None
        return min(math.floor(place / whole * 100), 99) * cells // 100


def east(time: int) -> int:
    """The offset of the clock that an action of this time comes with, in minutes; none at the ends of time."""
    return [0, -360, 330][time // 60_000_000 % 3] if MIN_MICROS + DAY < time < MAX_MICROS - DAY else 0


def local(time: int) -> str:
    """The time by that clock."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return moment.astimezone(timezone(timedelta(minutes=east(time)))).isoformat()


def number(value: object) -> float:
    """A JSON number as it counts; -1 for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else -1.0


@dataclass
class World:
    """A data folder, and the list of what was kept in it."""

    folder: Path
    engine: duckdb.DuckDBPyConnection
    store: LocalStore
    overviews: DuckdbOverviews
    summariser: Summariser
    kept: list[Kept] = field(default_factory=list)

    def go(self, plan: list[Step]) -> None:
        """Append batches, flush the oldest few, merge all runs, and sum one segment up, in the order of the plan."""
        for step in plan:
            if step == "flush":
                with closing(database.connect(self.folder)) as connection:
                    flush(connection, self.engine, self.store, PART_ACTIONS)
            elif step == "merge":
                runs = runs_of(self.store.live())
                if len(runs) > 1:
                    list(merge(self.engine, self.store, runs, PART_ACTIONS))
            elif step == "sum up":
                self.summariser.step(self.engine, self.store, self.store.live())
            else:
                asyncio.run(self._append(*step))

    async def _append(self, user: str, session: str, made: list[tuple[int, str, dict[str, Any]]]) -> None:
        body = {
            "userId": user,
            "sessionId": session,
            "actions": [{"time": local(time), "type": kind, "properties": given} for time, kind, given in made],
        }
        checked = decode.read(json.dumps(body).encode())
        assert checked.rejects == []
        journal = SqliteJournal(self.folder, max_actions=10**9, max_waiting_bytes=10**9)
        await journal.append(checked.entries)
        await journal.close()
        self.kept += [Kept(user, session, *one, len(self.kept) + place) for place, one in enumerate(made, 1)]

    def matching(self, query: Query) -> list[Kept]:
        """What a query asks for, in the order of time."""
        found = [
            one
            for one in self.kept
            if query.user_id in (None, one.user)
            and query.session_id in (None, one.session)
            and (not query.types or one.type in query.types)
            and (query.time_from is None or one.time >= query.time_from)
            and (query.time_to is None or one.time <= query.time_to)
        ]
        return sorted(found, key=lambda one: (one.time, one.seq))

    def sessions(self, query: Query) -> list[dict[str, Any]]:
        """The sessions that a query should give."""
        groups: dict[str, list[Kept]] = {}
        for one in self.matching(query):
            groups.setdefault(one.session, []).append(one)
        sign = 1 if query.order == "asc" else -1
        told = []
        for session, group in sorted(groups.items(), key=lambda item: (sign * item[1][-1].time, item[0])):
            of_type = Counter(one.type for one in group)
            first = (one.page("page", "pageFrom", "pageTo") for one in group)
            last = (one.page("page", "pageTo", "pageFrom") for one in reversed(group))
            told.append(
                {
                    "userId": group[0].user,
                    "sessionId": session,
                    "start": rfc3339(group[0].time),
                    "end": rfc3339(group[-1].time),
                    "utcOffset": east(group[0].time),
                    "actions": len(group),
                    "clicks": of_type["CLICK"],
                    "views": of_type["VIEW"],
                    "navigations": of_type["NAVIGATE"],
                    "firstPage": next((page for page in first if page is not None), None),
                    "lastPage": next((page for page in last if page is not None), None),
                }
            )
        return told

    def counts(self, query: Query, width: int) -> list[dict[str, Any]]:
        """The counts that a query should give."""
        buckets: dict[int, Counter[str]] = {}
        for one in self.matching(query):
            buckets.setdefault(one.time // width * width, Counter())[one.type] += 1
        return [
            {"time": rfc3339(time), **{name: of_type[name] for name in TYPE_BITS}}
            for time, of_type in sorted(buckets.items())
        ]

    def clicks(self, query: Query, page: str, columns: int, rows: int) -> dict[str, Any]:
        """The heat grid that a query should give."""
        clicks = [one for one in self.matching(query) if one.type == "CLICK" and one.page("page") == page]
        places = [
            (one.cell("locationY", "pageHeight", rows), one.cell("locationX", "pageWidth", columns)) for one in clicks
        ]
        cells = Counter((y, x) for y, x in places if x is not None and y is not None)
        return {
            "page": page,
            "columns": columns,
            "rows": rows,
            "clicks": len(clicks),
            "unplaced": len(clicks) - cells.total(),
            "cells": [{"x": x, "y": y, "count": cells[y, x]} for y, x in sorted(cells)],
        }

    def flows(self, query: Query, limit: int) -> dict[str, Any]:
        """The flows that a query should give."""
        ways = [(one.page("pageFrom"), one.page("pageTo")) for one in self.matching(query) if one.type == "NAVIGATE"]
        count = Counter((left, went) for left, went in ways if left is not None and went is not None)
        shown = sorted(count.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return {
            "flows": [{"from": left, "to": went, "count": times} for (left, went), times in shown],
            "others": len(ways) - sum(times for _, times in shown),
        }


@contextmanager
def world(read_bytes: int = hot.READ_BYTES) -> Iterator[World]:
    """A new folder, whose hot rows are read so many bytes at a time; segments are of one to three parts."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(hot, "READ_BYTES", read_bytes)
        patch.setattr(summaries, "USUAL_PARTS", 2)
        patch.setattr(summaries, "MOST_PARTS", 3)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foot path [1]")))
        database.prepare(folder)
        store = stack.enter_context(closing(LocalStore(folder)))
        engine = stack.enter_context(parquet.engine(folder, memory="256MB"))
        find = stack.enter_context(closing(DuckdbFind(folder, memory="256MB", read_seconds=60)))
        summariser = Summariser(summaries.Summaries(folder), grace_seconds=0, smallest=1)
        yield World(folder, engine, store, DuckdbOverviews(find), summariser)
        assert summariser.left_out == set()


def check(here: World, given_range: dict[str, list[str]], limit: int, cells: tuple[int, int]) -> None:
    """That every overview of a time range is right, by each of its other parameters."""
    for user in ("u", "v"):
        for order in ("asc", "desc"):
            check_sessions(here, {"userId": [user], "order": [order], "limit": [str(limit)], **given_range}, [])
    narrower: list[dict[str, list[str]]] = [
        {},
        {"userId": ["u"]},
        {"sessionId": ["s"], "logType": ["click", "navigate"]},
    ]
    for bucket, width in asked.WIDTHS.items():
        for more in narrower:
            question: asked.Given = {"bucket": [bucket], **more, **given_range}
            told = to_builtins(here.overviews.counts(asked.counts_of(question)))
            assert told["counts"] == here.counts(filters(question), width)
    for page in (page for page in PAGES if page):
        sizes = {"columns": [str(cells[0])], "rows": [str(cells[1])]}
        told = to_builtins(here.overviews.clicks(asked.clicks_of({"page": [page], **sizes, **given_range})))
        assert told == here.clicks(filters(given_range), page, *cells)
    for more in narrower[:2]:
        question = {"limit": [str(limit)], **more, **given_range}
        told = to_builtins(here.overviews.flows(asked.flows_of(question)))
        assert told == here.flows(filters(question), limit)


def check_sessions(here: World, question: dict[str, list[str]], meanwhile: list[list[Step]]) -> None:
    """That the pages of sessions together are what there was at first, each full but the last."""
    limit = int(question["limit"][0])
    expected = here.sessions(asked.sessions_of(question).query)
    found: list[dict[str, Any]] = []
    while True:
        sessions, cursor = here.overviews.sessions(asked.sessions_of(question))
        found += to_builtins(sessions)
        if cursor is None:
            break
        assert len(sessions) == limit
        question = {**question, "cursor": [cursor]}
        if meanwhile:
            here.go(meanwhile.pop())
    assert found == expected


@given(
    steps,
    ranges(),
    st.integers(1, 4),
    st.tuples(st.sampled_from(asked.DIVISORS), st.sampled_from(asked.DIVISORS)),
    st.sampled_from([1, hot.READ_BYTES]),
)
@settings(max_examples=30)
def test_overviews_are_the_list_comprehensions(
    plan: list[Step], given_range: dict[str, list[str]], limit: int, cells: tuple[int, int], read_bytes: int
) -> None:
    """Any overview over any mix of journal and parts is what a list comprehension gives over the same actions."""
    with world(read_bytes) as here:
        here.go(plan)
        check(here, given_range, limit, cells)


@given(steps, st.lists(steps, max_size=3), st.sampled_from(["asc", "desc"]))
@settings(max_examples=15)
def test_pages_of_sessions_neither_skip_nor_repeat(plan: list[Step], meanwhile: list[list[Step]], order: str) -> None:
    """The pages of a user's sessions are what there was when the first was read, whatever is done in between."""
    with world() as here:
        here.go(plan)
        check_sessions(here, {"userId": ["u"], "order": [order], "limit": ["1"]}, meanwhile)


def test_what_has_expired_counts_nowhere() -> None:
    """An action older than `keep` is in no overview from that moment, while its part still holds it."""
    old, fresh = rfc3339(START), "2100-01-01T00:00:00Z"
    properties = {"page": "home", "pageFrom": "home", "pageTo": "item/1"}
    fresh_micros = int(filters({"fromTime": [fresh], "toTime": [fresh]}).time_from or 0)
    with world() as here:
        for kind in TYPE_BITS:
            here.go([("u", "s", [(0, kind, properties), (fresh_micros, kind, properties)]), "flush"])
        database.set_keep(here.folder, 10 * DAY)
        span = {"fromTime": ["1970-01-01"], "toTime": [fresh]}
        (session,) = here.overviews.sessions(asked.sessions_of({"userId": ["u"]})).sessions
        assert (session.start, session.actions) == (fresh, 3)
        assert [count.time for count in here.overviews.counts(asked.counts_of({})).counts] == [fresh]
        assert here.overviews.clicks(asked.clicks_of({"page": ["home"], **span})).clicks == 1
        assert [flow.count for flow in here.overviews.flows(asked.flows_of(span)).flows] == [1]
        assert old < fresh


def test_too_many_buckets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of as many buckets as are allowed are given, of one more refused with the next step."""
    with world() as here:
        here.go([("u", "s", [(START + place * 60_000_000, "VIEW", {}) for place in range(3)])])
        monkeypatch.setattr(summing, "MAX_BUCKETS", 3)
        assert len(here.overviews.counts(asked.counts_of({"bucket": ["minute"]})).counts) == 3
        monkeypatch.setattr(summing, "MAX_BUCKETS", 2)
        with pytest.raises(BadQuery, match="wider"):
            here.overviews.counts(asked.counts_of({"bucket": ["minute"]}))


@pytest.mark.parametrize(
    ("first", "last", "bucket"),
    [
        ("2026-11-01T00:00:00Z", "2026-11-01T03:19:00Z", "minute"),
        ("2026-11-01T00:00:00Z", "2026-11-01T03:20:00Z", "15m"),
        ("2026-11-01", "2026-11-01", "15m"),
        ("2026-11-01", "2026-11-07", "hour"),
        ("2026-11-01", "2026-11-30", "day"),
        ("1970-01-01", "2026-11-30", "day"),
    ],
)
def test_auto_is_the_smallest_bucket_that_fits(first: str, last: str, bucket: str) -> None:
    """The bucket `auto` is the smallest of which the range touches 200 at most, else a day."""
    assert asked.counts_of({"fromTime": [first], "toTime": [last]}).bucket == bucket
    assert asked.counts_of({}).bucket == "day"


@pytest.mark.parametrize(
    ("build", "question"),
    [
        (asked.sessions_of, {}),
        (asked.sessions_of, {"userId": ["u"], "limit": ["0"]}),
        (asked.sessions_of, {"userId": ["u"], "limit": ["1001"]}),
        (asked.sessions_of, {"userId": ["u"], "order": ["up"]}),
        (asked.sessions_of, {"userId": ["u"], "cursor": ["x"]}),
        (asked.sessions_of, {"userId": ["u"], "logType": ["click"]}),
        (asked.counts_of, {"bucket": ["week"]}),
        (asked.counts_of, {"fromTime": ["2026-01-01"]}),
        (asked.counts_of, {"user": ["u"]}),
        (asked.clicks_of, {"fromTime": ["2026-01-01"], "toTime": ["2026-01-02"]}),
        (asked.clicks_of, {"page": ["home"]}),
        (asked.clicks_of, {"page": ["x" * 2049], "fromTime": ["2026-01-01"], "toTime": ["2026-01-02"]}),
        (asked.clicks_of, {"page": ["p"], "columns": ["30"], "fromTime": ["2026-01-01"], "toTime": ["2026-01-02"]}),
        (asked.clicks_of, {"page": ["p"], "rows": ["0"], "fromTime": ["2026-01-01"], "toTime": ["2026-01-02"]}),
        (asked.flows_of, {}),
        (asked.flows_of, {"fromTime": ["2026-01-02"], "toTime": ["2026-01-01"]}),
    ],
)
def test_what_cannot_be_understood_is_refused(build: Any, question: dict[str, list[str]]) -> None:
    """A missing, unknown or senseless parameter of an overview is refused."""
    with pytest.raises(BadQuery):
        build(question)


def test_a_cursor_fits_its_question_only() -> None:
    """A cursor of other sessions is refused."""
    question = {"userId": ["u"]}
    cursor = asked.cursor(asked.sessions_of(question), asked.Place(1, "s"), 9)
    assert asked.sessions_of({**question, "cursor": [cursor], "limit": ["7"]}).after == asked.Place(1, "s")
    for other_question in ({"userId": ["v"]}, {**question, "order": ["asc"]}):
        with pytest.raises(BadQuery, match="other parameters"):
            asked.sessions_of({**other_question, "cursor": [cursor]})
