"""Copies the write-ahead log into the database beside the commits, not within them.

SQLite's own checkpoints run in the commit that finds the log long, and its caller waits: with group commits of a
millisecond that was two fifths of their time. Here a second connection, in a thread of its own, copies what is
there (that does not hinder writers); then, between two commits, the writer copies the little that came meanwhile. With
nothing left to copy, SQLite's next commit begins the log anew, so the file stays as long as it is.

A copy that fails loses nothing, for the log is kept: the next `settle` raises what it met.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import apsw

COPY_PAGES = 4_000  # of log, 16 MB, before they are copied
WAIT_PAGES = 64_000  # 256 MB: a log this long is copied with the writer waiting, so it cannot grow without end


class Checkpoints:
    """Of one writing connection. All but the copying runs in the thread of that connection."""

    def __init__(self, writer: apsw.Connection, connect: Callable[[], apsw.Connection]) -> None:
        """Take the place of SQLite's checkpoints on `writer`; `connect` opens another connection to its database."""
        self._writer = writer
        self._connect = connect
        self._other: apsw.Connection | None = None
        self._pages = 0
        self._copying: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        writer.set_wal_hook(self._committed)

    def settle(self) -> None:
        """Do what is due; called after a commit.

        Raises:
            apsw.Error: a copy failed.
        """
        if self._copying is not None and self._copying.done():
            copying, self._copying = self._copying, None
            copying.result()
            _checkpoint(self._writer)
        elif self._pages >= WAIT_PAGES:
            _checkpoint(self._writer)
        elif self._copying is None and self._pages >= COPY_PAGES:
            self._copying = self._thread.submit(self._copy)

    def close(self) -> None:
        """Let go of the second connection; the writer stays open."""
        self._thread.shutdown()
        if self._other is not None:
            self._other.close()

    def _committed(self, _writer: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _copy(self) -> None:
        if self._other is None:
            self._other = self._connect()
        _checkpoint(self._other)


def _checkpoint(connection: apsw.Connection) -> None:
    """Copy what no reader or writer is in the way of."""
    with contextlib.suppress(apsw.BusyError):  # another process copies: the keeper, a second worker
        connection.wal_checkpoint()
