"""Forgetting leaves exactly what a list comprehension leaves, and no byte of the user in any file."""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from footpath import database
from footpath.action import number_of
from footpath.decode import read
from footpath.errors import ForgetFailed, PartDamaged, ReadFailed
from footpath.find import duckdb as finding
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.keeper.forget import Forgetter, finish
from footpath.keeper.merge import Merge, merge, runs_of
from footpath.query import Query
from footpath.store import forgetting, parquet
from footpath.store.check import look_at_database
from footpath.store.local import LocalStore

VICTIM = "VICTIM"
START = datetime(2026, 1, 1, tzinfo=UTC)
Batch = tuple[str, list[int]]  # a user, and the hours of the actions


class Folder:
    """A data folder with its keeper's work at hand."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        """Make it."""
        database.prepare(path)
        self.path = path
        self.connection = stack.enter_context(closing(database.connect(path)))
        self.store = stack.enter_context(closing(LocalStore(path)))
        self.engine = stack.enter_context(parquet.engine(path, memory="100MB"))

    def append(self, batches: list[Batch], padding: int = 0) -> None:
        """Keep batches; each action names its user in its properties, too."""

        async def go() -> None:
            journal = SqliteJournal(self.path, max_actions=10**9, max_waiting_bytes=10**9)
            for user, hours in batches:
                actions = [
                    {"time": at(hour).isoformat(), "type": "VIEW", "properties": {"by": user + "x" * padding}}
                    for hour in hours
                ]
                await journal.append(
                    read(json.dumps({"userId": user, "sessionId": "s", "actions": actions}).encode()).entries
                )
            await journal.close()

        asyncio.run(go())

    def flush(self) -> None:
        """Put everything into a part."""
        while flush(self.connection, self.engine, self.store, 10**6):
            pass

    def ask(self, user: str = VICTIM, before: int | None = None, refuse_days: float | None = 30) -> forgetting.Asked:
        """Order that a user be forgotten; `before` is an hour."""
        micros = None if before is None else round(at(before).timestamp() * 1_000_000)
        return forgetting.ask(self.connection, user, before=micros, refuse_days=refuse_days)

    def forget(self, merges: list[Merge] | None = None) -> None:
        """Do what was ordered."""
        forgetter = Forgetter(self.connection, self.engine, self.store, flush_actions=7, merges=merges or [])
        while (order := forgetting.next_order(self.connection)) is not None:
            forgetter.work(order)

    def found(self) -> Counter[tuple[str, int]]:
        """Everything that a find gives: users and hours."""
        with closing(DuckdbFind(self.path, memory="100MB", read_seconds=60)) as find:
            lines = [json.loads(row[0]) for chunk in find.rows(Query(), Shape.LINES).rows for row in chunk]
        return Counter((line["userId"], hour_of(line["time"])) for line in lines)

    def holding(self, text: str = VICTIM) -> list[str]:
        """Where a text stands: in a file as it is, in a part, or in a packed blob of the database."""
        found = []
        for file in sorted(self.path.rglob("*")):
            if file.is_file() and text.encode() in file.read_bytes():
                found.append(file.name)
            elif file.suffix == ".parquet":
                rows = self.engine.execute("SELECT * FROM read_parquet($f)", {"f": parquet.pattern(file)}).fetchall()
                found += [file.name] if text in repr(rows) else []
        unpack = zstandard.ZstdDecompressor().decompress
        for (blob,) in self.connection.execute("SELECT actions FROM journal"):
            if text.encode() in (blob if blob[:1] == b"[" else unpack(blob)):
                found.append("journal")
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A new one."""
    with ExitStack() as stack:
        yield Folder(tmp_path, stack)


def at(hour: int) -> datetime:
    """A time."""
    return START + timedelta(hours=hour)


def hour_of(time: str) -> int:
    """The hour of a time."""
    return round((datetime.fromisoformat(time) - START) / timedelta(hours=1))


_BATCHES = st.lists(
    st.tuples(st.sampled_from(["a", VICTIM, "z"]), st.lists(st.integers(-4, 4), min_size=1, max_size=5)), max_size=5
)


@settings(max_examples=25, deadline=None)
@given(_BATCHES, _BATCHES, _BATCHES, st.none() | st.integers(-4, 5), st.sampled_from(["no", "half", "all"]), _BATCHES)
def test_forget_leaves_what_a_list_comprehension_leaves(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[Batch],
    second: list[Batch],
    third: list[Batch],
    before: int | None,
    merged: str,
    later: list[Batch],
) -> None:
    """Whatever is in parts, replaced parts, a merge that goes on and the journal: exactly the user's actions go.

    With a time, those before it; what is taken in after the order stays.
    """
    with ExitStack() as stack:
        folder = Folder(tmp_path_factory.mktemp("forget"), stack)
        for batches in (first, second):
            folder.append(batches)
            folder.flush()
        merges = []
        if merged != "no" and folder.store.live():
            merges = [merge(folder.engine, folder.store, runs_of(folder.store.live()), 1)]
            for _ in merges[0]:
                if merged == "half":
                    break
        folder.append(third)
        asked = folder.ask(before=before, refuse_days=None)
        folder.append(later)
        folder.forget(merges)
        everything = [(user, hour) for batch in (first, second, third) for user, hours in batch for hour in hours]
        gone = [(user, hour) for user, hour in everything if user == VICTIM and (before is None or hour < before)]
        late = Counter((user, hour) for user, hours in later for hour in hours)
        left = Counter(everything) - Counter(gone) + late
        assert folder.found() == left
        assert forgetting.receipt(folder.connection, asked.number) is not None
        assert (forgetting.receipt(folder.connection, asked.number) or [0])[0] == len(gone)
        for one in merges:
            list(one)
        assert folder.found() == left
        if not any(user == VICTIM for user, _ in left):
            assert folder.holding() == []


def test_moved_rows_leave_no_copy(folder: Folder) -> None:
    """After rows of all tables came and went in any order, no byte of the user is left in the database."""
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    dice = random.Random(seed)
    execute = folder.connection.execute
    for turn in range(60):
        folder.append(
            [(dice.choice([VICTIM, "other"]), list(range(dice.choice([1, 9])))) for _ in range(30)], padding=90
        )
        with database.write(folder.connection):
            for number in range(30):
                user = dice.choice([VICTIM, "other"]) + str(number)
                execute(
                    "INSERT INTO parts VALUES (?, 1, ?, ?, 0, 0, 0, 0, 0, 0, ?, 5)",
                    (str(uuid.UUID(int=dice.getrandbits(128))), user, user, "x" * 64),
                )
                execute(
                    "INSERT INTO rejects (at, user_id, session_id, code, message, length, raw)"
                    " VALUES (1, ?, 's', 'c', 'm', 9, ?)",
                    (user[: len(user) - len(str(number))], user.encode() * dice.choice([1, 40])),
                )
            execute("DELETE FROM rejects WHERE id IN (SELECT id FROM rejects ORDER BY random() LIMIT 20)")
            execute("DELETE FROM parts WHERE id IN (SELECT id FROM parts ORDER BY random() LIMIT 20)")
        if turn % 20 == 19:
            folder.flush()
    execute("DELETE FROM parts WHERE removed_at = 5")
    (rejects,) = database.one(folder.connection, "SELECT count(*) FROM rejects WHERE user_id = ?", (VICTIM,))
    asked = folder.ask()
    assert "footpath.db" in folder.holding() or "footpath.db-wal" in folder.holding()
    folder.forget()
    receipt = forgetting.receipt(folder.connection, asked.number)
    assert receipt is not None
    assert receipt.rejects == rejects > 0
    assert folder.holding() == []
    assert folder.holding("other") != []
    assert look_at_database(folder.connection).problems == []
    assert (folder.path / "footpath.db-wal").stat().st_size < 40_000  # the note that it is done


def test_ids_of_actions_go_with_their_user(folder: Folder) -> None:
    """The remembered ids of the user's actions go, and those of others and of what came later stay."""
    for user, moment in ((VICTIM, 1), (VICTIM, 2), ("other", 3), (VICTIM, 2**60)):
        folder.connection.execute("INSERT INTO action_ids VALUES (?, ?, ?)", (number_of(user), b"%d" % moment, moment))
    asked = folder.ask(refuse_days=None)
    folder.forget()
    assert (forgetting.receipt(folder.connection, asked.number) or ())[3:] == (2,)
    assert [row[0] for row in folder.connection.execute("SELECT at FROM action_ids ORDER BY at")] == [3, 2**60]


def test_only_replaced_parts_that_hold_the_user_go_at_once(folder: Folder) -> None:
    """A replaced part that holds the user goes before its grace is over; one that does not stays for running reads."""
    for batches in ([("a", [1]), (VICTIM, [2]), ("z", [3])], [("a", [4]), ("z", [5])]):
        folder.append(batches)
        folder.flush()
    with_user, without = (folder.store.path(part) for part in folder.store.live())
    list(merge(folder.engine, folder.store, runs_of(folder.store.live()), 100))
    folder.ask()
    folder.forget()
    assert (with_user.exists(), without.exists()) == (False, True)
    (digests,) = database.one(folder.connection, "SELECT count(*) FROM members")
    assert digests == len(folder.store.live()) + 1
    assert folder.found() == Counter({("a", 1): 1, ("z", 3): 1, ("a", 4): 1, ("z", 5): 1})


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_merge_that_goes_on_does_not_bring_the_user_back(folder: Folder, steps: int) -> None:
    """However far a merge is when a user is forgotten, it ends without them and with all of the others."""
    for hour in (1, 2):
        folder.append([("a", [hour]), (VICTIM, [hour]), ("z", [hour])])
        folder.flush()
    going = merge(folder.engine, folder.store, runs_of(folder.store.live()), 1)
    for _ in range(steps):
        next(going, None)
    folder.ask()
    folder.forget([going])
    assert folder.holding() == []
    list(going)
    assert len(runs_of(folder.store.live())) == 1
    assert folder.holding() == []
    assert folder.found() == Counter({("a", 1): 1, ("z", 1): 1, ("a", 2): 1, ("z", 2): 1})


def test_what_is_spilt_cannot_be_read(folder: Folder) -> None:
    """What an engine spills to disk for lack of memory holds none of the rows as they are."""
    with parquet.engine(folder.path, memory="50MB") as engine:
        query = f"SELECT '{VICTIM}' || i AS user_id, repeat(md5(CAST(i AS VARCHAR)), 3) AS p FROM range(500000) AS t(i)"
        engine.execute(f"{query} ORDER BY p")
        engine.fetchmany(10)
        spilt = [file.read_bytes() for file in (folder.path / "tmp").rglob("*.tmp")]
        assert sum(map(len, spilt)) > 1_000_000
        assert not any(VICTIM.encode() in content for content in spilt)


def test_a_read_that_began_before_is_whole_or_fails(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read in windows gives everything that there was when it began or ends with ReadFailed; it is never short."""
    monkeypatch.setattr(finding, "WINDOW_ROWS", 20)
    for start in (0, 400):
        folder.append([(user, list(range(start, start + 100))) for user in ("a", VICTIM, "z")])
        folder.flush()
    with closing(DuckdbFind(folder.path, memory="100MB", read_seconds=60)) as find:
        whole = sum(len(chunk) for chunk in find.rows(Query(), Shape.LINES).rows)
        running = find.rows(Query(), Shape.LINES).rows
        seen = len(next(running))
        folder.ask()
        folder.forget()
        with pytest.raises(ReadFailed):
            seen += sum(len(chunk) for chunk in running)
        assert seen < whole == 600
        assert sum(len(chunk) for chunk in find.rows(Query(), Shape.LINES).rows) == 400


def test_what_is_in_the_way_is_told_and_others_go_first(folder: Folder) -> None:
    """An order that meets a damaged part stays, and says so to who asked; the orders of others are done before it."""
    folder.append([("bad", [1]), ("good", [2])])
    folder.flush()
    (part,) = folder.store.live()
    content = folder.store.path(part).read_bytes()
    folder.store.path(part).write_bytes(b"x" * len(content))
    bad = folder.ask("bad")
    with pytest.raises(PartDamaged):
        finish(folder.connection, folder.engine, folder.store, flush_actions=7)
    order = forgetting.next_order(folder.connection)
    assert order is not None
    forgetting.fail(folder.connection, order, "Error")
    with pytest.raises(ForgetFailed, match="Error"):
        forgetting.receipt(folder.connection, bad.number)
    other = folder.ask("zzz")
    order = forgetting.next_order(folder.connection)
    assert order is not None
    assert order.number == other.number
    folder.store.path(part).write_bytes(content)
    folder.forget()
    assert forgetting.receipt(folder.connection, bad.number) == (1, 1, 0, 0)
    assert folder.found() == Counter({("good", 2): 1})


def test_a_tombstone_names_nobody_and_ends(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tombstone is a digest with an end, kept the longest time asked; letting the user return lifts it."""
    rows = "SELECT until FROM forgotten"
    first, second = folder.ask(refuse_days=30), folder.ask(refuse_days=1)
    assert first.until is not None
    assert second.until == first.until
    assert [row[0] for row in folder.connection.execute(rows)] == [first.until]
    assert folder.ask(before=3).until is None
    assert len(list(folder.connection.execute(rows))) == 1
    folder.forget()
    assert folder.holding() == []
    (version,) = database.one(folder.connection, "SELECT forgotten_version FROM state")
    monkeypatch.setattr("footpath.store.forgetting.time.time_ns", lambda: (first.until or 0) * 1000 + 1000)
    forgetting.tidy(folder.connection)
    assert list(folder.connection.execute(rows)) == []
    assert list(folder.connection.execute("SELECT * FROM forgetting")) == []
    assert database.one(folder.connection, "SELECT forgotten_version FROM state") > (version,)
    folder.ask(refuse_days=30)
    assert folder.ask(refuse_days=None).until is None
    assert list(folder.connection.execute(rows)) == []


def test_the_log_is_emptied_when_readers_let_go(folder: Folder) -> None:
    """An order waits for a reader of an older state, without keeping appends waiting, and is not done before."""
    folder.append([(VICTIM, [1])])
    with closing(database.connect(folder.path, readonly=True)) as reader:
        reader.execute("BEGIN")
        assert database.one(reader, "SELECT count(*) FROM journal") == (1,)
        asked = folder.ask()
        order: Any = forgetting.next_order(folder.connection)
        forgetter = Forgetter(folder.connection, folder.engine, folder.store, flush_actions=7)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("footpath.keeper.forget.LOG_SECONDS", 0.3)
            with pytest.raises(apsw.BusyError):
                forgetter.work(order)
        assert forgetting.receipt(folder.connection, asked.number) is None
        reader.execute("ROLLBACK")
    folder.forget()
    assert folder.holding() == []
    assert (forgetting.receipt(folder.connection, asked.number) or ())[:1] == (1,)
