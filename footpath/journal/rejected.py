"""The table of rejects: what the checks refused, as it was sent, with the reason.

They are kept in the transaction of their request, so an answer that names them means that they are durable. Only so
many bytes are kept (`state.reject_bytes`, which triggers hold, counts them): the oldest make room. An action of more
than `MAX_REJECT_BYTES` is kept cut. Leaves out what a request that is refused whole holds: its sender has it still, and
is told so by the status.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw
from msgspec.json import encode

from footpath import database
from footpath.action import RejectRow

DEFAULT_BYTES = 64 << 20  # 200,000 usual ones; also what may come on top of the journal's size on disk
STEP = 1_000  # rows that are deleted beyond those that came, in one transaction: a few milliseconds
PAGE_BYTES = 4 << 20  # of raw actions that are read at once: a hundred of the largest

_COLUMNS = "at, user_id, session_id, code, message, length, raw"
_INSERTS = [
    (rows, f"INSERT INTO rejects ({_COLUMNS}) VALUES {', '.join(['(?, ?, ?, ?, ?, ?, ?)'] * rows)}")
    for rows in (128, 32, 8, 4, 2, 1)
]


class KeptReject(NamedTuple):
    """A reject as it stands in the table; `id` rises in the order they came, `at` is in microseconds since 1970."""

    id: int
    at: int
    user_id: str
    session_id: str
    code: str
    message: str
    length: int
    raw: bytes

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the action was kept."""
        return self.length > len(self.raw)


class Chosen(NamedTuple):
    """Which rejects are meant: those that fit everything that is given."""

    ids: Sequence[int] = ()
    code: str | None = None
    user_id: str | None = None


def keep(connection: apsw.Connection, rows: Sequence[RejectRow], now: int, max_bytes: int) -> None:
    """Add rejects in an open transaction, and make room for them."""
    start = 0
    for number, statement in _INSERTS:
        while len(rows) - start >= number:
            values: list[object] = []
            for user, session, code, message, length, raw in rows[start : start + number]:
                values += (now, user, session, code, message, length, raw)
            connection.execute(statement, values)
            start += number
    make_room(connection, max_bytes, len(rows) + STEP)


def make_room(connection: apsw.Connection, max_bytes: int, step: int = STEP) -> int:
    """Delete the oldest rejects that are over `max_bytes`, in an open transaction, but at most `step`; how many."""
    (held,) = database.one(connection, "SELECT reject_bytes FROM state")
    if held <= max_bytes:
        return 0
    last = deleted = 0
    oldest: list[Any] = connection.execute("SELECT id, size FROM rejects ORDER BY id LIMIT ?", (step,)).fetchall()
    for reject_id, size in oldest:
        if held <= max_bytes:
            break
        held -= size
        last = reject_id
        deleted += 1
    connection.execute("DELETE FROM rejects WHERE id <= ?", (last,))
    return deleted


def read(
    connection: apsw.Connection, chosen: Chosen, *, limit: int, after: int = 0, newest: bool = False
) -> list[KeptReject]:
    """The chosen rejects with a higher id than `after`: `limit` at most, and not many more than `PAGE_BYTES`.

    Args:
        connection: to the database.
        chosen: which.
        limit: at least one.
        after: 0 for all.
        newest: the newest come first; else the oldest.
    """
    condition, bindings = _condition(chosen)
    order = "DESC" if newest else "ASC"
    found: list[KeptReject] = []
    size = 0
    for row in connection.execute(
        f"SELECT id, {_COLUMNS} FROM rejects WHERE id > ? AND {condition} ORDER BY id {order} LIMIT ?",
        (after, *bindings, limit),
    ):
        found.append(KeptReject(*row))
        size += len(found[-1].raw)
        if size >= PAGE_BYTES:
            break
    return found


def drop(connection: apsw.Connection, chosen: Chosen) -> int:
    """Delete the chosen rejects, `STEP` a transaction so that appends go in between; how many there were."""
    condition, bindings = _condition(chosen)
    dropped = 0
    while True:
        with database.write(connection):
            connection.execute(
                f"DELETE FROM rejects WHERE id IN (SELECT id FROM rejects WHERE {condition} LIMIT ?)",
                (*bindings, STEP),
            )
            changes = connection.changes()
        dropped += changes
        if changes < STEP:
            return dropped


def note(connection: apsw.Connection, reject_id: int, code: str, message: str) -> None:
    """Put another reason in the place of the one that a reject had."""
    with database.write(connection):
        connection.execute("UPDATE rejects SET code = ?, message = ? WHERE id = ?", (code, message, reject_id))


def _condition(chosen: Chosen) -> tuple[str, list[str | int]]:
    conditions = ["TRUE"]
    bindings: list[str | int] = []
    if chosen.ids:
        conditions.append("id IN (SELECT value FROM json_each(?))")
        bindings.append(encode(chosen.ids).decode())
    for condition, value in (("code = ?", chosen.code), ("user_id = ?", chosen.user_id)):
        if value is not None:
            conditions.append(condition)
            bindings.append(value)
    return " AND ".join(conditions), bindings
