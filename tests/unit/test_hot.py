"""Hot rows: a read sees those of its own moment, whatever other reads of the process have seen since."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from footpath import database, decode
from footpath.errors import ReadFailed
from footpath.find.base import Shape, Wanted
from footpath.find.duckdb import DuckdbFind
from footpath.find.newest import DuckdbNewest
from footpath.journal import hot
from footpath.journal.index import UserIndex
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.query import Query
from footpath.store import parquet
from footpath.store.local import LocalStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared data folder."""
    database.prepare(tmp_path)
    return tmp_path


def append(folder: Path, users: list[str]) -> None:
    """Keep one action for each of these users."""

    async def go() -> None:
        journal = SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9)
        for user in users:
            action = {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK"}
            body = json.dumps({"userId": user, "sessionId": "s", "actions": [action]})
            await journal.append(decode.read(body.encode()).entries)
        await journal.close()

    asyncio.run(go())


def flushed(folder: Path, seq: int) -> None:
    """Say that the actions up to a seq are in parts, and delete their rows."""
    with closing(LocalStore(folder)) as store:
        store.add([], seq)
        store.trim()


def test_an_older_read_finds_what_a_newer_one_has_dropped(folder: Path) -> None:
    """A read that began before a flush finds a user's rows through an index that a later read has updated."""
    append(folder, ["a", "b", "a"])
    index = UserIndex()
    with ExitStack() as stack:
        older, newer = (stack.enter_context(closing(database.connect(folder))) for _ in range(2))
        stack.enter_context(database.snapshot(older))
        assert hot.matching(older, user_id="b", index=UserIndex()).seqs == [2]
        flushed(folder, 3)
        append(folder, ["a"])
        with database.snapshot(newer):
            assert hot.matching(newer, user_id="a", index=index).seqs == [4]
        assert hot.matching(older, user_id="a", index=index).seqs == [1, 3]
        assert hot.matching(older, index=index).seqs == [1, 2, 3]


def test_an_older_read_does_not_see_what_a_newer_one_has_noted(folder: Path) -> None:
    """A read sees no row that was committed after it began, though the index knows it already."""
    append(folder, ["a"])
    index = UserIndex()
    with ExitStack() as stack:
        older, newer = (stack.enter_context(closing(database.connect(folder))) for _ in range(2))
        stack.enter_context(database.snapshot(older))
        assert hot.matching(older, user_id="a", index=index).seqs == [1]
        append(folder, ["a", "b"])
        with database.snapshot(newer):
            assert hot.matching(newer, user_id="a", index=index).seqs == [1, 2]
            assert hot.matching(newer, user_id="b", index=index).seqs == [3]
        assert hot.matching(older, user_id="a", index=index).seqs == [1]
        assert hot.matching(older, user_id="b", index=index).seqs == []


def test_the_oldest_rows_are_bounded_in_number_and_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush takes the oldest rows up to a number of actions or of bytes, and at least one."""
    append(folder, ["a"] * 10)
    with closing(database.connect(folder)) as connection:
        rows, last = hot.oldest(connection, 4)
        assert (rows.seqs, last) == ([1, 2, 3, 4], 4)
        monkeypatch.setattr(hot, "MAX_BYTES", len(rows.actions[0]) + 1)
        assert hot.oldest(connection, 4)[1] == 1
        monkeypatch.setattr(hot, "MAX_BYTES", 0)
        assert hot.oldest(connection, 4)[1] == 1
        flushed(folder, 10)
        rows, last = hot.oldest(connection, 4)
        assert (rows.seqs, last) == ([], 0)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE journal SET actions = x'5bb05d' WHERE seq = 2",
        "UPDATE journal SET actions = x'28b52ffd00' WHERE seq = 2",
        "UPDATE journal SET user_id = CAST(x'b0' AS TEXT) WHERE seq = 2",
    ],
    ids=["no text", "no zstd", "no id"],
)
def test_a_damaged_row_is_said(folder: Path, damage: str) -> None:
    """A row that is not what was written fails a read, a look at what is new and a flush with a sentence."""
    append(folder, ["a", "b", "c"])
    with ExitStack() as stack:
        connection = stack.enter_context(closing(database.connect(folder)))
        with database.write(connection):
            connection.execute(damage)
        store = stack.enter_context(closing(LocalStore(folder)))
        engine = stack.enter_context(parquet.engine(folder, memory="100MB"))
        find = stack.enter_context(closing(DuckdbFind(folder, memory="100MB", read_seconds=60)))
        attempts: list[Callable[[], object]] = [
            lambda: flush(connection, engine, store, 100),
            lambda: list(find.rows(Query(), Shape.LINES).rows),
            lambda: DuckdbNewest(find).fresh(0, Wanted(frozenset(), frozenset()), 1_000),
        ]
        for attempt in attempts:
            with pytest.raises(ReadFailed, match="footpath check"):
                attempt()
