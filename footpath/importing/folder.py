"""Chunks -> the journal of a data folder that no server holds, and from there into parts.

Each chunk goes the way of a request: the same checks, one durable commit, the same answer kept under its key, so that a
chunk which was sent to a server before is known here and the other way round. Whenever `BACKLOG` actions or
`BACKLOG_BYTES` wait in the journal they are flushed and merged at once, as no keeper runs beside.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager

import apsw
import duckdb
from filelock import FileLock, Timeout

from footpath import database, decode
from footpath.action import Checked
from footpath.config import Settings
from footpath.errors import CommandFailed, FolderInUse
from footpath.importing.chunk import Chunk
from footpath.importing.target import Stored
from footpath.journal.base import Kept, Once
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.alone import settle
from footpath.keeper.flush import due
from footpath.keeper.loop import GRACE_MARGIN, lock_path
from footpath.store.local import LocalStore
from footpath.validate import refuse_forgotten
from footpath.web.submit import recalled, remembered

BACKLOG = 200_000  # actions in the journal: 20 MB
BACKLOG_BYTES = 256 << 20  # of large actions: four flushes
KEEPER_SECONDS = 30.0  # a keeper whose server has gone finishes its flush in less


class FolderTarget:
    """Stores chunks in a folder, one after the other."""

    def __init__(self, settings: Settings, journal: SqliteJournal, runner: asyncio.Runner, backlog: int) -> None:
        """Begin with `backlog` actions waiting in the journal."""
        self._settings = settings
        self._journal = journal
        self._runner = runner
        self._backlog = backlog
        self._backlog_bytes = 0

    def store(self, chunk: Chunk) -> Stored:
        """See `Target.store`."""
        checked = decode.read(chunk.body)
        once = Once(chunk.key, hashlib.sha256(chunk.body).digest(), remembered)
        kept = self._runner.run(self._append(checked, once))
        found = kept if kept.earlier is None else recalled(kept.earlier)
        checked = refuse_forgotten(checked, found.refused)
        if kept.earlier is not None:
            return Stored(0, checked.accepted, checked.rejects)
        accepted = checked.accepted - kept.duplicates
        self._backlog += accepted
        self._backlog_bytes += len(chunk.body)
        if self._backlog >= BACKLOG or self._backlog_bytes >= BACKLOG_BYTES:
            self.settle()
        return Stored(accepted, kept.duplicates, checked.rejects)

    def settle(self) -> None:
        """Put everything into parts, and remove those that a merge replaced and no read can want any more.

        Raises:
            CommandFailed: the disk is full, or the like; what is in the journal stays there.
        """
        settings = self._settings
        try:
            settle(settings)
            with closing(LocalStore(settings.data)) as store:
                store.purge(settings.read_seconds + GRACE_MARGIN)
        except (apsw.Error, duckdb.Error, OSError) as error:
            raise CommandFailed(
                f"what was imported cannot be put into parts ({type(error).__name__}: {error}); mend that and run the"
                " same import again"
            ) from error
        self._backlog = self._backlog_bytes = 0

    async def _append(self, checked: Checked, once: Once) -> Kept:
        return await self._journal.append(checked.entries, once, checked.reject_rows)


@contextmanager
def opened(settings: Settings) -> Iterator[FolderTarget]:
    """Store in a folder that this process holds; everything is in parts when the block ends without a failure.

    Raises:
        FolderInUse: a keeper of it does not end.
    """
    lock = FileLock(lock_path(settings.data))
    try:
        lock.acquire(timeout=KEEPER_SECONDS)
    except Timeout as error:
        raise FolderInUse(f"a keeper still works on {settings.data} though its server has gone: stop it") from error
    try:
        with closing(LocalStore(settings.data)) as store:
            store.sweep()
        with closing(database.connect(settings.data, readonly=True)) as connection:
            backlog = due(connection).actions
        with asyncio.Runner() as runner:
            journal = SqliteJournal(
                settings.data,
                max_actions=settings.journal_actions,
                max_waiting_bytes=settings.waiting_bytes,
                max_reject_bytes=settings.reject_bytes,
            )
            target = FolderTarget(settings, journal, runner, backlog)
            try:
                yield target
            finally:
                runner.run(journal.close())
        target.settle()
    finally:
        lock.release()
