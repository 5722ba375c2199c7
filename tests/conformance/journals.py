"""The journals that the tests of this room run with, and what they append to them."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from footpath import database
from footpath.action import Entry, RejectRow
from footpath.decode import read
from footpath.journal import hot
from footpath.journal.base import Journal, Once
from footpath.journal.sqlite import SqliteJournal
from footpath.store import forgetting
from footpath.store.local import LocalStore

PLENTY = 10**9


class Row(NamedTuple):
    """A batch as it was kept: the seq of its first action, its ids, and what its actions say of themselves."""

    seq: int
    user: str
    session: str
    actions: list[str]


class Fitting(Protocol):
    """A kind of journal, as its tests need it."""

    def open(
        self,
        folder: Path,
        max_actions: int = PLENTY,
        max_waiting_bytes: int = PLENTY,
        max_reject_bytes: int = PLENTY,
    ) -> Journal:
        """Open the journal that a folder stands for; it may have been opened and closed before."""
        ...

    def kept(self, folder: Path) -> list[Row]:
        """What the journal holds, in the order of seq."""
        ...

    def rejects(self, folder: Path) -> list[RejectRow]:
        """The rejects that are kept, in the order they came."""
        ...

    def empty(self, folder: Path) -> None:
        """Do what a flush does to the journal: what it holds is in parts now."""
        ...

    def bury(self, folder: Path, user: str, days: float | None) -> None:
        """Give a user a tombstone for so many days; None takes it away."""
        ...


class Sqlite:
    """The embedded journal."""

    def open(
        self,
        folder: Path,
        max_actions: int = PLENTY,
        max_waiting_bytes: int = PLENTY,
        max_reject_bytes: int = PLENTY,
    ) -> SqliteJournal:
        """See `Fitting.open`."""
        database.prepare(folder)
        return SqliteJournal(
            folder,
            max_actions=max_actions,
            max_waiting_bytes=max_waiting_bytes,
            max_reject_bytes=max_reject_bytes,
        )

    def kept(self, folder: Path) -> list[Row]:
        """See `Fitting.kept`."""
        with closing(database.connect(folder, readonly=True)) as connection, database.snapshot(connection):
            rows = hot.matching(connection)
        names = [[action["properties"]["name"] for action in json.loads(text)] for text in rows.actions]
        return [Row(*row) for row in zip(rows.seqs, rows.user_ids, rows.session_ids, names, strict=True)]

    def rejects(self, folder: Path) -> list[RejectRow]:
        """See `Fitting.rejects`."""
        fields = ", ".join(RejectRow._fields)
        with closing(database.connect(folder, readonly=True)) as connection:
            return [RejectRow(*row) for row in connection.execute(f"SELECT {fields} FROM rejects ORDER BY id")]

    def empty(self, folder: Path) -> None:
        """See `Fitting.empty`."""
        with closing(database.connect(folder)) as connection, closing(LocalStore(folder)) as store:
            _, last = hot.oldest(connection, PLENTY)
            store.add([], last)
            store.trim()

    def bury(self, folder: Path, user: str, days: float | None) -> None:
        """See `Fitting.bury`."""
        with closing(database.connect(folder)) as connection:
            forgetting.ask(connection, user, before=None, refuse_days=days)


FITTINGS = {"sqlite": Sqlite()}


def entries(*names: str, user: str = "u", size: int = 0) -> list[Entry]:
    """One batch of actions with these names, and properties of about this size."""
    actions = [
        {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {"name": name, "size": "x" * size}}
        for name in names
    ]
    return read(json.dumps({"userId": user, "sessionId": "s", "actions": actions}).encode()).entries


def once(key: str, body: bytes = b"body", answer: bytes = b"answer") -> Once:
    """An Idempotency-Key."""
    return Once(key, body.ljust(32), lambda _: answer)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's own coroutine in an event loop of its own."""
    asyncio.run(asyncio.wait_for(work(), 60))


def names_of(rows: list[Row]) -> list[str]:
    """The names of all actions in some rows."""
    return [name for row in rows for name in row.actions]
