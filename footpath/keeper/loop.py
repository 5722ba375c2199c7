"""The keeper's process: one thread flushes, one merges and expires, until its standard input ends.

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
from footpath.config import Settings, read_settings
from footpath.errors import FootpathError, PartDamaged
from footpath.keeper import expire
from footpath.keeper import merge as merging
from footpath.keeper.flush import due, flush
from footpath.keeper.telling import telling
from footpath.metrics.counts import KeeperCounts
from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore

FLUSH_PARTS = 4  # a flush takes as many actions as this many parts: it lives shortly, and is sorted in memory
NICENESS = 10  # where they share a core, answers go first: the journal can hold what waits for a flush, a client cannot
POLL_SECONDS = 0.25
RETRY_SECONDS = 2.0  # after a failure, such as a full disk
QUIET_ROWS_A_SECOND = 100_000  # what quiet merges and expiring may each cost: a twelfth of a core at 1.2 M rows/s
QUIET_BUDGET = 50_000_000.0  # rows: the most that is saved up for one such merge
GRACE_MARGIN = 60.0  # seconds that a replaced part outlives the longest read

_log = structlog.get_logger()


@dataclass
class Keeper:
    """Flushes, merges and expires in one data folder until `stop` is set."""

    settings: Settings
    stop: threading.Event
    merges: list[merging.Merge] = field(default_factory=list)
    counts: KeeperCounts = field(default_factory=KeeperCounts)

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

    def _repeat(self, work: Callable[[], None]) -> None:
        """Run a loop until stop, beginning anew with fresh connections after a failure."""
        while not self.stop.is_set():
            try:
                work()
            except (apsw.Error, duckdb.Error, OSError, FootpathError, RuntimeError) as error:
                self.counts.failures += 1
                _log.error(
                    "the keeper failed; trying again", loop=work.__name__, error=f"{type(error).__name__}: {error}"
                )
                self.stop.wait(RETRY_SECONDS)
            except BaseException:  # a fault of ours: end the process, so that the server starts a fresh one
                self.stop.set()
                raise

    def flush_loop(self) -> None:
        """Flush whenever the oldest hot row is old enough, or there are enough of them."""
        settings = self.settings
        with (
            closing(database.connect(settings.data)) as connection,
            closing(LocalStore(settings.data)) as store,
            parquet.engine(settings.data, memory=settings.keeper_memory) as engine,
        ):
            next_tidy = 0.0
            while not self.stop.is_set():
                waiting = due(connection)
                if waiting.actions >= settings.flush_actions or waiting.age >= settings.flush_seconds:
                    started = time.monotonic()
                    rows = flush(connection, engine, store, settings.part_actions * FLUSH_PARTS)
                    self.counts.flushed += rows
                    self.counts.flush_seconds.observe(time.monotonic() - started)
                    continue
                if time.monotonic() >= next_tidy:
                    store.trim()
                    store.forget_keys(settings.idempotency_hours)
                    store.forget_ids(settings.id_hours)
                    store.purge(settings.read_seconds + GRACE_MARGIN)
                    next_tidy = time.monotonic() + 30
                self.stop.wait(POLL_SECONDS)

    def merge_loop(self) -> None:
        """Merge what must be merged at once, and what may be when there is budget; remove what has expired."""
        settings = self.settings
        with (
            closing(LocalStore(settings.data)) as store,
            parquet.engine(settings.data, memory=settings.keeper_memory) as engine,
        ):
            try:
                while not self.stop.is_set():
                    with contextlib.suppress(PartDamaged):  # it was logged, is known from now on, and left as it is
                        self._merge_and_expire(engine, store)
            finally:
                for merge in self.merges:
                    merge.abandon()
                self.merges.clear()

    def _merge_and_expire(self, engine: duckdb.DuckDBPyConnection, store: LocalStore) -> None:
        merges, part_actions = self.merges, self.settings.part_actions
        budget = expiry_budget = 0.0
        looked = time.monotonic()
        while not self.stop.is_set():
            now = time.monotonic()
            earned = (now - looked) * QUIET_ROWS_A_SECOND
            looked = now
            budget = min(QUIET_BUDGET, budget + earned)
            expiry_budget = min(QUIET_ROWS_A_SECOND, expiry_budget + earned)
            busy = {part.run for merge in merges for part in merge.old}
            idle = [part for part in store.live() if part.run not in busy]
            expired = self._expire(engine, store, idle, expiry_budget)
            if expired:
                expiry_budget -= expired
                continue
            free = [run for run in merging.runs_of(idle) if not any(map(store.whole.is_known_damaged, run))]
            chosen = merging.plan(free, part_actions)
            if not chosen and not merges:
                chosen = merging.plan_quiet(free, budget)
            if chosen:
                merges.append(merging.merge(engine, store, chosen, part_actions))
            elif not merges:
                self.stop.wait(POLL_SECONDS * 4)
                continue
            rows = next(merges[-1], None)  # the last to begin is the smallest
            if rows is None:
                merges.pop()
            else:
                self.counts.merged += rows
                self.counts.merge_seconds.observe(time.monotonic() - now)
                budget = max(0.0, budget - rows)

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


def settle(settings: Settings) -> None:
    """Flush everything and merge what must be merged, here and now: for commands that work without a server."""
    with (
        closing(database.connect(settings.data)) as connection,
        closing(LocalStore(settings.data)) as store,
        parquet.engine(settings.data, memory=settings.keeper_memory) as engine,
    ):
        while flush(connection, engine, store, settings.part_actions * FLUSH_PARTS):
            pass
        while chosen := merging.plan(merging.runs_of(store.live()), settings.part_actions):
            for _ in merging.merge(engine, store, chosen, settings.part_actions):
                pass


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


def lock_path(folder: Path) -> Path:
    """The lock that the one keeper of a folder holds."""
    return folder / "keeper.lock"
