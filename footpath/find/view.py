"""What one read sees: hot rows and parts of one moment, and a DuckDB cursor to read them with."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import duckdb
from msgspec import structs

from footpath import database
from footpath.errors import PartDamaged, ReadFailed
from footpath.find import asker, sql
from footpath.find.base import Shape
from footpath.find.deadline import Deadlines
from footpath.journal import hot
from footpath.journal.index import UserIndex
from footpath.query import Query
from footpath.store import local, parquet
from footpath.store.base import Part
from footpath.store.whole import Whole

FETCH_ROWS = 5_000  # rows given on at once: half a megabyte of text
FETCH_BYTES = 1 << 20  # of text given on at once, so that fewer rows are when they are large
FETCH_STEP = 256  # rows turned into Python before their size is known: 16 MB of the largest actions
_NONE = hot.HotRows([], [], [], [], [])
_WIDE = {Shape.PATHS: 2, Shape.LINES: 0, Shape.CELLS: 4}  # which place of a row holds most of it


class View:
    """What one read sees. It holds nothing open but its cursor."""

    def __init__(
        self,
        folder: Path,
        connection: apsw.Connection,
        cursor: duckdb.DuckDBPyConnection,
        query: Query,
        *,
        index: UserIndex,
        whole: Whole,
        read_seconds: float,
        with_live: bool = False,
    ) -> None:
        """Look at the journal and the catalog in one transaction; the read may take `read_seconds` from now.

        `query` is then what is asked for without what has expired. `live` are all live parts, if they are wanted.
        """
        self._parts_folder = folder / "parts"
        self._whole = whole
        self._deadline = time.monotonic() + read_seconds
        self._read_seconds = read_seconds
        self._asker = asker.current()
        self._hot_is_table = False
        self.cursor = cursor
        with database.snapshot(connection):
            (self.last_seq,) = database.one(connection, "SELECT seq FROM state")
            self.query = query = kept(query, local.oldest_kept(connection))
            pieces = hot.pieces(
                connection,
                user_id=query.user_id,
                index=index,
                session_id=query.session_id,
                time_from=query.time_from,
                time_to=query.time_to,
                types=query.type_bits,
                seqs=(query.since_seq, query.last_seq),
            )
            self._hot = next(pieces, _NONE)
            for piece in pieces:  # too much to hold: the engine keeps what matches, on disk if need be
                self.keep_hot()
                self._add_hot("INSERT INTO hot", piece)
            self.parts = local.matching(
                connection,
                user_id=query.user_id,
                session_id=query.session_id,
                time_from=query.time_from,
                time_to=query.time_to,
                since_seq=query.since_seq,
            )
            self.live = local.matching(connection) if with_live else []

    def keep_hot(self) -> None:
        """Turn the hot rows into columns once, for a read of many statements."""
        if self._hot.seqs and not self._hot_is_table:
            self._add_hot("CREATE TEMP TABLE hot AS", self._hot)
            self._hot_is_table = True
            self._hot = _NONE

    def _add_hot(self, into: str, piece: hot.HotRows) -> None:
        where, bindings = sql.condition(self.query)
        with self.reading():
            self.cursor.execute(f"{into} FROM ({parquet.HOT}) WHERE {where}", parquet.bind(piece) | bindings)

    def source(self, parts: list[Part]) -> tuple[str, dict[str, Any]]:
        """The SQL of all rows of some parts and of the hot ones, and its bindings.

        Raises:
            ReadFailed: a part is damaged.
        """
        selects = []
        bindings: dict[str, Any] = {}
        if parts:
            selects.append(parquet.stored())
            bindings["files"] = self.files(parts)
        if self._hot_is_table:
            selects.append(f"SELECT {parquet.COLUMNS} FROM hot")
        elif self._hot.seqs:
            selects.append(parquet.HOT)
            bindings |= parquet.bind(self._hot)
        return " UNION ALL ".join(f"({select})" for select in selects), bindings

    def files(self, parts: list[Part]) -> list[str]:
        """The files of some parts, as they are bound for `parquet.stored`.

        Raises:
            ReadFailed: a part is damaged.
        """
        try:
            for part in parts:
                self._asker.make_sure()
                self._whole.check([part])
        except PartDamaged as error:
            raise ReadFailed(
                f"the stored actions could not be read: {error}; if a user was forgotten meanwhile, ask again"
            ) from error
        return [parquet.pattern(self._parts_folder / f"{part.id}.parquet") for part in parts]

    def execute(self, select: str, order: str | None, condition: tuple[str, dict[str, Any]], parts: list[Part]) -> bool:
        """Run a statement over some parts and the hot rows, in an order if one is given; whether there were any."""
        source, bindings = self.source(parts)
        if not source:
            return False
        where, values = condition
        with self.reading():
            ordered = "" if order is None else f" ORDER BY {order}"
            self.cursor.execute(f"SELECT {select} FROM ({source}) WHERE {where}{ordered}", bindings | values)
        return True

    def fetch(self, shape: Shape) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of the statement that was executed, which have this shape."""
        wide = _WIDE[shape]
        rows: list[tuple[Any, ...]] = []
        size = 0
        step = min(FETCH_STEP, FETCH_ROWS)
        while True:
            with self.reading():
                found = self.cursor.fetchmany(step)
            rows += found
            size += sum([len(row[wide]) for row in found])
            if rows and (len(found) < step or len(rows) >= FETCH_ROWS or size >= FETCH_BYTES):
                yield rows
                rows, size = [], 0
            if len(found) < step:
                return

    def fetch_all(self, wide: int, most_rows: int, most_bytes: int) -> list[tuple[Any, ...]] | None:
        """All rows of the statement that was executed; None if they, or what stands at place `wide`, are more."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        while True:
            with self.reading():
                found = self.cursor.fetchmany(FETCH_STEP)
            rows += found
            if len(rows) > most_rows:
                return None
            if len(found) < FETCH_STEP:
                return rows
            size += sum([len(row[wide]) for row in found])
            if size > most_bytes:
                return None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A step of the read.

        Raises:
            ReadFailed: its time is over, who asked has gone, or DuckDB cannot read what is stored.
        """
        self._asker.make_sure()
        if time.monotonic() > self._deadline:
            raise self._late()
        try:
            yield
        except duckdb.InterruptException as error:
            self._asker.make_sure()
            raise self._late() from error
        except duckdb.Error as error:
            raise ReadFailed(
                f"the stored actions could not be read ({type(error).__name__}); `footpath check` names a damaged part"
            ) from error

    @contextlib.contextmanager
    def ending(self, deadlines: Deadlines) -> Iterator[None]:
        """Let go of the cursor when the block ends; a statement within it ends with the time of the read."""
        with contextlib.closing(self.cursor), deadlines.over(self.cursor, self._deadline):
            yield

    def _late(self) -> ReadFailed:
        return ReadFailed(f"the read took longer than {self._read_seconds:g} s; ask for less, or page with limit")


def kept(query: Query, oldest: int | None) -> Query:
    """The query, for no action from before `oldest`: what has expired may still be on disk for a while."""
    if oldest is None or (query.time_from is not None and query.time_from >= oldest):
        return query
    return structs.replace(query, time_from=oldest)
