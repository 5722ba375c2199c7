"""What was kept lately, in the order of seq: for those who follow.

Three ways to the same lines. `fresh` looks at the journal, for many followers at once: that is cheap, since SQLite
passes over batches of users that nobody follows, 0.2 us each, without the interpreter's lock. Where a flush was
quicker, `stored` looks at parts for them. `since` reads hot rows and parts as any other read does, for
one who comes back late.
"""

import json
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
from footpath.journal.hot import legible, unpacked
from footpath.query import Query
from footpath.store import local

MOST_ROWS = 1_000  # batches that `fresh` takes apart in one go: 25 ms of work
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

    def fresh(self, after: int, wanted: Wanted, most_bytes: int) -> Lines | None:
        """See `Newest.fresh`."""
        try:
            with self._find.database() as connection, database.snapshot(connection), legible():
                last, flushed = database.one(connection, "SELECT seq, flushed FROM state")
                return _hot(connection, after, last, wanted, most_bytes) if flushed <= after else None
        except apsw.Error as error:
            raise _unreadable(error) from error

    def stored(self, after: int, wanted: Wanted) -> Lines:
        """See `Newest.stored`."""
        try:
            with self._find.database() as connection:
                (flushed,) = database.one(connection, "SELECT flushed FROM state")
        except apsw.Error as error:
            raise _unreadable(error) from error
        is_all = not wanted.users and not wanted.sessions
        found = self._read(Query(), wanted, after, min(flushed, after + LATE_ROWS) if is_all else flushed)
        return found._replace(is_cut=True)  # the journal has more

    def since(self, query: Query, after: int, until: int) -> Lines:
        """See `Newest.since`."""
        return self._read(query, Wanted(), after, until)

    def _read(self, query: Query, wanted: Wanted, after: int, until: int) -> Lines:
        """What is asked for and wanted of some seqs, the first `LATE_ROWS` of it, or as many as `LATE_BYTES` hold."""
        query = structs.replace(query, since_seq=after, last_seq=until)
        most = LATE_ROWS
        while True:
            with self._find.look(query) as view:
                if not view.execute(
                    text.COLUMNS, f"seq LIMIT {most}", _both(sql.condition(view.query), wanted), view.parts
                ):
                    return Lines([], until)
                rows = view.fetch_all(_PROPERTIES, most, LATE_BYTES if most > 1 else MAX_ACTION_BYTES)
            if rows is not None:
                lines = [_line(row) for row in rows]
                is_cut = len(lines) == most
                return Lines(lines, lines[-1].seq if is_cut else until, is_cut)
            most = max(1, most // 16)


def _hot(connection: apsw.Connection, after: int, last: int, wanted: Wanted, most_bytes: int) -> Lines:
    oldest = local.oldest_kept(connection)
    lines: list[Line] = []
    size = rows = 0
    decompress = zstandard.ZstdDecompressor().decompress
    whose, ids = _whose(wanted)
    for seq, count, user_id, session_id, received_at, packed in connection.execute(
        "SELECT seq, count, user_id, session_id, received_at, actions FROM journal"
        f" WHERE seq >= ifnull((SELECT max(seq) FROM journal WHERE seq <= ?1), 0) AND seq + count - 1 > ?1 AND {whose}"
        f" ORDER BY seq LIMIT {MOST_ROWS}",
        (after, *ids),
    ):
        actions = unpacked(packed, decompress)
        for place, action in enumerate(_KEPT.decode(actions)):
            time = micros(action.time)
            if seq + place > after and (oldest is None or time >= oldest):
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
        size, rows = size + len(actions), rows + 1
        if size >= most_bytes or rows == MOST_ROWS:
            return Lines(lines, seq + count - 1, is_cut=True)
    return Lines(lines, max(after, last))


def _both(condition: tuple[str, dict[str, Any]], wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """A condition of DuckDB, and that an action is wanted as well."""
    where, bindings = condition
    given = [(column, ids) for column, ids in (("user_id", wanted.users), ("session_id", wanted.sessions)) if ids]
    if not given:
        return condition
    one_of = " OR ".join([f"{column} IN (SELECT unnest($wanted_{column}))" for column, _ in given])
    return f"{where} AND ({one_of})", bindings | {f"wanted_{column}": list(ids) for column, ids in given}


def _whose(wanted: Wanted) -> tuple[str, list[str]]:
    """The condition that an action is wanted, and its values: after a first one."""
    given = [(column, ids) for column, ids in (("user_id", wanted.users), ("session_id", wanted.sessions)) if ids]
    conditions = [f"{column} IN (SELECT value FROM json_each(?{place}))" for place, (column, _) in enumerate(given, 2)]
    return f"({' OR '.join(conditions) or 'true'})", [json.dumps(list(ids)) for _, ids in given]


def _line(row: tuple[Any, ...]) -> Line:
    return Line(row[0], row[1], row[4], row[7], _write(row)[0])


def _unreadable(error: apsw.Error) -> ReadFailed:
    return ReadFailed(f"the journal could not be read: {error}")
