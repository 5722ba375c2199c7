"""What a part is said to hold is what it holds, and what no part holds is opened in none."""

from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footpath import database
from footpath.keeper.flush import flush
from footpath.store import local, members, parquet
from footpath.store.local import LocalStore

IDS = st.text(min_size=1, max_size=256)
ACTIONS = b'[{"time":"2026-01-02T03:04:05Z","type":"VIEW","properties":{}}]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder."""
    database.prepare(tmp_path)
    return tmp_path


@pytest.fixture
def connection(folder: Path) -> Iterator[apsw.Connection]:
    """A connection to its database."""
    with closing(database.connect(folder)) as connection:
        yield connection


def keep(folder: Path, connection: apsw.Connection, who: list[tuple[str, str]]) -> None:
    """Put an action of each user and session into one part."""
    (seq,) = database.one(connection, "SELECT seq FROM state")
    with database.write(connection):
        for place, (user, session) in enumerate(who, seq + 1):
            connection.execute(
                "INSERT INTO journal VALUES (?, ?, ?, 1, 0, 0, 2, 0, ?)", (place, user, session, ACTIONS)
            )
        connection.execute("UPDATE state SET seq = seq + ?", (len(who),))
    with parquet.engine(folder, memory="100MB") as engine, closing(LocalStore(folder)) as store:
        flush(connection, engine, store, 1_000_000)


def found(connection: apsw.Connection, user_id: str | None = None, session_id: str | None = None) -> int:
    """How many parts may hold them."""
    return len(local.matching(connection, user_id=user_id, session_id=session_id))


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=20), IDS)
def test_an_id_of_a_part_is_always_found(who: list[tuple[str, str]], other: str) -> None:
    """The engine and Python make the same digests, of any text, and of kinds apart."""
    with closing(duckdb.connect()) as engine:
        engine.execute("CREATE TEMP TABLE ids AS SELECT unnest($users) AS user_id, unnest($sessions) AS session_id", {
            "users": [user for user, _ in who], "sessions": [session for _, session in who],
        })  # fmt: skip
        rows = engine.execute(
            members._DIGESTS.replace("read_parquet($file, hive_partitioning = false)", "ids")
        ).fetchall()
    held = array("I", [row[0] for row in rows]).tobytes()
    for user, session in who:
        assert members.holds(held, members.digest("u", user))
        assert members.holds(held, members.digest("s", session))
    if other not in {user for user, _ in who}:
        assert not members.holds(held, members.digest("u", other))


def test_only_parts_that_hold_an_id_are_opened(folder: Path, connection: apsw.Connection) -> None:
    """Of three parts with the same range of users, a user or a session is looked for only where it is."""
    for number in range(3):
        keep(folder, connection, [("a", f"first {number}"), (f"m{number}", "middle"), ("z", f"last {number}")])
    assert found(connection) == 3
    assert found(connection, user_id="a") == 3
    assert found(connection, user_id="m1") == 1
    assert found(connection, user_id="n") == 0
    assert found(connection, session_id="last 2") == 1
    assert found(connection, session_id="middle") == 3
    assert found(connection, user_id="m0", session_id="last 2") == 0


def test_a_part_without_members_may_hold_anything(folder: Path, connection: apsw.Connection) -> None:
    """What was written before there were members is looked through as ever."""
    keep(folder, connection, [("a", "s"), ("z", "t")])
    connection.execute("DELETE FROM members")
    assert found(connection, user_id="m") == 1


def test_members_go_with_their_part(folder: Path, connection: apsw.Connection) -> None:
    """A part that is purged from the catalog leaves no members behind."""
    keep(folder, connection, [("a", "s")])
    with closing(LocalStore(folder)) as store:
        store.replace(store.live(), [])
        store.purge(0)
    assert database.one(connection, "SELECT count(*) FROM members") == (0,)
