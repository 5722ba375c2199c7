"""What was kept lately, in the order of seq: for those who follow.

Two ways to the same lines. `fresh` looks at the journal, for many followers at once: that is cheap, since batches of
users that nobody follows are not even unpacked. `since` reads hot rows and parts as any other read does, for one who
comes back late or cannot keep up, or where a flush was quicker.
"""

from datetime import datetime
from typing import Any

import apsw
import zstandard
from msgspec import UNSET, Raw, Struct, UnsetType, structs
from msgspec.json import Decoder

from footpath import database
from footpath.action import MAX_ACTION_BYTES, micros
from footpath.errors import ReadFailed
from footpath.find import sql, text
from footpath.find.base import Line, Lines, Newest, Shape, Wanted
from footpath.find.duckdb import DuckdbFind
from footpath.journal.hot import unpacked
from footpath.query import Query
from footpath.store import local

MOST_ROWS = 2_000  # batches that `fresh` looks at in one go: 50 ms of work
MOST_BYTES = 4 << 20  # of JSON that it takes apart in one go, and a batch more
LATE_ROWS = 5_000  # actions that `since` gives in one go
LATE_BYTES = 4 << 20  # of their properties; one action alone may be what it is
_PROPERTIES = text.COLUMNS.split(", ").index("properties")
_write = text.SHAPE[Shape.LINES]


class _Kept(Struct, gc=False):
    """An action as the journal keeps it."""

    time: datetime
    type: str
    properties: Raw
    id: str | UnsetType | None = UNSET


_KEPT = Decoder(list[_Kept])


class DuckdbNewest(Newest):
    """Over the data folder of a find. Any thread may use it."""

    def __init__(self, find: DuckdbFind) -> None:
        """Follow what `find` finds."""
        self._find = find

    def last_seq(self) -> int:
        """See `Newest.last_seq`."""
        try:
            with self._find.database() as connection:
                (last,) = database.one(connection, "SELECT seq FROM state")
        except apsw.Error as error:
            raise _unreadable(error) from error
        return int(last)

    def fresh(self, after: int, wanted: Wanted) -> Lines | None:
        """See `Newest.fresh`."""
        try:
            with self._find.database() as connection, database.snapshot(connection):
                (flushed,) = database.one(connection, "SELECT flushed FROM state")
                return _hot(connection, after, wanted) if flushed <= after else None
        except apsw.Error as error:
            raise _unreadable(error) from error

    def since(self, query: Query, after: int, until: int) -> Lines:
        """See `Newest.since`."""
        query = structs.replace(query, since_seq=after, last_seq=until)
        most = LATE_ROWS
        while True:
            with self._find.look(query) as view:
                if not view.execute(text.COLUMNS, f"seq LIMIT {most}", sql.condition(view.query), view.parts):
                    return Lines([], until)
                rows = view.fetch_all(_PROPERTIES, most, LATE_BYTES if most > 1 else MAX_ACTION_BYTES)
            if rows is not None:
                lines = [_line(row) for row in rows]
                return Lines(lines, lines[-1].seq if len(lines) == most else until)
            most = max(1, most // 16)


def _hot(connection: apsw.Connection, after: int, wanted: Wanted) -> Lines:
    oldest = local.oldest_kept(connection)
    lines: list[Line] = []
    size = 0
    decompress = zstandard.ZstdDecompressor().decompress
    for seq, count, user_id, session_id, received_at, packed in connection.execute(
        "SELECT seq, count, user_id, session_id, received_at, actions FROM journal WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, MOST_ROWS),
    ):
        after = seq + count - 1
        if not wanted(user_id, session_id):
            continue
        actions = unpacked(packed, decompress)
        for place, action in enumerate(_KEPT.decode(actions)):
            time = micros(action.time)
            if oldest is None or time >= oldest:
                east = action.time.utcoffset()
                lines.append(
                    _line(
                        (
                            user_id,
                            session_id,
                            time,
                            0 if east is None else round(east.total_seconds() / 60),
                            action.type,
                            bytes(action.properties).decode(),
                            None if action.id is UNSET else action.id,
                            seq + place,
                            received_at,
                        )
                    )
                )
        size += len(actions)
        if size >= MOST_BYTES:
            break
    return Lines(lines, after)


def _line(row: tuple[Any, ...]) -> Line:
    return Line(row[0], row[1], row[4], row[7], _write(row)[0])


def _unreadable(error: apsw.Error) -> ReadFailed:
    return ReadFailed(f"the journal could not be read: {error}")
