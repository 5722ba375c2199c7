"""Hot rows: a read sees those of its own moment, whatever other reads of the process have seen since."""

import asyncio
import json
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from footpath import database, decode
from footpath.journal import hot
from footpath.journal.index import UserIndex
from footpath.journal.sqlite import SqliteJournal
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
