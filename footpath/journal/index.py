"""Which hot rows are whose, in memory.

An index in SQLite would cost more than the row itself: each of a group's users dirties a page of its own, and a commit
writes whole pages (13 us a row with it, 6.6 without, in groups of 30). So a process that reads keeps the index, and
brings it up to date at each read with the rows that were committed since the last: about 1 us a row.
"""

import threading

import apsw

from footpath import database

_SEGMENT = 20_000  # rows: what has been flushed is dropped by the segment


class _Segment:
    """Some neighbouring rows: keys by user_id, and the highest key."""

    def __init__(self) -> None:
        self.by_user: dict[str, list[int]] = {}
        self.rows = 0
        self.last = 0


class UserIndex:
    """user_id -> keys of the hot rows. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._seen = 0
        self._flushed = 0

    def rows_of(self, connection: apsw.Connection, user_id: str) -> list[int]:
        """The keys of the hot rows of a user, in rising order, as of the connection's open transaction.

        Keys of rows newer than that transaction, or flushed by then, may be among them.
        """
        (flushed,) = database.one(connection, "SELECT flushed FROM state")
        with self._lock:
            if flushed >= self._flushed:
                self._refresh(connection, flushed)
                return [key for segment in self._segments for key in segment.by_user.get(user_id, ())]
        # Another read, begun after a flush, has dropped rows that are still hot for this one, which began before it.
        return [
            row[0]
            for row in connection.execute("SELECT seq FROM journal WHERE seq > ? AND user_id = ?", (flushed, user_id))
        ]

    def _refresh(self, connection: apsw.Connection, flushed: int) -> None:
        self._flushed = flushed
        self._segments = [segment for segment in self._segments if segment.last > flushed]
        new = connection.execute(
            "SELECT seq, user_id FROM journal WHERE seq > ? ORDER BY seq", (max(flushed, self._seen),)
        )
        for key, user_id in new:
            if not self._segments or self._segments[-1].rows >= _SEGMENT:
                self._segments.append(_Segment())
            segment = self._segments[-1]
            segment.by_user.setdefault(user_id, []).append(key)
            segment.rows += 1
            segment.last = self._seen = key
