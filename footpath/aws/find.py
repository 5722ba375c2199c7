"""The Find over an Iceberg table, by whichever engine reads it.

A read is two statements: first the table's properties, then the actions. So the seq up to which a page looks, and the
time until which the table is complete, are never later than what the actions show.
"""

import time
from collections.abc import Callable, Generator, Iterator

import pyarrow as pa
from msgspec import structs

from footpath.aws.engine import Begun, Engine, Row
from footpath.aws.progress import Progress, progress
from footpath.find import sql
from footpath.find.base import Shape, Snapshot
from footpath.find.text import SHAPE
from footpath.query import Query

FRESH_SECONDS = 1.0  # so old may be what a read is told of how complete the table is: sinks commit once a minute

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("time", pa.timestamp("us")),
        ("utc_offset", pa.int16()),
        ("type", pa.string()),
        ("properties", pa.string()),
        ("id", pa.string()),
        ("seq", pa.int64()),
        ("received_at", pa.timestamp("us")),
    ]
)
"""The columns of a part, as the embedded find gives them."""


class TableFind:
    """A Find over one table. Any thread may use it."""

    def __init__(self, engine: Engine, *, oldest: Callable[[], int | None] = lambda: None) -> None:
        """Read by `engine`; nothing with a time before `oldest()`, in microseconds, which has expired."""
        self.engine = engine
        self._oldest = oldest
        self._seen = Progress(0, None)
        self._seen_at = -FRESH_SECONDS

    def rows(self, query: Query, shape: Shape) -> Snapshot:
        """See `Find.rows`."""
        last_seq, query = self.bounded(query, is_page=query.limit is not None)
        by_session = shape is Shape.PATHS and query.limit is None
        order = sql.by_session(query) if by_session else sql.in_time(query)
        begun = self.engine.begin(sql.over(self.engine.table, query, order))
        shaped = _shaped(begun, shape, with_place=query.limit is not None)
        next(shaped)
        return Snapshot(last_seq, shaped)

    def columns(self, query: Query) -> Iterator[pa.Table]:
        """See `Find.columns`."""
        _, query = self.bounded(query, is_page=query.limit is not None)
        begun = self.engine.begin(sql.over(self.engine.table, query, sql.in_time(query)))
        pieces = _pieces(begun)
        next(pieces)
        return pieces

    def complete_until(self) -> int | None:
        """Until when everything that was said to be kept is seen by a read that begins now; None: nothing is known."""
        if time.monotonic() - self._seen_at > FRESH_SECONDS:
            self._look()
        return self._seen.complete_until

    def _look(self) -> Progress:
        self._seen = progress(self.engine.properties())
        self._seen_at = time.monotonic()
        return self._seen

    def bounded(self, query: Query, *, is_page: bool) -> tuple[int, Query]:
        """The highest seq in the table, and the query without what has expired and, for a page, what is newer."""
        last_seq = self._look().last_seq
        if is_page and query.last_seq is None:
            query = structs.replace(query, last_seq=last_seq)
        oldest = self._oldest()
        if oldest is not None and (query.time_from is None or query.time_from < oldest):
            query = structs.replace(query, time_from=oldest)
        return last_seq, query


def _shaped(begun: Begun, shape: Shape, *, with_place: bool) -> Generator[list[Row]]:
    """First nothing; then chunks of rows of the shape."""
    write = SHAPE[shape]
    try:
        yield []
        for chunk in begun.rows:
            plain = [_plain(row) for row in chunk]
            yield [(*write(row), row[2], row[7]) for row in plain] if with_place else [write(row) for row in plain]
    finally:
        begun.rows.close()


def _pieces(begun: Begun) -> Generator[pa.Table]:
    """First nothing; then chunks as columns, one without rows if there are none."""
    try:
        yield SCHEMA.empty_table()
        found = False
        for chunk in begun.rows:
            found = True
            yield _columns([_plain(row) for row in chunk])
        if not found:
            yield SCHEMA.empty_table()
    finally:
        begun.rows.close()


def _columns(rows: list[Row]) -> pa.Table:
    return pa.table([pa.array(column, type=field.type) for column, field in zip(zip(*rows), SCHEMA)], schema=SCHEMA)  # noqa: B905


def _plain(row: Row) -> Row:
    """A row as `find.text` takes it: times in microseconds."""
    user_id, session_id, at, utc_offset, kind, properties, action_id, seq, received_at = row
    return (
        user_id,
        session_id,
        sql.micros_of(at),
        int(utc_offset),
        kind,
        properties,
        action_id,
        int(seq),
        sql.micros_of(received_at),
    )
