"""Overviews are what list comprehensions give over the same actions, wherever they are kept.

Random actions go into a folder, some into the journal only, others through flushes and merges into parts of a few rows,
some of which are summed up ahead.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footpath import database, decode
from footpath.action import TYPE_BITS
from footpath.errors import BadQuery
from footpath.find import summing
from footpath.find.duckdb import DuckdbFind
from footpath.find.overviews import DuckdbOverviews
from footpath.journal import hot
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.keeper.summarise import Summariser
from footpath.overview import asked
from footpath.query import filters, rfc3339
from footpath.store import parquet, summaries
from footpath.store.local import LocalStore
from tests.conformance.overviews import DAY, START, Model, Step, check, check_sessions, ranges, steps

PART_ACTIONS = 5


@dataclass
class World(Model):
    """A data folder, and the list of what was kept in it."""

    folder: Path
    engine: duckdb.DuckDBPyConnection
    store: LocalStore
    summariser: Summariser

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
        checked = decode.read(json.dumps(self.note(user, session, made)).encode())
        assert checked.rejects == []
        journal = SqliteJournal(self.folder, max_actions=10**9, max_waiting_bytes=10**9)
        await journal.append(checked.entries)
        await journal.close()


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
        yield World(DuckdbOverviews(find), folder, engine, store, summariser)
        assert summariser.left_out == set()


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
