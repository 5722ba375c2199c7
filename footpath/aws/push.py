"""Push: what is in the parts of a data folder is put into the Iceberg table, each action once.

An action is named by its folder and its seq, whatever part it is in: merges between two runs change nothing. The table
says up to which seq it has the folder's actions; a run brings those above, a window of days at a time (a part holds few
users over all days, a file of the table all users of one day), and each window's transaction says how far the run is.
So a run that was interrupted goes on where it was, and one that is repeated brings nothing.

It reads each part once for every window; windows are as large as DuckDB sorts without trouble. Not brought: rejects,
Idempotency-Keys and the ids that are remembered; what was pushed and is sent again with its id is left out by reads.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import apsw
import duckdb
from pyiceberg.table import Table

from footpath import database
from footpath.aws import clients, positions
from footpath.aws.columns import Columns
from footpath.aws.commit import Ended, Wanted, commit, upload
from footpath.errors import CommandFailed
from footpath.store import parquet
from footpath.store.local import LocalStore, oldest_kept

WINDOW_ROWS = 2_000_000  # of a transaction, and a day's at least: 200 MB in DuckDB
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DAY = "(CAST(time AS DATE) - DATE '1970-01-01')"
_THESE = "FROM read_parquet($files) WHERE seq > $above AND seq <= $target AND time >= make_timestamp($oldest)"
_ROWS = f"""
SELECT user_id, session_id, {_DAY} AS day, CAST(time AS TIMESTAMPTZ) AS time, CAST(utc_offset AS INTEGER) AS utc_offset,
       type, properties, id, (seq << 16) | {positions.PUSHED_ORDINAL} AS seq,
       CAST(received_at AS TIMESTAMPTZ) AS received_at,
       printf('%s-%x', $folder, seq >> 16) AS batch_id, CAST(seq & 65535 AS INTEGER) AS place
{_THESE} AND day >= $first AND day < $end
"""


class Folder(NamedTuple):
    """A data folder that nobody else changes: its id, files, highest seq in parts, first time kept, and tombstones.

    `forgotten` are digests of users in hex, each with the time until which what comes for them is refused.
    """

    id: str
    files: list[str]
    flushed: int
    oldest: int
    forgotten: dict[str, datetime]


class Pushed(NamedTuple):
    """What a run has put into the table."""

    actions: int
    files: int


class _Plan(NamedTuple):
    """Which actions a run brings: with a seq above one and up to another, of this day and later ones."""

    above: int
    target: int
    day: int | None


def folder_of(connection: apsw.Connection, store: LocalStore) -> Folder:
    """Look a folder up, whose actions are all in parts.

    Raises:
        PartDamaged: a part is not what was written.
    """
    parts = store.live()
    store.whole.check(parts)
    folder, flushed = database.one(connection, "SELECT folder, flushed FROM state")
    oldest = oldest_kept(connection)
    found: list[tuple[Any, ...]] = connection.execute("SELECT digest, until FROM forgotten").fetchall()
    return Folder(
        folder,
        [parquet.pattern(store.path(part)) for part in parts],
        flushed,
        -(2**62) if oldest is None else oldest,
        {bytes(digest).hex(): _EPOCH + timedelta(microseconds=int(until)) for digest, until in found},
    )


def push(
    engine: duckdb.DuckDBPyConnection,
    columns: Columns,
    folder: Folder,
    load: Callable[[], Table],
    did: Callable[[int, int], object] = lambda *_: None,
) -> Pushed:
    """Bring what the table does not have yet.

    Args:
        engine: to read the folder with; `columns` is of the same.
        columns: where a window is gathered.
        folder: what to bring.
        load: gives the table as it is at that moment.
        did: called with the actions so far, and of how many.

    Raises:
        CommandFailed: another push of the folder is at work, or the table cannot be written.
    """
    try:
        return _push(engine, columns, folder, load, did)
    except (OSError, *clients.AwsError) as error:
        told = clients.sentence(
            error,
            what="the table",
            permission="for one of glue:GetTable, glue:UpdateTable, s3:GetObject, s3:PutObject, s3:DeleteObject",
            make="footpath setup aws --table ADDRESS --apply",
        )
        raise CommandFailed(f"{told}; run it again: it goes on where it was") from error


def _push(
    engine: duckdb.DuckDBPyConnection,
    columns: Columns,
    folder: Folder,
    load: Callable[[], Table],
    did: Callable[[int, int], object],
) -> Pushed:
    table = load()
    plan = _plan(table.metadata.properties, folder)
    if plan.target <= plan.above or not folder.files:
        return Pushed(0, 0)
    days = _days(engine, folder, plan)
    total = sum(days.values())
    done = files = 0
    for first, end in _windows(days):
        columns.clear()
        bindings = _bindings(folder, plan) | {"folder": folder.id, "first": first, "end": end}
        columns.add_stored(_ROWS, bindings)
        files += _commit(load, columns, folder, f"{plan.target} {end}", done=False)
        done += sum(number for day, number in days.items() if first <= day < end)
        did(done, total)
    columns.clear()
    _commit(load, columns, folder, str(plan.target), done=True)
    return Pushed(done, files)


def _plan(properties: Mapping[str, str], folder: Folder) -> _Plan:
    above = int(properties.get(positions.PUSHED + folder.id, "0"))
    pushing = properties.get(positions.PUSHING + folder.id)
    if pushing is None:
        return _Plan(above, folder.flushed, None)
    target, day = map(int, pushing.split(" "))
    return _Plan(above, target, day)


def _bindings(folder: Folder, plan: _Plan) -> dict[str, object]:
    return {"files": folder.files, "above": plan.above, "target": plan.target, "oldest": folder.oldest}


def _days(engine: duckdb.DuckDBPyConnection, folder: Folder, plan: _Plan) -> dict[int, int]:
    """How many actions each day has that are still to be brought."""
    found = engine.execute(
        f"SELECT {_DAY} AS day, count(*) {_THESE} GROUP BY day ORDER BY day", _bindings(folder, plan)
    ).fetchall()
    return {day: number for day, number in found if plan.day is None or day >= plan.day}


def _windows(days: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """The first day, and the one after the last, of as many days as have `WINDOW_ROWS` actions or a few less."""
    first: int | None = None
    last = rows = 0
    for day, number in days.items():
        if first is not None and rows + number > WINDOW_ROWS:
            yield first, last + 1
            first, rows = None, 0
        first = day if first is None else first
        last = day
        rows += number
    if first is not None:
        yield first, last + 1


def _commit(load: Callable[[], Table], columns: Columns, folder: Folder, reached: str, *, done: bool) -> int:
    """Put a window into the table and say how far the run is; how many files that took."""
    pushing, pushed = positions.PUSHING + folder.id, positions.PUSHED + folder.id
    target = int(reached.partition(" ")[0])
    put = {pushed: reached} if done else {pushing: reached}
    put[f"{positions.PUSHED_COUNT}{folder.id}"] = str(target)
    now = datetime.now(UTC)
    put |= {
        positions.FORGOTTEN + digest: positions.told(until) for digest, until in folder.forgotten.items() if until > now
    }
    table = load()
    expected = {name: table.metadata.properties.get(name) for name in (pushing, pushed)}
    wanted = Wanted([], positions.Changes(put, frozenset([pushing] if done else [])), expected)
    while True:
        without = positions.forgotten(table.metadata.properties, datetime.now(UTC)) | set(folder.forgotten)
        columns.drop_users(without)
        written = columns.write()
        files = [upload(table, one) for one in written]
        for one in written:
            one.path.unlink()
        ended, table = commit(load, wanted._replace(files=files, without=without), stop=threading.Event())
        if ended is Ended.LANDED:
            return len(files)
        for file in files:
            table.io.delete(file.file_path)
        if ended is Ended.MOVED:
            raise CommandFailed("another push of the same folder is at work: wait for it, or stop it")
