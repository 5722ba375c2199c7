"""Whose entries are refused: the tombstones of forgotten users, in memory, as of a transaction.

They are read again when `state.forgotten_version` has moved. That is looked at in the transaction that appends, so no
entry slips in after a tombstone; it costs 3 us a group. While there are tombstones, each entry costs a digest more.
"""

from collections.abc import Sequence

import apsw

from footpath import database
from footpath.action import Entry, RejectRow, digest_of
from footpath.journal.base import Kept
from footpath.journal.known import Rows


class Tombstones:
    """Of one database."""

    def __init__(self) -> None:
        """Know none yet."""
        self._version = -1
        self._until: dict[bytes, int] = {}

    def refresh(self, connection: apsw.Connection) -> None:
        """See what the open transaction sees."""
        (version,) = database.one(connection, "SELECT forgotten_version FROM state")
        if version != self._version:
            self._until = dict(connection.execute("SELECT digest, until FROM forgotten"))
            self._version = version

    @property
    def are_any(self) -> bool:
        """Whether anybody may have one."""
        return bool(self._until)

    def leave_out(self, rows: list[Rows], found: list[Kept], now: int) -> None:
        """Take the entries of those who have one out of the rows of each append, and say which they were."""
        for place, item in enumerate(rows):
            refused = self.refused([entry for entry, _ in item], now)
            if refused:
                found[place] = found[place]._replace(refused=refused)
                rows[place] = [row for at, row in enumerate(item) if at not in refused]

    def refused(self, entries: Sequence[Entry], now: int) -> frozenset[int]:
        """The places of the entries that must not be kept at `now`, in microseconds."""
        return frozenset([place for place, entry in enumerate(entries) if self._has_one(entry.user_id, now)])

    def without(self, rejects: Sequence[RejectRow], now: int) -> Sequence[RejectRow]:
        """The rejects that may be kept at `now`."""
        return [row for row in rejects if not self._has_one(row.user_id, now)] if self._until else rejects

    def _has_one(self, user_id: str, now: int) -> bool:
        return self._until.get(digest_of(user_id), 0) > now
