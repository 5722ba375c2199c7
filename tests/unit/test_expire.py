"""Expiring leaves exactly what a list comprehension leaves, in every read and on disk."""

import asyncio
import json
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footpath import database
from footpath.decode import read
from footpath.find import adhoc
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper import expire
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.query import Query
from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore

HOUR = 3_600_000_000
KEEP = 240 * HOUR


def part(time_min: int, time_max: int) -> Part:
    """A part of these times."""
    return Part("id", 1, "a", "b", time_min, time_max, 1, 2, 2, 100, "")


@pytest.mark.parametrize(
    ("keep", "delay"),
    [(KEEP, 24 * HOUR), (90 * 24 * HOUR, 24 * HOUR), (10 * HOUR, HOUR), (10, 1)],
)
def test_a_part_is_rewritten_a_day_or_a_tenth_late(keep: int, delay: int) -> None:
    """A part is due when its oldest action expired a day ago, or a tenth of what is kept if that is shorter."""
    late, in_time = part(-delay - 1, 10**9), part(-delay, 10**9)
    assert expire.due([in_time, late], 0, keep) == [late]
    assert expire.whole([part(-9, -1), part(-9, 0)], 0) == [part(-9, -1)]


def append(folder: Path, batches: list[tuple[str, list[datetime]]]) -> None:
    """Keep these batches: a user, and the times of the actions."""

    async def go() -> None:
        journal = SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9)
        for user, times in batches:
            actions = [{"time": time.isoformat(), "type": "VIEW", "properties": {}} for time in times]
            await journal.append(
                read(json.dumps({"userId": user, "sessionId": "s", "actions": actions}).encode()).entries
            )
        await journal.close()

    asyncio.run(go())


def found(folder: Path, query: Query) -> Counter[tuple[str, datetime]]:
    """What a find gives: users and times."""
    with closing(DuckdbFind(folder, memory="100MB", read_seconds=60)) as find:
        lines = [json.loads(row[0]) for chunk in find.rows(query, Shape.LINES).rows for row in chunk]
        arrow = [row for batch in find.columns(query) for row in batch.fetchall()]
    assert len(arrow) == len(lines)
    return Counter((line["userId"], datetime.fromisoformat(line["time"])) for line in lines)


_HOURS = st.sampled_from((-10_000_000, -1_000, -265, -263, -241, -239, -1, 0, 50_000_000))
_BATCHES = st.lists(st.tuples(st.sampled_from("abc"), st.lists(_HOURS, min_size=1, max_size=4)), max_size=5)


@settings(max_examples=25, deadline=None)
@given(_BATCHES, _BATCHES, _BATCHES, st.booleans())
def test_expire_leaves_what_a_list_comprehension_leaves(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[str, list[int]]],
    second: list[tuple[str, list[int]]],
    third: list[tuple[str, list[int]]],
    merged: bool,
) -> None:
    """Whatever the times, also of the year 1 and 9999: expired actions are not found, and go from parts and journal."""
    folder = tmp_path_factory.mktemp("expire")
    database.prepare(folder)
    now = datetime.now(UTC)
    given_ = [
        [(user, [now + timedelta(hours=hour) for hour in hours]) for user, hours in batches]
        for batches in (first, second, third)
    ]
    everything = [(user, time) for batches in given_ for user, times in batches for time in times]
    left = Counter([(user, time) for user, time in everything if time >= now - timedelta(hours=240)])
    with (
        closing(database.connect(folder)) as connection,
        closing(LocalStore(folder)) as store,
        parquet.engine(folder, memory="100MB") as engine,
    ):
        for batches in given_[:2]:
            append(folder, batches)
            flush(connection, engine, store, 10**6)
        append(folder, given_[2])
        if merged and store.live():
            list(merge(engine, store, runs_of(store.live()), 3))
        assert found(folder, Query()) == Counter(everything)
        database.set_keep(folder, KEEP)
        assert found(folder, Query()) == left
        assert found(folder, Query(user_id="a")) == Counter({key: left[key] for key in left if key[0] == "a"})
        assert found(folder, Query(time_to=-1)) == Counter()
        with adhoc.run(folder, "SELECT count(*) FROM actions", memory="100MB") as table:
            assert [row[0] for row in table.rows] == [left.total()]
        expire_all(engine, store)
        flush(connection, engine, store, 10**6)
        assert found(folder, Query()) == left
        oldest = now - timedelta(hours=240 + 24)
        stored = [time for part_ in store.live() for time in times_in(engine, store, part_)]
        assert all(time >= oldest for time in stored)
        database.set_keep(folder, None)
        assert Counter(time for _, time in found(folder, Query()).elements()) == Counter(stored)


def expire_all(engine: duckdb.DuckDBPyConnection, store: LocalStore) -> None:
    """Go on until nothing is due."""
    kept = store.kept()
    assert kept is not None
    store.replace(expire.whole(store.live(), kept.oldest), [])
    for part_ in expire.due(store.live(), *kept):
        expire.rewrite(engine, store, part_, kept.oldest)
    assert expire.due(store.live(), *kept) == []


def times_in(engine: duckdb.DuckDBPyConnection, store: LocalStore, part_: Part) -> list[datetime]:
    """The times that the file of a part holds."""
    rows = engine.execute("SELECT time FROM read_parquet($file)", {"file": parquet.pattern(store.path(part_))})
    return [row[0].replace(tzinfo=UTC) for row in rows.fetchall()]
