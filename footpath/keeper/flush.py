"""Flush: the oldest hot rows become a run of one part.

The steps, each safe to crash after: the part is written, without what has expired, under a temporary name, synced,
renamed, its folder synced; one transaction adds it to the catalog and moves `state.flushed`; the dead journal rows are
deleted in small steps.
"""

import time
from pathlib import Path
from typing import NamedTuple

import apsw
import duckdb
import structlog

from footpath import database
from footpath.journal import hot
from footpath.keeper import expire
from footpath.keeper.rewrite import Rows
from footpath.store import parquet
from footpath.store.local import LocalStore, oldest_kept

_log = structlog.get_logger()


class Due(NamedTuple):
    """What waits to be flushed: hot `actions`, and the `age` of the oldest in seconds (0 if none)."""

    actions: int
    age: float


def due(connection: apsw.Connection) -> Due:
    """Look at the journal. Costs two look-ups by key."""
    with database.snapshot(connection):
        seq, flushed = database.one(connection, "SELECT seq, flushed FROM state")
        (oldest,) = database.one(
            connection,
            "SELECT (SELECT received_at FROM journal WHERE seq > ? ORDER BY seq LIMIT 1)",
            (flushed,),
        )
    return Due(seq - flushed, 0.0 if oldest is None else max(0.0, time.time() - oldest / 1_000_000))


def flush(
    connection: apsw.Connection,
    engine: duckdb.DuckDBPyConnection,
    store: LocalStore,
    max_actions: int,
    gone: Rows | None = None,
    *,
    max_bytes: int | None = None,
) -> int:
    """Flush up to `max_actions` actions (a batch is never split, so it may be a little more).

    Those that have expired, and those of `gone`, are left out of the part. Where the engine's memory is not enough for
    `max_bytes` of JSON (see `hot.oldest`), fewer are flushed: what is in the journal must not keep itself there.

    Returns:
        How many actions are not hot any more.
    """
    with database.snapshot(connection):
        rows, last = hot.oldest(connection, max_actions, max_bytes)
        oldest = oldest_kept(connection)
        (number,) = database.one(
            connection,
            "SELECT coalesce(sum(count), 0) FROM journal WHERE seq > (SELECT flushed FROM state) AND seq <= ?",
            (last,),
        )
    if not rows.seqs:
        return 0
    folder: Path = store.parts_folder
    select = f"SELECT {parquet.COLUMNS} FROM ({parquet.HOT})"
    bindings = parquet.bind(rows)
    without = [rows for rows in (None if oldest is None else expire.before(oldest), gone) if rows is not None]
    if without:
        select += f" WHERE NOT ({' OR '.join(f'({rows.condition})' for rows in without)})"
        bindings |= {name: value for rows in without for name, value in rows.values.items()}
    try:
        part = parquet.write_part(engine, folder, store.next_run(), select, bindings)
    except duckdb.OutOfMemoryException as error:
        if len(rows.seqs) == 1:
            raise
        size = sum(len(actions) for actions in rows.actions)
        _log.warning("flushing in smaller pieces", bytes=size, error=str(error).partition("\n")[0])
        return flush(connection, engine, store, max_actions, gone, max_bytes=size // 2)
    try:
        parquet.sync_folder(folder)
    except OSError:  # the next try writes another
        if part is not None:
            store.path(part).unlink()
        raise
    try:
        store.add([] if part is None else [part], last)
    except apsw.FullError:  # see `Merge`
        if part is not None:
            store.path(part).unlink()
        raise
    store.trim()
    return int(number)
