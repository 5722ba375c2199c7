"""What one read sees: hot rows and parts of one moment, and a DuckDB cursor to read them with."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import duckdb

from footpath import database
from footpath.errors import ReadFailed
from footpath.journal import hot
from footpath.journal.index import UserIndex
from footpath.query import Query
from footpath.store import local, parquet
from footpath.store.base import Part

FETCH_ROWS = 5_000  # rows turned into Python at once: half a megabyte of text


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
        read_seconds: float,
    ) -> None:
        """Look at the journal and the catalog in one transaction; the read may take `read_seconds` from now."""
        with database.snapshot(connection):
            (self.last_seq,) = database.one(connection, "SELECT seq FROM state")
            self._hot = hot.matching(
                connection,
                user_id=query.user_id,
                index=index,
                session_id=query.session_id,
                time_from=query.time_from,
                time_to=query.time_to,
                types=query.type_bits,
            )
            self.parts = local.matching(
                connection, user_id=query.user_id, time_from=query.time_from, time_to=query.time_to
            )
        self._parts_folder = folder / "parts"
        self._deadline = time.monotonic() + read_seconds
        self._read_seconds = read_seconds
        self._hot_is_table = False
        self.cursor = cursor

    def keep_hot(self) -> None:
        """Turn the hot rows into columns once, for a read of many statements."""
        if self._hot.seqs and not self._hot_is_table:
            with failures():
                self.cursor.execute(f"CREATE TEMP TABLE hot AS {parquet.HOT}", parquet.bind(self._hot))
            self._hot_is_table = True

    def source(self, parts: list[Part]) -> tuple[str, dict[str, Any]]:
        """The SQL of all rows of some parts and of the hot ones, and its bindings."""
        selects = []
        bindings: dict[str, Any] = {}
        if parts:
            selects.append(parquet.stored())
            bindings["files"] = [parquet.pattern(self._parts_folder / f"{part.id}.parquet") for part in parts]
        if self._hot_is_table:
            selects.append(f"SELECT {parquet.COLUMNS} FROM hot")
        elif self._hot.seqs:
            selects.append(parquet.HOT)
            bindings |= parquet.bind(self._hot)
        return " UNION ALL ".join(f"({select})" for select in selects), bindings

    def execute(self, select: str, order: str, condition: tuple[str, dict[str, Any]], parts: list[Part]) -> bool:
        """Run a statement over some parts and the hot rows; whether there was anything to run it over."""
        source, bindings = self.source(parts)
        if not source:
            return False
        where, values = condition
        with failures():
            self.cursor.execute(f"SELECT {select} FROM ({source}) WHERE {where} ORDER BY {order}", bindings | values)
        return True

    def fetch(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of the statement that was executed."""
        while True:
            if time.monotonic() > self._deadline:
                raise ReadFailed(
                    f"the read took longer than {self._read_seconds:.0f} s; ask for less, or page with limit"
                )
            with failures():
                rows = self.cursor.fetchmany(FETCH_ROWS)
            if not rows:
                return
            yield rows


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """What DuckDB cannot read, as footpath says it."""
    try:
        yield
    except duckdb.Error as error:
        raise ReadFailed(
            f"the stored actions could not be read ({type(error).__name__}); `footpath check` names a damaged part"
        ) from error
