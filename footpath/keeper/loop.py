"""The keeper's process: one thread flushes and forgets, one merges, expires and sums up, until its input ends.

Standard input is a pipe from the server: it ends when the server stops, however it stops, also by kill -9. A lock file
makes sure that there is one keeper a folder: a new one waits until the one before has gone.

An idle folder costs a look at the journal `POLL_SECONDS` apart, which reads two pages from memory.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import apsw
import duckdb
import structlog
from filelock import FileLock

from footpath import database, log
from footpath.config import Settings, in_bytes, read_settings
from footpath.errors import FootpathError, PartDamaged, ReadFailed
from footpath.journal import hot
from footpath.keeper import expire
from footpath.keeper import merge as merging
from footpath.keeper.flush import due, flush
from footpath.keeper.forget import Forgetter
from footpath.keeper.summarise import Summariser
from footpath.keeper.telling import telling
from footpath.metrics.counts import KeeperCounts
from footpath.store import forgetting, parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore
from footpath.store.summaries import Summaries

FLUSH_PARTS = 4  # a flush takes as many actions as this many parts: it lives shortly, and is sorted in memory
FLUSH_NEEDS = 14  # times the JSON of a flush: 16 MB of it are parsed and sorted in 200, 4 MB in 48
LARGEST_NEEDS = 256_000_000  # bytes: to flush one batch of 20 MiB, or to merge `WINDOW_BYTES`
NICENESS = 10  # where they share a core, answers go first: the journal can hold what waits for a flush, a client cannot
POLL_SECONDS = 0.25
RETRY_SECONDS = 2.0  # after a failure, such as a full disk
FORGET_RETRY_SECONDS = 10.0  # flushes go on meanwhile
QUIET_ROWS_A_SECOND = 100_000  # what quiet merges and expiring may each cost: a twelfth of a core at 1.2 M rows/s
SUMMARY_ROWS_A_SECOND = (
    300_000  # what summaries may cost when nothing else is to be done: a quarter of a core at 0.8 us
)
GRACE_MARGIN = 60.0  # seconds that a replaced part outlives the longest read

_log = structlog.get_logger()


@dataclass
class Keeper:
    """Flushes, merges, expires and forgets in one data folder until `stop` is set."""

    settings: Settings
    stop: threading.Event
    merges: list[merging.Merge] = field(default_factory=list)
    counts: KeeperCounts = field(default_factory=KeeperCounts)
    _gate: threading.Lock = field(default_factory=threading.Lock)  # whoever holds it is next to get the turn
    _turn: threading.Lock = field(default_factory=threading.Lock)  # of a step of merging, or of forgetting

    def run(self) -> None:
        """Sweep, then work until told to stop."""
        with closing(LocalStore(self.settings.data)) as store:
            swept = store.sweep()
            if swept:
                _log.info("swept files that belong to no run", files=len(swept))
        with ThreadPoolExecutor(2) as threads:
            loops = [threads.submit(self._repeat, work) for work in (self.flush_loop, self.merge_loop)]
        for loop in loops:
            loop.result()

    def _repeat(self, work: Callable[[int], None]) -> None:
        """Run a loop until stop, beginning anew with fresh connections after a failure.

        One batch, or one user's part, may be too large for `keeper_memory`. It must not stay in the way of all others:
        then the loop takes more, up to what the largest needs, until the keeper is started again.
        """
        memory = in_bytes(self.settings.keeper_memory)
        while not self.stop.is_set():
            try:
                work(memory)
            except duckdb.OutOfMemoryException as error:
                self.counts.failures += 1
                memory = max(memory, LARGEST_NEEDS)
                _log.warning(
                    "the keeper needs more memory; trying again", loop=work.__name__, bytes=memory, error=_first(error)
                )
                self.stop.wait(RETRY_SECONDS)
            except (apsw.Error, duckdb.Error, OSError, FootpathError, RuntimeError, UnicodeDecodeError) as error:
                self.counts.failures += 1
                _log.error(
                    "the keeper failed; trying again", loop=work.__name__, error=f"{type(error).__name__}: {error}"
                )
                self.stop.wait(RETRY_SECONDS)
            except BaseException:  # a fault of ours: end the process, so that the server starts a fresh one
                self.stop.set()
                raise

    def flush_loop(self, memory: int) -> None:
        """Flush whenever the oldest hot row is old enough, or there are enough of them; sort in so many bytes."""
        settings = self.settings
        most_bytes = min(hot.MAX_BYTES, memory // FLUSH_NEEDS)
        with (
            closing(database.connect(settings.data)) as connection,
            closing(LocalStore(settings.data)) as store,
            parquet.engine(settings.data, memory=f"{memory}B") as engine,
        ):
            forgetter = Forgetter(
                connection, engine, store, flush_actions=settings.part_actions * FLUSH_PARTS, merges=self.merges
            )
            next_tidy = next_try = 0.0
            while not self.stop.is_set():
                order = forgetting.next_order(connection)
                if order is not None and time.monotonic() >= next_try:
                    if not self._forget(connection, forgetter, order):
                        next_try = time.monotonic() + FORGET_RETRY_SECONDS
                    continue
                waiting = due(connection)
                if waiting.actions >= settings.flush_actions or waiting.age >= settings.flush_seconds:
                    started = time.monotonic()
                    rows = flush(connection, engine, store, settings.part_actions * FLUSH_PARTS, max_bytes=most_bytes)
                    self.counts.flushed += rows
                    self.counts.flush_seconds.observe(time.monotonic() - started)
                    continue
                if time.monotonic() >= next_tidy:
                    store.trim()
                    store.forget_keys(settings.idempotency_hours)
                    store.forget_ids(settings.id_hours)
                    forgetting.tidy(connection)
                    store.purge(settings.read_seconds + GRACE_MARGIN)
                    next_tidy = time.monotonic() + 30
                self.stop.wait(POLL_SECONDS)

    def _forget(self, connection: apsw.Connection, forgetter: Forgetter, order: forgetting.Order) -> bool:
        """Do an order while merges wait; whether it could be done."""
        started = time.monotonic()
        with self._gate, self._turn:
            try:
                forgetter.work(order)
            except (apsw.Error, duckdb.Error, OSError, PartDamaged, ReadFailed, RuntimeError) as error:
                trouble = type(error).__name__
                if not isinstance(error, duckdb.Error):  # whose messages may hold what is stored
                    trouble += f": {error}"
                _log.error("a user could not be forgotten yet; trying again", order=order.number, error=trouble)
                forgetting.fail(connection, order, trouble)
                if isinstance(error, duckdb.OutOfMemoryException):
                    raise
                return False
        _log.info("forgot a user", order=order.number, seconds=round(time.monotonic() - started, 3))
        return True

    def merge_loop(self, memory: int) -> None:
        """Merge what must be merged at once, and what may be when there is budget; remove what has expired; sum up."""
        settings = self.settings
        summariser = Summariser(
            Summaries(settings.data), settings.read_seconds + GRACE_MARGIN, smallest=settings.part_actions
        )
        with (
            closing(LocalStore(settings.data)) as store,
            parquet.engine(settings.data, memory=f"{memory}B") as engine,
        ):
            try:
                while not self.stop.is_set():
                    with contextlib.suppress(PartDamaged):  # it was logged, is known from now on, and left as it is
                        self._merge_and_expire(engine, store, summariser)
            finally:
                with self._turn:
                    for merge in self.merges:
                        merge.abandon()
                    self.merges.clear()

    def _merge_and_expire(self, engine: duckdb.DuckDBPyConnection, store: LocalStore, summariser: Summariser) -> None:
        budget = expiry_budget = summary_budget = 0.0
        looked = time.monotonic()
        while not self.stop.is_set():
            now = time.monotonic()
            earned = (now - looked) * QUIET_ROWS_A_SECOND
            last, looked = looked, now
            budget = min(merging.QUIET_BUDGET, budget + earned)
            expiry_budget = min(QUIET_ROWS_A_SECOND, expiry_budget + earned)
            summary_budget = min(SUMMARY_ROWS_A_SECOND, summary_budget + (now - last) * SUMMARY_ROWS_A_SECOND)
            with self._gate:
                """Which is taken while a user is to be forgotten."""
            with self._turn:
                busy = {part.run for merge in self.merges for part in merge.old}
                live = store.live()
                idle = [part for part in live if part.run not in busy]
                expired = self._expire(engine, store, idle, expiry_budget)
                rows = None if expired else self._merge(engine, store, idle, budget)
                is_idle = not expired and rows is None and summary_budget > 0
                summed = summariser.step(engine, store, live) if is_idle else 0
            summary_budget -= summed
            if expired:
                expiry_budget -= expired
            elif rows is None:
                self.stop.wait(0 if summed else POLL_SECONDS * 4)
            elif rows:
                self.counts.merged += rows
                self.counts.merge_seconds.observe(time.monotonic() - now)
                budget = max(0.0, budget - rows)

    def _merge(
        self, engine: duckdb.DuckDBPyConnection, store: LocalStore, idle: list[Part], budget: float
    ) -> int | None:
        """Begin a merge if one is due, and go a step on with the last: its rows, 0 at its end; None without one."""
        free = [run for run in merging.runs_of(idle) if not any(map(store.whole.is_known_damaged, run))]
        chosen = merging.plan(free, self.settings.part_actions)
        if not chosen and not self.merges:
            chosen = merging.plan_quiet(free, budget)
        if chosen:
            self.merges.append(merging.merge(engine, store, chosen, self.settings.part_actions))
        elif not self.merges:
            return None
        rows = next(self.merges[-1], None)  # the last to begin is the smallest
        if rows is None:
            self.merges.pop()
        return rows or 0

    def _expire(self, engine: duckdb.DuckDBPyConnection, store: LocalStore, parts: list[Part], budget: float) -> int:
        """Drop the parts that have expired, else rewrite one that has in part, if there is budget; rows it looked at.

        Parts that a merge reads have their turn when it has ended.
        """
        kept = store.kept()
        if kept is None:
            return 0
        gone = expire.whole(parts, kept.oldest)
        if gone:
            store.replace(gone, [])
            self.counts.expired += sum(part.rows for part in gone)
            _log.info("expired", parts=len(gone), actions=sum(part.rows for part in gone))
            return 1
        due = expire.due(parts, *kept) if budget > 0 else []
        due = [part for part in due if not store.whole.is_known_damaged(part)]
        if due:
            left = expire.rewrite(engine, store, due[0], kept.oldest)
            self.counts.expired += due[0].rows - left
            _log.info("expired", parts=0, actions=due[0].rows - left)
            return due[0].rows
        return 0


def main() -> None:
    """Entry of the process: settings as one JSON argument, stop when standard input ends or on SIGTERM."""
    settings = read_settings(json.loads(sys.argv[1]), environment={})
    log.configure(settings.log)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    if hasattr(os, "nice"):
        os.nice(NICENESS)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which then ends our input

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 1024):  # not through sys.stdin, whose lock would be held at exit
            pass
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True, name="parent").start()
    lock = FileLock(lock_path(settings.data))
    while not stop.is_set():
        try:
            lock.acquire(timeout=0.5)
            break
        except TimeoutError:
            continue
    if not stop.is_set():
        keeper = Keeper(settings, stop)
        with telling(settings.data, keeper.counts):
            keeper.run()
    lock.release()


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]


def lock_path(folder: Path) -> Path:
    """The lock that the one keeper of a folder holds."""
    return folder / "keeper.lock"
