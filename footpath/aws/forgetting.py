"""Forget and expire over an Iceberg table: what goes, in which order, and what is promised of it.

forget   1. A tombstone: a property of the table, `footpath.forgotten.<sha256 of userId>`, in a commit that moves the
            table's snapshot. A sink that had read the table before is refused then, reads it again, and leaves out what
            it holds of the user; so does every sink while the tombstone lasts.
         2. `DELETE FROM … WHERE user_id = …`. From here on no read finds anything of them, and nothing comes.
         Where nothing is to be refused later (`before`, `allow_return`) there is no tombstone: instead it is waited
         until the table has everything that was put before the order, and what was received up to then is deleted.
expire   `DELETE FROM … WHERE time < …`, whole days, so that the engine drops files and reads none.
bytes    A DELETE marks rows; the bytes stay in old files until compaction and the expiry of snapshots, and in the
         stream until its retention ends. docs/SCALING.md says how to set both, and how long that makes it.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from footpath.action import digest_of
from footpath.aws import clients, positions
from footpath.aws.address import TableAddress
from footpath.aws.commit import Ended, Wanted, commit
from footpath.aws.engine import Conflict, Engine
from footpath.aws.progress import progress
from footpath.aws.table import open_table
from footpath.errors import ForgetFailed, OperatorError, ReadFailed
from footpath.find.sql import Statement, as_text
from footpath.store.forgetting import DAY, Asked, Receipt

TRIES = 20  # of a DELETE that meets commits of sinks: each takes a second or two, they one a minute
SETTLE_SECONDS = 240.0  # for the sinks to bring what was put before an order: they commit once a minute
LOOK_SECONDS = 1.0
_RETRY_SECONDS = 0.5


class TableForget:
    """A Forget over one table; orders are done in a thread, one after the other, and do not outlive the process."""

    def __init__(self, engine: Engine, catalog: Catalog, address: TableAddress) -> None:
        """Delete by `engine`; tombstones are put where the catalog has the table."""
        self._engine = engine
        self._load: Callable[[], Table] = lambda: open_table(catalog, address)
        self._numbers = itertools.count(1)
        self._orders: dict[int, Future[Receipt]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="forget")

    def ask(self, user_id: str, *, before: int | None, refuse_days: float | None) -> Asked:
        """See `Forget.ask`."""
        now = time.time_ns() // 1000
        is_refused = before is None and refuse_days is not None
        try:
            until = None
            if before is None:
                until = self._bury(user_id, None if refuse_days is None else now + round(refuse_days * DAY))
        except (OperatorError, OSError, *clients.AwsError) as error:
            raise ForgetFailed(f"nothing was removed: the table could not be changed: {error}") from error
        number = next(self._numbers)
        self._orders[number] = self._thread.submit(self._remove, user_id, before, None if is_refused else now)
        return Asked(number, until)

    def receipt(self, number: int) -> Receipt | None:
        """See `Forget.receipt`."""
        order = self._orders[number]
        if not order.done():
            return None
        del self._orders[number]
        try:
            return order.result()
        except ReadFailed as error:
            raise ForgetFailed(f"not everything could be removed: {error}; then ask again") from error

    def close(self) -> None:
        """Finish the order that is being done, and let go."""
        self._thread.shutdown(cancel_futures=True)

    def _bury(self, user_id: str, until: int | None) -> int | None:
        """Put a tombstone that lasts until then or later, or take it away; until when it lasts, in microseconds."""
        name = positions.FORGOTTEN + digest_of(user_id).hex()
        while True:
            held = self._load().metadata.properties
            now = datetime.now(UTC)
            over = [key for key, value in held.items() if key.startswith(positions.FORGOTTEN) and _time(value) < now]
            put = {}
            if until is None:
                over.append(name)
            else:
                end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=until)
                put = {name: max(positions.told(end), held.get(name, ""))}
            changes = positions.Changes(put, frozenset(over) - put.keys())
            wanted = Wanted([], changes, {name: held.get(name)})
            ended, _ = commit(self._load, wanted, stop=threading.Event())
            if ended is Ended.LANDED:
                return None if until is None else (_time(put[name]) - _EPOCH) // timedelta(microseconds=1)

    def _remove(self, user_id: str, before: int | None, received_until: int | None) -> Receipt:
        where, values = "user_id = ?", [user_id]
        if before is not None:
            where += " AND time < CAST(? AS timestamp(6) with time zone)"
            values.append(as_text(before))
        if received_until is not None:
            self._settle(received_until)
            where += " AND received_at <= CAST(? AS timestamp(6) with time zone)"
            values.append(as_text(received_until))
        return Receipt(delete(self._engine, where, values), 0, 0, 0)

    def _settle(self, until: int) -> None:
        """Wait until the table has everything that was put into the stream up to a time."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (progress(self._engine.properties()).complete_until or 0) < until:
            if time.monotonic() > deadline:
                raise ReadFailed("the table does not have what was put before this order yet: is footpath sink running")
            time.sleep(LOOK_SECONDS)


def delete(engine: Engine, where: str, values: list[str]) -> int:
    """Delete rows of the table; how many there were.

    Raises:
        ReadFailed: it could not be done, also not when it was tried again after other commits.
    """
    counted = engine.begin(Statement(f"SELECT count(*) FROM {engine.table} WHERE {where}", tuple(values)))
    ((number,),) = [row for chunk in counted.rows for row in chunk]
    if int(number) == 0:
        return 0
    for attempt in range(1, TRIES + 1):
        try:
            engine.change(Statement(f"DELETE FROM {engine.table} WHERE {where}", tuple(values)))
            break
        except Conflict as error:
            if attempt == TRIES:
                raise ReadFailed(f"other commits came between {TRIES} times: {error}") from error
            time.sleep(_RETRY_SECONDS * attempt)
    return int(number)


def expire(engine: Engine, keep_micros: int, now: int) -> tuple[int, int]:
    """Delete what is older than it is kept, in whole days of UTC: how many actions, and before when, in microseconds.

    Raises:
        ReadFailed: it could not be done.
    """
    before = (now - keep_micros) // DAY * DAY
    return delete(engine, "time < CAST(? AS timestamp(6) with time zone)", [as_text(before)]), before


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
