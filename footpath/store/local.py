"""The embedded store: Parquet files in a folder, the catalog in the folder's SQLite database.

A part that a merge replaced keeps its row, with `removed_at`, and its file for a grace period, so that reads that began
before can finish; `purge` removes both. `sweep` removes the files that no row names: what a crash left between
writing a part and committing it.
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import apsw

from footpath import database
from footpath.action import MIN_MICROS
from footpath.store import members
from footpath.store.base import Part
from footpath.store.whole import Whole

_COLUMNS = Part._fields[:-1]
_FIELDS = ", ".join(_COLUMNS)
_LIVE = f"SELECT {_FIELDS} FROM parts WHERE removed_at IS NULL"
_INSERT = f"INSERT INTO parts ({_FIELDS}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def matching(
    connection: apsw.Connection,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    time_from: int | None = None,
    time_to: int | None = None,
    since_seq: int | None = None,
) -> list[Part]:
    """The live parts that may hold matching actions, out of an open transaction, by (user_min, run)."""
    conditions = ""
    bindings: list[str | int] = []
    for condition, value in (
        ("user_min <= ?", user_id),
        ("user_max >= ?", user_id),
        ("time_max >= ?", time_from),
        ("time_min <= ?", time_to),
        ("seq_max > ?", since_seq),
    ):
        if value is not None:
            conditions += f" AND {condition}"
            bindings.append(value)
    found = connection.execute(f"{_LIVE}{conditions} ORDER BY user_min, run", tuple(bindings))
    return members.narrow(connection, [Part(*row) for row in found], user_id=user_id, session_id=session_id)


def oldest_kept(connection: apsw.Connection) -> int | None:
    """The time in microseconds before which actions have expired by now; None if they are kept for ever."""
    (keep,) = database.one(connection, "SELECT keep FROM state")
    return None if keep is None else _oldest(keep)


def _oldest(keep: int) -> int:
    """It stays within the times that an action can have, however long they are kept."""
    return max(MIN_MICROS, time.time_ns() // 1000 - keep)


class Kept(NamedTuple):
    """The first time whose actions are kept by now, and how long they are, in microseconds."""

    oldest: int
    keep: int


class LocalStore:
    """A Store in a data folder. Use one a thread."""

    def __init__(self, folder: Path) -> None:
        """Open the store of a folder that `database.prepare` has seen."""
        self.parts_folder = folder / "parts"
        self.whole = Whole(self.parts_folder)
        """Asked before the rows of a part are read to write another."""
        self._connection = database.connect(folder)

    def live(self) -> list[Part]:
        """See `Store.live`."""
        return [Part(*row) for row in self._connection.execute(f"{_LIVE} ORDER BY run, user_min")]

    def kept(self) -> Kept | None:
        """What is kept by now; None if everything is."""
        (keep,) = database.one(self._connection, "SELECT keep FROM state")
        return None if keep is None else Kept(_oldest(keep), keep)

    def next_run(self) -> int:
        """A number for a new run, higher than any before."""
        with database.write(self._connection):
            (run,) = database.one(self._connection, "UPDATE state SET run = run + 1 RETURNING run")
        return int(run)

    def path(self, part: Part) -> Path:
        """Where a part's file is."""
        return self.parts_folder / f"{part.id}.parquet"

    def add(self, parts: Sequence[Part], flushed: int) -> None:
        """See `Store.add`."""
        try:
            with database.write(self._connection):
                (before,) = database.one(self._connection, "SELECT flushed FROM state")
                if flushed < before or (parts and flushed == before):
                    raise ValueError(f"already flushed up to seq {before}, not {flushed}")
                self._insert(parts)
                self._connection.execute("UPDATE state SET flushed = ?", (flushed,))
        except apsw.ConstraintError as error:
            raise ValueError("a part is in the catalog already") from error

    def replace(self, old: Sequence[Part], new: Sequence[Part]) -> None:
        """See `Store.replace`."""
        now = time.time_ns() // 1000
        try:
            with database.write(self._connection):
                for part in old:
                    self._connection.execute(
                        "UPDATE parts SET removed_at = ? WHERE id = ? AND removed_at IS NULL", (now, part.id)
                    )
                    if self._connection.changes() != 1:
                        raise ValueError(f"part {part.id} is not live")
                self._insert(new)
        except apsw.ConstraintError as error:
            raise ValueError("a part is in the catalog already") from error

    def _insert(self, parts: Sequence[Part]) -> None:
        self._connection.executemany(_INSERT, [part[:-1] for part in parts])
        self._connection.executemany(
            "INSERT INTO members VALUES (?, ?)", [(part.id, part.members) for part in parts if part.members]
        )

    def trim(self, step: int = 2_000) -> None:
        """Delete journal rows that are in parts, `step` rows a transaction: appends get their turn in between."""
        while True:
            with database.write(self._connection):
                self._connection.execute(
                    "DELETE FROM journal WHERE seq IN (SELECT seq FROM journal"
                    " WHERE seq <= (SELECT flushed FROM state) ORDER BY seq LIMIT ?)",
                    (step,),
                )
                if self._connection.changes() < step:
                    return

    def purge(self, grace_seconds: float) -> int:
        """Remove the parts that were replaced longer ago than `grace_seconds`; how many."""
        before = time.time_ns() // 1000 - round(grace_seconds * 1_000_000)
        ids = [row[0] for row in self._connection.execute("SELECT id FROM parts WHERE removed_at <= ?", (before,))]
        for part_id in ids:
            (self.parts_folder / f"{part_id}.parquet").unlink(missing_ok=True)
        if ids:
            with database.write(self._connection):
                self._connection.executemany("DELETE FROM parts WHERE id = ?", [(part_id,) for part_id in ids])
        return len(ids)

    def of_user(self, user_id: str) -> tuple[list[Part], list[Part]]:
        """The parts that may hold actions of a user: the live ones, and those that were replaced and are still there.

        A replaced part is among them only if its range of users says so, whether it holds the user or not.
        """
        found: list[list[Part]] = [
            [
                Part(*row)
                for row in self._connection.execute(
                    f"SELECT {_FIELDS} FROM parts WHERE user_min <= ?1 AND user_max >= ?1 AND removed_at IS {state}",
                    (user_id,),
                )
            ]
            for state in ("NULL", "NOT NULL")
        ]
        return found[0], found[1]

    def drop(self, live: Sequence[Part], replaced: Sequence[Part], new: Sequence[Part]) -> None:
        """Take live and replaced parts out of the catalog, with no grace period, and put others in their place.

        Their files are then nobody's: whoever calls removes them, else the next sweep does.

        Raises:
            ValueError: a part is not as it was said to be; nothing changes.
        """
        with database.write(self._connection):
            for parts, state in ((live, "NULL"), (replaced, "NOT NULL")):
                for part in parts:
                    self._connection.execute(f"DELETE FROM parts WHERE id = ? AND removed_at IS {state}", (part.id,))
                    if self._connection.changes() != 1:
                        raise ValueError(f"part {part.id} is {'not live' if state == 'NULL' else 'live or gone'}")
            self._insert(new)

    def sweep(self, kept: Collection[str] = ()) -> list[str]:
        """Remove the files that no catalog row names, but for the parts with the ids `kept`; their names.

        Only while nobody else writes parts.
        """
        known = set(kept)
        known |= {row[0] for row in self._connection.execute("SELECT id FROM parts")}
        swept = []
        for file in sorted(self.parts_folder.iterdir()):
            if file.is_file() and not (file.suffix == ".parquet" and file.stem in known):
                file.unlink()
                swept.append(file.name)
        return swept

    def forget_keys(self, hours: float) -> None:
        """Forget Idempotency-Keys that were first used longer ago than `hours`."""
        before = time.time_ns() // 1000 - round(hours * 3_600_000_000)
        (old,) = database.one(self._connection, "SELECT EXISTS (SELECT 1 FROM idempotency WHERE at < ?)", (before,))
        if old:
            with database.write(self._connection):
                self._connection.execute("DELETE FROM idempotency WHERE at < ?", (before,))

    def forget_ids(self, hours: float, step: int = 1_000) -> None:
        """Forget the ids of actions that came longer ago than `hours`, `step` a transaction: appends go in between."""
        before = time.time_ns() // 1000 - round(hours * 3_600_000_000)
        while True:
            old = self._connection.execute(
                "SELECT user, id FROM action_ids WHERE at < ? ORDER BY at LIMIT ?", (before, step)
            ).fetchall()
            if not old:
                return
            with database.write(self._connection):
                self._connection.executemany("DELETE FROM action_ids WHERE user = ? AND id = ?", old)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
