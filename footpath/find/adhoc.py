"""One SELECT that somebody wrote, over a view `actions` of everything that is kept; it can read nothing else.

What holds it in, each enough for most of what could be tried:

- only one statement is taken, a SELECT (or EXPLAIN of one): DuckDB's own parser says which it is;
- the engine's files are the live parts of the snapshot and nothing else; no network, no extensions, no variables of
  this program, and the configuration is locked, so a statement cannot let itself out;
- the view and the hot rows are temporary objects in memory: a SELECT that changes them changes nothing that is kept.

The snapshot is that of a find: hot rows and live parts of one moment. Every live part is looked at before the engine
may read it, since nobody knows which of them a statement will read: one to two seconds for 1 GB. Rows are streamed.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from footpath import database
from footpath.errors import BadQuery, CommandFailed
from footpath.journal import hot
from footpath.store import local, parquet
from footpath.store.whole import Whole

FETCH_ROWS = 2_000

_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?(?=[\s(])\s*", re.IGNORECASE)
_ZONED = "TIMESTAMP WITH TIME ZONE"


class Table(NamedTuple):
    """A result: the names and DuckDB's types of its columns, and its rows as they come."""

    columns: list[str]
    types: list[str]
    rows: Iterator[Sequence[Any]]


@contextlib.contextmanager
def run(folder: Path, text: str, *, memory: str) -> Iterator[Table]:
    """Run a SELECT over the actions of a data folder.

    Args:
        folder: the data folder; a server may be running on it.
        text: the SQL; its table is `actions`, with the columns of a part.
        memory: what it may hold before it spills to disk, like 256MB.

    Raises:
        BadQuery: it is not one SELECT, or does not fit what there is.
        PartDamaged: a live part is not what was written, whether the statement would read it or not.
        CommandFailed: while reading: it cannot be finished.
    """
    with (
        contextlib.closing(database.connect(folder, readonly=True)) as connection,
        parquet.engine(folder, memory=memory) as engine,
    ):
        with database.snapshot(connection):
            rows = hot.matching(connection)
            parts = local.matching(connection)
            oldest = local.oldest_kept(connection)
        Whole(folder / "parts").check(parts)
        _lock_in(engine, rows, oldest, [folder / "parts" / f"{part.id}.parquet" for part in parts])
        try:
            columns, types = _execute(engine, _the_select(engine, text))
        except duckdb.Error as error:
            raise BadQuery(_sentence(error)) from error
        yield Table(columns, types, _rows(engine))


def _lock_in(engine: duckdb.DuckDBPyConnection, rows: hot.HotRows, oldest: int | None, files: Sequence[Path]) -> None:
    """Make the view, of what is not older than `oldest`, then take everything else away."""
    engine.execute(f"CREATE TEMP TABLE hot AS {parquet.HOT}", parquet.bind(rows))
    view = f"SELECT {parquet.COLUMNS} FROM hot"
    if files:
        listed = f"[{', '.join(parquet.quote(parquet.pattern(file)) for file in files)}]"
        view = f"{parquet.stored(listed)} UNION ALL {view}"
    if oldest is not None:
        view = f"SELECT {parquet.COLUMNS} FROM ({view}) WHERE time >= make_timestamp({oldest})"
    engine.execute(f"CREATE TEMP VIEW actions AS {view}")
    names = {name for file in files for name in (str(file), parquet.pattern(file))}  # both are looked up
    allowed = ", ".join(map(parquet.quote, sorted(names)))
    for setting in (
        f"threads = {os.cpu_count() or 1}",
        "TimeZone = 'UTC'",
        "python_enable_replacements = false",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        engine.execute(f"SET {setting}")


def _the_select(engine: duckdb.DuckDBPyConnection, text: str) -> str:
    """The text if it is one SELECT, or EXPLAIN of one."""
    explain = _EXPLAIN.match(text)
    start = explain.end() if explain else 0
    statements = engine.extract_statements(text[start:])
    if len(statements) != 1:
        raise BadQuery(f"give one statement, not {len(statements)}")
    kind = statements[0].type.name
    if kind != "SELECT":
        raise BadQuery(f"only SELECT can be run here, not {kind}: sql reads the view actions and changes nothing")
    return text[:start] + statements[0].query


def _execute(engine: duckdb.DuckDBPyConnection, statement: str) -> tuple[list[str], list[str]]:
    """Run a statement; the names and types of its columns.

    Times with a zone become UTC without one: reading those in Python takes one more library, to say no more than that.
    """
    engine.execute(statement)
    names = [str(column[0]) for column in engine.description]
    types = [str(column[1]) for column in engine.description]
    if _ZONED in types:
        picked = [
            f"CAST(#{place} AT TIME ZONE 'UTC' AS TIMESTAMP)" if kind == _ZONED else f"#{place}"
            for place, kind in enumerate(types, 1)
        ]
        engine.execute(f"SELECT {', '.join(picked)} FROM ({statement.rstrip().rstrip(';')}\n)")
    return _apart(names), types


def _apart(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that were there before."""
    apart: list[str] = []
    for name in names:
        place, unique = 2, name
        while unique in apart:
            unique, place = f"{name}_{place}", place + 1
        apart.append(unique)
    return apart


def _rows(engine: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while True:
        try:
            rows = engine.fetchmany(FETCH_ROWS)
        except (duckdb.Error, ValueError, OverflowError) as error:
            raise CommandFailed(_sentence(error)) from error
        if not rows:
            return
        yield from rows


def _sentence(error: Exception) -> str:
    """What DuckDB says, in its first line."""
    if "pytz" in str(error):
        return "a time with a zone inside of a list or struct cannot be given: cast it to TIMESTAMP"
    return f"the query cannot be run: {str(error).strip().partition(chr(10))[0]}"
