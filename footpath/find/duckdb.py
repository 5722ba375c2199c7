"""The embedded find: one SQLite snapshot gives the hot rows and the live parts, one DuckDB statement reads both.

A large answer is read in windows (see `windows`): each is one statement over the parts that it touches. The parts of a
snapshot stay on disk for longer than a read may take, so a flush or merge in the meantime changes nothing.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
import duckdb
import structlog
from msgspec import structs

from footpath import database
from footpath.errors import OperatorError, ReadFailed
from footpath.find import slices, sql, text, windows
from footpath.find.base import Shape, Snapshot
from footpath.find.deadline import Deadlines
from footpath.find.view import View
from footpath.journal.index import UserIndex
from footpath.query import Query
from footpath.store import parquet
from footpath.store.base import Part, touching
from footpath.store.whole import Whole

WINDOW_ROWS = 1_000_000  # rows that may be sorted at once: 150 MB
OPTIMIZERS = frozenset(
    (
        *("expression_rewriter", "filter_pushdown", "unused_columns", "column_lifetime", "row_group_pruner"),
        *("top_n", "limit_pushdown", "late_materialization", "compressed_materialization"),
    )
)
"""What the statements here profit from; the other forty steps cost a third of the time of a short read."""

LOOKUP_ROWS = 50_000  # of one user or session that are put in order and into text in Python: 30 MB
LOOKUP_BYTES = 8 << 20  # of their properties, for the same: 50,000 of the largest would take 3 GB
_log = structlog.get_logger()
_PROPERTIES = text.COLUMNS.split(", ").index("properties")


class DuckdbFind:
    """A Find over a data folder. Any thread may use it; each read has a cursor of its own."""

    def __init__(self, folder: Path, *, memory: str, read_seconds: float) -> None:
        """Open a folder that `database.prepare` has seen, for reads that spill when over `memory` (like 256MB)."""
        self.folder = folder
        self.read_seconds = read_seconds
        self._stack = ExitStack()
        self._engine = self._stack.enter_context(parquet.engine(folder, memory=memory, optimizers=OPTIMIZERS))
        self._deadlines = self._stack.enter_context(contextlib.closing(Deadlines()))
        self.index = UserIndex()
        self._whole = Whole(folder / "parts")
        self._idle: list[apsw.Connection] = []
        self._lock = threading.Lock()

    def rows(self, query: Query, shape: Shape) -> Snapshot:
        """See `Find.rows`."""
        view = self._view(query)
        return Snapshot(view.last_seq, self._chunks(view, view.query, shape))

    def columns(self, query: Query) -> Iterator[duckdb.DuckDBPyRelation]:
        """See `Find.columns`."""
        view = self._view(query)
        query = view.query
        with view.ending(self._deadlines):
            view.keep_hot()
            for window, parts in self._time_windows(view, query):
                yield from slices.columns(view, sql.in_time(query), sql.condition(window), parts)

    @contextlib.contextmanager
    def look(self, query: Query, *, with_live: bool = False) -> Iterator[View]:
        """What a read of this query sees, for statements of its own within the block; see `View`."""
        view = self._view(query, with_live=with_live)
        with view.ending(self._deadlines):
            yield view

    def close(self) -> None:
        """Close everything; reads that go on fail."""
        try:
            self._stack.close()
        except duckdb.ResourceInUseException as error:  # a step of a read that cannot be interrupted; it holds no lock
            _log.warning("a read has not ended yet", error=str(error))
        while self._idle:
            self._idle.pop().close()

    @contextlib.contextmanager
    def database(self) -> Iterator[apsw.Connection]:
        """A connection for one snapshot, out of those that are idle."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = database.connect(self.folder, readonly=True)
        try:
            yield connection
        except BaseException:  # a statement that was interrupted may not have let go of it: the next would be, too
            connection.close(True)  # noqa: FBT003
            raise
        with self._lock:
            self._idle.append(connection)

    def _view(self, query: Query, *, with_live: bool = False) -> View:
        try:
            with self.database() as connection:
                cursor = self._engine.cursor()
                deadline = time.monotonic() + self.read_seconds  # hot rows may be many
                with self._deadlines.over(connection, deadline), self._deadlines.over(cursor, deadline):
                    return View(
                        self.folder,
                        connection,
                        cursor,
                        query,
                        index=self.index,
                        whole=self._whole,
                        read_seconds=self.read_seconds,
                        with_live=with_live,
                    )
        except apsw.InterruptError as error:
            raise ReadFailed(f"the read took longer than {self.read_seconds:g} s, or nobody waits for it") from error
        except (apsw.Error, OperatorError, UnicodeDecodeError) as error:  # the last where a text of SQLite's is damaged
            raise ReadFailed(f"the journal and the catalog could not be read: {error}") from error

    def _chunks(self, view: View, query: Query, shape: Shape) -> Iterator[list[tuple[Any, ...]]]:
        with view.ending(self._deadlines):
            found = self._lookup(view, query, shape) if query.is_narrow else None
            if found is not None:
                yield found
            elif query.limit is not None:
                yield from self._in_time(view, query, shape, ", epoch_us(time), seq")
            elif shape is Shape.PATHS:
                yield from self._by_user(view, query)
            else:
                yield from self._in_time(view, query, shape)

    @staticmethod
    def _lookup(view: View, query: Query, shape: Shape) -> list[tuple[Any, ...]] | None:
        """The whole answer for one user or session in one statement; None if it is too long for that."""
        order = None if query.limit is None else f"{sql.in_time(query)} LIMIT {query.limit}"
        try:
            if not view.execute(text.COLUMNS, order, sql.condition(query), view.parts):
                return []
            found = view.fetch_all(_PROPERTIES, LOOKUP_ROWS, LOOKUP_BYTES)
        except ReadFailed as error:
            if slices.is_memory(error):
                return None
            raise
        if found is None:
            return None
        if order is None:
            text.sort(found, query.order)
        write = text.SHAPE[shape]
        if query.limit is not None:
            return [(*write(row), row[2], row[7]) for row in found]
        return [write(row) for row in (text.by_session(found, query.order) if shape is Shape.PATHS else found)]

    @staticmethod
    def _by_user(view: View, query: Query) -> Iterator[list[tuple[Any, ...]]]:
        ranges = [(None, None)] if query.is_narrow else list(windows.by_user(view.parts, WINDOW_ROWS))
        if len(ranges) > 1:
            view.keep_hot()
        for low, high in ranges:
            parts = touching(view.parts, low, high)
            select, condition = sql.SELECT[Shape.PATHS], sql.condition(query, low, high)
            yield from slices.rows(view, Shape.PATHS, select, sql.by_session(query), condition, parts)

    def _in_time(self, view: View, query: Query, shape: Shape, place: str = "") -> Iterator[list[tuple[Any, ...]]]:
        left = query.limit
        for window, parts in self._time_windows(view, query):
            more = "" if left is None else f" LIMIT {left}"
            order, condition = sql.in_time(query) + more, sql.condition(window)
            for rows in slices.rows(view, shape, sql.SELECT[shape] + place, order, condition, parts):
                yield rows
                if left is not None:
                    left -= len(rows)
            if left == 0:
                return

    @staticmethod
    def _time_windows(view: View, query: Query) -> Iterator[tuple[Query, list[Part]]]:
        """The query cut into windows of time in its order, each with the parts that it touches."""
        ranges: list[windows.Range] = [(None, None)]
        if not query.is_narrow:
            ranges = windows.by_time(view.parts, WINDOW_ROWS, query.time_from, query.time_to)
        if len(ranges) > 1:
            view.keep_hot()
        for low, high in ranges if query.order == "asc" else reversed(ranges):
            window = query
            if low is not None:
                window = structs.replace(window, time_from=max(low, query.time_from or low))
            if high is not None:
                window = structs.replace(
                    window, time_to=min(high - 1, high - 1 if query.time_to is None else query.time_to)
                )
            if query.after is not None and _is_over(window, query):
                continue
            yield (
                window,
                [
                    part
                    for part in view.parts
                    if (window.time_from is None or part.time_max >= window.time_from)
                    and (window.time_to is None or part.time_min <= window.time_to)
                ],
            )


def _is_over(window: Query, query: Query) -> bool:
    """Whether a window lies wholly before the position that a page goes on from."""
    if query.after is None:
        return False
    if query.order == "asc":
        return window.time_to is not None and window.time_to < query.after.time
    return window.time_from is not None and window.time_from > query.after.time
