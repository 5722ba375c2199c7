"""Forget: everything of one user goes, also the bytes.

Only whoever holds the folder's keeper lock forgets, while no flush runs and merges pause between two parts. An order
(`footpath.store.forgetting`) is done in these steps. Each is one transaction, or repeats without harm, so that a
crash at any point leaves an order that the next keeper finishes before it does anything else:

1. count    How many actions and parts there are; noted once, for the receipt.
2. flush    What is hot up to the order's seq goes into a part, without the user: the journal's rows of them are dead.
3. parts    Each part that holds the user, one a run at most, is written anew without. One transaction puts the new ones
            into the catalog and takes the old ones out, without a grace period, together with replaced parts that still
            hold the user in theirs; then their files are removed. A merge that goes on gets the new parts in the place
            of the old ones, and what it has written already is written anew likewise.
4. rows     Dead journal rows, rejects and action ids are deleted, and the order does not name the user any more.
5. bytes    Files that no catalog row names are swept, and summaries of what is not live any more; tables are written
            anew, the write-ahead log is emptied. Only then is the order done, and whoever asked gets the receipt.

A read that began before keeps what it has opened. When it opens one of the removed files it ends with ReadFailed, never
with a short answer. What a read or merge spills to disk is encrypted with a key that is only in its memory.
"""

import time
from collections.abc import Sequence

import apsw
import duckdb

from footpath import database
from footpath.action import number_of
from footpath.errors import PartDamaged
from footpath.journal import hot
from footpath.keeper.flush import flush
from footpath.keeper.merge import Merge
from footpath.keeper.rewrite import Rows, count, without
from footpath.store import forgetting, parquet, scrub
from footpath.store.base import Part
from footpath.store.local import LocalStore
from footpath.store.summaries import Summaries, segments

LOG_SECONDS = 60.0  # to wait for readers of an older state; they look for milliseconds, a backup for longer


class Forgetter:
    """Does the orders of one data folder."""

    def __init__(
        self,
        connection: apsw.Connection,
        engine: duckdb.DuckDBPyConnection,
        store: LocalStore,
        *,
        flush_actions: int,
        merges: Sequence[Merge] = (),
    ) -> None:
        """Prepare, for a caller that holds the keeper lock of the folder.

        Args:
            connection: to the database.
            engine: rewrites parts.
            store: of the folder.
            flush_actions: how many are flushed at a time.
            merges: those that go on; they must not while an order is done.
        """
        self._connection = connection
        self._engine = engine
        self._store = store
        self._summaries = Summaries(store.parts_folder.parent)
        self._flush_actions = flush_actions
        self._merges = merges

    def work(self, order: forgetting.Order) -> None:
        """Do an order, or what is left of it.

        Raises:
            apsw.Error, duckdb.Error, OSError, PartDamaged, RuntimeError: something is in the way; the order stays.
        """
        if order.user_id is not None:
            rows = _rows(order, order.user_id)
            if not order.counted:
                self._count(order, rows)
            while self._flushed() < order.last_seq:
                if not flush(self._connection, self._engine, self._store, self._flush_actions, rows):
                    raise RuntimeError(f"nothing is hot, but only {self._flushed()} of {order.last_seq} is flushed")
            self._rewrite_parts(order.user_id, rows)
            self._store.trim()
            self._delete_rows(order, order.user_id)
        self._store.sweep({part.id for merge in self._merges for part in merge.new})
        self._summaries.sweep({segment.name for segment in segments(self._store.live())})
        scrub.rewrite_tables(self._connection)
        scrub.empty_log(self._connection, LOG_SECONDS)
        with database.write(self._connection):
            self._connection.execute(
                "UPDATE forgetting SET done_at = ?, trouble = NULL WHERE id = ?",
                (time.time_ns() // 1000, order.number),
            )

    def _flushed(self) -> int:
        (flushed,) = database.one(self._connection, "SELECT flushed FROM state")
        return int(flushed)

    def _count(self, order: forgetting.Order, rows: Rows) -> None:
        live, _ = self._store.of_user(str(order.user_id))
        numbers = [count(self._engine, self._store, part, rows) for part in live]
        with database.snapshot(self._connection):
            waiting = hot.matching(self._connection, user_id=order.user_id)
        found = self._engine.execute(
            f"SELECT count(*) FROM ({parquet.HOT}) WHERE {rows.condition}", parquet.bind(waiting) | rows.values
        ).fetchone()
        with database.write(self._connection):
            self._connection.execute(
                "UPDATE forgetting SET actions = ?, parts = ? WHERE id = ?",
                (sum(numbers) + (found or (0,))[0], sum(number > 0 for number in numbers), order.number),
            )

    def _rewrite_parts(self, user_id: str, rows: Rows) -> None:
        live, replaced = self._store.of_user(user_id)
        dead = [part for part in replaced if self._may_hold(part, rows)]
        made: dict[str, Part | None] = {}
        try:
            for part in [*live, *(part for merge in self._merges for part in merge.new)]:
                if part.user_min <= user_id <= part.user_max and count(self._engine, self._store, part, rows):
                    made[part.id], _ = without(self._engine, self._store, part, rows)
            parquet.sync_folder(self._store.parts_folder)
        except Exception:
            for new in made.values():
                if new is not None:
                    self._store.path(new).unlink()
            raise
        old = [part for part in live if part.id in made]
        instead = [made[part.id] for part in old]
        self._store.drop(old, dead, [part for part in instead if part is not None])
        aside = [part for merge in self._merges for part in merge.put(made)]
        for part in [*old, *dead, *aside]:
            self._store.path(part).unlink(missing_ok=True)
        parquet.sync_folder(self._store.parts_folder)

    def _may_hold(self, part: Part, rows: Rows) -> bool:
        """Whether a replaced part holds such rows, or cannot be read to say so."""
        try:
            return count(self._engine, self._store, part, rows) > 0
        except (duckdb.Error, PartDamaged):
            return True

    def _delete_rows(self, order: forgetting.Order, user_id: str) -> None:
        execute = self._connection.execute
        with database.write(self._connection):
            if order.before is None:
                execute("DELETE FROM rejects WHERE user_id = ? AND at <= ?", (user_id, order.asked_at))
            else:
                execute("DELETE FROM rejects WHERE user_id = ? AND at < ?", (user_id, order.before))
            rejects = self._connection.changes()
            ids = 0
            if order.before is None:  # else they go on keeping what stays from being stored twice
                execute("DELETE FROM action_ids WHERE user = ? AND at <= ?", (number_of(user_id), order.asked_at))
                ids = self._connection.changes()
            execute(
                "UPDATE forgetting SET rejects = ?, action_ids = ?, user_id = NULL WHERE id = ?",
                (rejects, ids, order.number),
            )


def _rows(order: forgetting.Order, user_id: str) -> Rows:
    condition = "user_id = $forgotten AND seq <= $last_seq"
    values: dict[str, object] = {"forgotten": user_id, "last_seq": order.last_seq}
    if order.before is not None:
        condition += " AND time < make_timestamp($before)"
        values["before"] = order.before
    return Rows(condition, values)


def finish(
    connection: apsw.Connection, engine: duckdb.DuckDBPyConnection, store: LocalStore, *, flush_actions: int
) -> int:
    """Do all orders, for a caller that holds the keeper lock and merges nothing; how many there were."""
    forgetter = Forgetter(connection, engine, store, flush_actions=flush_actions)
    number = 0
    while (order := forgetting.next_order(connection)) is not None:
        forgetter.work(order)
        number += 1
    return number
