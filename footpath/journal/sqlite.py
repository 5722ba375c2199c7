"""The embedded journal: rows in SQLite, durable by group commit.

append   An append waits in memory. One thread commits all that waits in one transaction (synchronous=FULL), and while
         it does, the next group gathers: the slower the disk, the larger the groups. That makes the rate independent
         of the time of an fsync.
row      One a batch, not one an action; its actions as JSON, or zstd of it when over `COMPRESS_FROM` bytes.
known    Keys and ids of actions are looked up and noted in the transaction that appends (see `known`).
seq      Given in the transaction: a row's key is the seq of its first action, and `state.seq` moves with it.
failure  After a failed write or fsync every append of the group fails and the handle is closed: Linux marks pages clean
         that it could not write, so trying again on the same handle would say yes to what is not on disk. Appends are
         refused until a new connection has copied the log into the database and emptied it, which writes anew every
         page that the failed fsync may have dropped, and has committed a write.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import apsw
import structlog
import zstandard

from footpath import database
from footpath.action import Entry, RejectRow
from footpath.errors import FootpathError, JournalFailed, JournalFull
from footpath.journal import known, rejected
from footpath.journal.base import ALL_NEW, Kept, Once
from footpath.journal.checkpoint import Checkpoints
from footpath.journal.known import Rows
from footpath.journal.refusal import Full, failing, refusal
from footpath.journal.tombstones import Tombstones

COMPRESS_FROM = 1024  # bytes: zstd level 1 then saves more in SQLite's writes than it costs
BUSY_STEP_SECONDS = 0.000_5
REOPEN_SECONDS = 1.0  # between tries to mend a failed journal: a full disk is noticed as free within a second or two

_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERTS = [(rows, f"INSERT INTO journal VALUES {', '.join([_ROW] * rows)}") for rows in (128, 64, 32, 16, 8, 4, 2, 1)]
"""Every statement gives the interpreter's lock away and waits for it again, so many rows go into one."""

_log = structlog.get_logger()


class _Waiting(NamedTuple):
    entries: Sequence[Entry]
    once: Once | None
    rejects: Sequence[RejectRow]
    size: int
    done: asyncio.Future[Kept]


_Outcome = Kept | FootpathError


class SqliteJournal:
    """A Journal over the database of a data folder. Belongs to the event loop that it is first used in."""

    def __init__(
        self,
        folder: Path,
        *,
        max_actions: int,
        max_waiting_bytes: int,
        committed: Callable[[int, float], object] = lambda *_: None,
        max_reject_bytes: int = rejected.DEFAULT_BYTES,
    ) -> None:
        """Open the journal.

        Args:
            folder: a folder that `database.prepare` has seen.
            max_actions: that may be in the journal before appends get JournalFull.
            max_waiting_bytes: of actions that may wait in memory for their commit before appends get JournalFull.
            committed: called after each commit with the appends in its group, and the seconds it took.
            max_reject_bytes: of rejects that are kept; the oldest make room for new ones.
        """
        self._folder = folder
        self._max_actions = max_actions
        self._max_waiting_bytes = max_waiting_bytes
        self._committed = committed
        self._max_reject_bytes = max_reject_bytes
        self._connection: apsw.Connection | None = None
        self._checkpoints: Checkpoints | None = None
        self._connect()
        self._compress = zstandard.ZstdCompressor(level=1).compress
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._started = False
        self._committing: asyncio.Future[list[_Outcome]] | None = None
        self._mending: asyncio.Task[None] | None = None
        self._trouble: str | None = None
        self._full = Full()  # of actions that are not in parts: only the keeper makes room
        self._tombstones = Tombstones()

    def append(
        self, entries: Sequence[Entry], once: Once | None = None, rejects: Sequence[RejectRow] = ()
    ) -> asyncio.Future[Kept]:
        """See `Journal.append`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Kept] = loop.create_future()
        refused = refusal(self._trouble, self._waiting_bytes, self._max_waiting_bytes)
        if refused is not None:
            done.set_exception(refused)
        elif not entries and once is None and not rejects:
            done.set_result(ALL_NEW)
        else:
            size = sum([len(entry.actions) for entry in entries])
            if rejects:
                size += sum([len(row.raw) for row in rejects])
            self._waiting_bytes += size
            self._waiting.append(_Waiting(entries, once, rejects, size, done))
            if not self._started:
                self._started = True
                loop.call_soon(self._start)  # so that all requests that came in the same moment are in the group
        return done

    def refusal(self) -> FootpathError | None:
        """What an append will most likely be refused with just now, so that its body need not be read; None if not."""
        if self._trouble is None and self._full.error is None and self._waiting_bytes <= self._max_waiting_bytes:
            return None  # what each request asks, without a call
        return self._full.now() or refusal(self._trouble, self._waiting_bytes, self._max_waiting_bytes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of actions that wait in memory for their commit."""
        return self._waiting_bytes

    def trouble(self) -> str | None:
        """See `Journal.trouble`."""
        return self._trouble

    async def close(self) -> None:
        """See `Journal.close`."""
        while self._started:
            if self._committing is not None:
                await asyncio.wait([self._committing])
            await asyncio.sleep(0)
        if self._mending is not None:
            self._mending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._mending
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _start(self) -> None:
        group = self._waiting
        self._waiting = []
        began = time.perf_counter()
        committing = asyncio.get_running_loop().run_in_executor(self._thread, self._commit, group)
        self._committing = committing
        committing.add_done_callback(lambda finished: self._finish(group, finished, began))

    def _finish(self, group: list[_Waiting], finished: asyncio.Future[list[_Outcome]], began: float) -> None:
        self._committing = None
        self._waiting_bytes -= sum([item.size for item in group])
        error = finished.exception()
        outcomes: Iterable[_Outcome]
        if error is None:
            outcomes = finished.result()
            self._committed(len(group), time.perf_counter() - began)
        elif isinstance(error, FootpathError):
            outcomes = [error] * len(group)
            if isinstance(error, JournalFull):
                self._full.met(error)
        else:
            outcomes = [self._fail(error)] * len(group)
        for item, outcome in zip(group, outcomes, strict=True):
            if item.done.done():
                continue  # whoever waited has gone
            if isinstance(outcome, FootpathError):
                item.done.set_exception(outcome)
            else:
                item.done.set_result(outcome)
        self._started = bool(self._waiting)
        if self._started:
            self._start()

    def _fail(self, error: BaseException) -> JournalFailed:
        if isinstance(error, apsw.BusyError):
            return JournalFailed("the journal is locked by another process; send again in a moment")
        self._trouble = f"{type(error).__name__}: {error}"
        _log.error("journal failed", error=self._trouble, folder=str(self._folder))
        for item in self._waiting:
            if not item.done.done():
                item.done.set_exception(failing(self._trouble))
        self._waiting_bytes -= sum([item.size for item in self._waiting])
        self._waiting = []
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._mend())
        return JournalFailed(f"the journal could not be written: {self._trouble}")

    async def _mend(self) -> None:
        while True:
            await asyncio.sleep(REOPEN_SECONDS)
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._reopen)
            except (apsw.Error, OSError, FootpathError) as error:
                self._trouble = f"{type(error).__name__}: {error}"
                _log.warning("journal still failing", error=self._trouble)
            else:
                self._trouble = None
                _log.info("journal mended", folder=str(self._folder))
                return

    # The rest runs in the journal's thread.

    def _commit(self, group: list[_Waiting]) -> list[_Outcome]:
        """Make a group durable in one transaction; an outcome for each of it."""
        connection, checkpoints = self._connection, self._checkpoints
        if connection is None or checkpoints is None:
            raise JournalFailed("the journal is closed")
        checkpoints.settle()
        pack = self._pack
        rows: list[Rows] = [[(entry, pack(entry.actions)) for entry in item.entries] for item in group]
        now = time.time_ns() // 1000
        found = [ALL_NEW] * len(group)
        with database.write(connection):
            onces = [(place, item.once) for place, item in enumerate(group) if item.once is not None]
            replays = known.replays(connection, onces)
            for place in replays:
                rows[place] = []
            self._tombstones.refresh(connection)
            if self._tombstones.are_any:
                self._tombstones.leave_out(rows, found, now)
            kept = list(chain.from_iterable(rows))
            if [entry for entry, _ in kept if entry.ids is not None]:
                known.leave_out_duplicates(connection, rows, found, now, pack)
                kept = list(chain.from_iterable(rows))
            number = sum([entry.number for entry, _ in kept])
            seq, flushed = database.one(
                connection, "UPDATE state SET seq = seq + ? RETURNING seq - ?1 + 1, flushed", (number,)
            )
            if seq - flushed > self._max_actions:
                raise JournalFull(
                    f"the journal holds {seq - flushed} actions that are not in parts yet; send again in a while"
                )
            values: list[object] = []
            for entry, blob in kept:
                user, session, number, time_min, time_max, types, _, _ = entry
                values += (seq, user, session, number, time_min, time_max, types, now, blob)
                seq += number
            _insert(connection, values)
            refused = [item.rejects for place, item in enumerate(group) if item.rejects and place not in replays]
            if refused:
                reject_rows = self._tombstones.without(list(chain.from_iterable(refused)), now)
                rejected.keep(connection, reject_rows, now, self._max_reject_bytes)
            outcomes: list[_Outcome] = [*found]
            for place, once in onces:
                outcomes[place] = replays.get(place) or known.remember(connection, once, found[place], now)
        return outcomes

    def _pack(self, actions: bytes) -> bytes:
        return actions if len(actions) < COMPRESS_FROM else self._compress(actions)

    def _reopen(self) -> None:
        self._disconnect()
        connection = database.connect(self._folder)
        try:
            busy, _, _ = database.one(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            if busy:
                raise JournalFailed("the log is in use and cannot be emptied yet")
            with database.write(connection):
                connection.execute("UPDATE state SET seq = seq")
        finally:
            connection.close()
        self._connect()

    def _connect(self) -> None:
        self._connection = database.connect(self._folder)
        self._connection.set_busy_handler(_wait)
        self._checkpoints = Checkpoints(self._connection, lambda: database.connect(self._folder))

    def _disconnect(self) -> None:
        checkpoints, self._checkpoints = self._checkpoints, None
        if checkpoints is not None:
            checkpoints.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _wait(tries: int) -> bool:
    """Wait for the keeper, which holds the lock for a millisecond or two.

    SQLite's own waiting goes up to a tenth of a second a time, and whoever asks in between goes first.
    """
    time.sleep(BUSY_STEP_SECONDS)
    return tries * BUSY_STEP_SECONDS < database.BUSY_MILLISECONDS / 1000


def _insert(connection: apsw.Connection, values: list[object]) -> None:
    """Insert rows of nine values each, in as few statements as there are bits in their number."""
    start = 0
    for rows, statement in _INSERTS:
        while len(values) - start >= rows * 9:
            connection.execute(statement, values[start : start + rows * 9])
            start += rows * 9
