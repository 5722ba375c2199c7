"""Rows of each Shape out of plain columns, in Python. Pure.

What one user or one session did is a few hundred rows: there the engine's planning of the expressions in `sql.SELECT`
costs more than everything else together (4.2 ms against 1.3 ms for a path in one part), so the same text is made
here. A test holds the two against each other. Sorting them in the engine costs a tenth of such a read, and here almost
nothing.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from msgspec.json import encode

from footpath.find.base import Shape
from footpath.query import Order

COLUMNS = "user_id, session_id, epoch_us(time), utc_offset, type, properties, id, seq, epoch_us(received_at)"
"""What the functions here take, in this order."""

_PLACE = itemgetter(2, 7)  # time, then seq
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times, whose offset is written behind them

Row = tuple[Any, ...]


def moment(micros: int, utc_offset: int) -> str:
    """RFC 3339 of microseconds since 1970 UTC, in the local time of an offset in minutes; no zeros end its fraction."""
    text = (_EPOCH + timedelta(microseconds=micros, minutes=utc_offset)).isoformat()
    if "." in text:
        text = text.rstrip("0")
    if utc_offset == 0:
        return text + "Z"
    hours, minutes = divmod(abs(utc_offset), 60)
    return f"{text}{'-' if utc_offset < 0 else '+'}{hours:02}:{minutes:02}"


def _path(row: Row) -> Row:
    user_id, session_id, time, utc_offset, kind, properties, action_id, _, _ = row
    return (
        user_id,
        session_id,
        f'{{"time":"{moment(time, utc_offset)}","type":"{kind}","properties":{properties}{_id(action_id)}}}',
    )


def _line(row: Row) -> Row:
    user_id, session_id, time, utc_offset, kind, properties, action_id, seq, received_at = row
    ids = f'"userId":{encode(user_id).decode()},"sessionId":{encode(session_id).decode()}'
    what = f'"time":"{moment(time, utc_offset)}","type":"{kind}","properties":{properties}{_id(action_id)}'
    return (f'{{{ids},{what},"seq":{seq},"receivedAt":"{moment(received_at, 0)}"}}',)


def _cells(row: Row) -> Row:
    user_id, session_id, time, utc_offset, kind, properties, action_id, seq, received_at = row
    return user_id, session_id, moment(time, utc_offset), kind, properties, action_id, seq, moment(received_at, 0)


def _id(action_id: str | None) -> str:
    return "" if action_id is None else f',"id":{encode(action_id).decode()}'


SHAPE: dict[Shape, Callable[[Row], Row]] = {Shape.PATHS: _path, Shape.LINES: _line, Shape.CELLS: _cells}
"""Plain columns -> a row of the shape."""


def sort(rows: list[Row], order: Order) -> None:
    """Put rows into the order of time, in place: the same as `sql.in_time` gives."""
    rows.sort(key=_PLACE, reverse=order == "desc")


def by_session(rows: list[Row], order: Order) -> list[Row]:
    """Rows in this order of time as PATHS wants them: the same as `sql.by_session` gives."""
    sessions: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sessions.setdefault(row[:2], []).append(row)
    sign = 1 if order == "asc" else -1
    ordered = sorted(sessions.values(), key=lambda session: (session[0][0], sign * session[0][2], session[0][1]))
    return [row for session in ordered for row in session]
