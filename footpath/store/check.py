"""Is what is kept whole? Looks at every part and at the database, and changes nothing. What `footpath check` does.

part       Its file is there, with the size and sha256 of the catalog; it can be read; its rows are as many, in the
           ranges and in the order that the catalog promises.
catalog    Parts of one run do not overlap in user_id; no part holds what was not flushed.
database   SQLite's own check, the tables, the state; every journal row can be read and holds what its columns say.
leftovers  Files that no row names: no damage, the next start removes them.

A server may be running: what a merge replaces or the keeper writes during the check is not taken for damage.

Leaves out whether the actions are the right ones: nothing keeps them twice.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import apsw
import duckdb
import zstandard
from msgspec import MsgspecError
from msgspec.json import Decoder

from footpath import database
from footpath.action import TYPE_BITS, Action, micros
from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.local import matching
from footpath.store.whole import wrong_with

_ACTIONS = Decoder(list[Action])
_KEY = "(user_id, session_id, time, seq)"
_LOOK = f"""
SELECT count(*), min(user_id), max(user_id), epoch_us(min(time)), epoch_us(max(time)), min(seq), max(seq),
       count(*) FILTER (WHERE {_KEY} <= before)
FROM (SELECT user_id, session_id, time, seq, lag({_KEY}) OVER () AS before
      FROM (SELECT {parquet.COLUMNS} FROM {parquet.scan()}))
"""


class Problem(NamedTuple):
    """Damage: the file it is in, from the data folder, and a sentence."""

    file: str
    what: str


class Catalog(NamedTuple):
    """What the database says at one moment: the live parts, the actions in the journal, and what is wrong with it.

    `is_whole` says whether it could be read to its end; if not, the parts are not all.
    """

    parts: list[Part]
    hot_actions: int
    problems: list[Problem]
    is_whole: bool


def look_at_database(connection: apsw.Connection) -> Catalog:
    """Check the database, and read the catalog."""
    problems: list[Problem] = []
    parts: list[Part] = []
    hot_actions = 0
    is_whole = False
    try:
        with database.snapshot(connection):
            said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            if said != ["ok"]:
                problems += [Problem(database.FILE_NAME, line) for line in said]
            seq, flushed, run = database.one(connection, "SELECT seq, flushed, run FROM state")
            parts = matching(connection)
            hot_actions = seq - flushed
            if not 0 <= flushed <= seq:
                problems.append(Problem(database.FILE_NAME, f"flushed is {flushed}, but the highest seq is {seq}"))
            problems += [Problem(name_of(part), what) for part in parts for what in _misplaced(part, flushed, run)]
            problems += [Problem(database.FILE_NAME, what) for what in _journal(connection, seq, flushed)]
            database.one(connection, "SELECT count(key), count(digest), count(answer), count(at) FROM idempotency")
            held, counted = database.one(
                connection, "SELECT coalesce(sum(size), 0), (SELECT reject_bytes FROM state) FROM rejects"
            )
            if held != counted:
                problems.append(Problem(database.FILE_NAME, f"holds {held} bytes of rejects, but counts {counted}"))
        is_whole = True
    except (apsw.Error, LookupError) as error:
        problems.append(Problem(database.FILE_NAME, f"cannot be read: {error}"))
    return Catalog(parts, hot_actions, problems + list(_overlaps(parts)), is_whole)


def name_of(part: Part) -> str:
    """A part's file, from the data folder."""
    return f"parts/{part.id}.parquet"


def _misplaced(part: Part, flushed: int, run: int) -> Iterator[str]:
    if not 1 <= part.seq_min <= part.seq_max <= flushed:
        yield f"holds seq {part.seq_min} to {part.seq_max}, but what is flushed ends at {flushed}"
    if part.run > run:
        yield f"belongs to run {part.run}, but the highest run is {run}"


def _overlaps(parts: Sequence[Part]) -> Iterator[Problem]:
    """Parts of one run that share a user."""
    in_order = sorted(parts, key=lambda part: (part.run, part.user_min))
    for run, members in groupby(in_order, key=lambda part: part.run):
        for one, other in pairwise(members):
            if one.user_max >= other.user_min:
                yield Problem(name_of(other), f"overlaps in user_id with {name_of(one)}, of the same run {run}")


def _journal(connection: apsw.Connection, seq: int, flushed: int) -> Iterator[str]:
    """What is wrong with the hot rows."""
    decompress = zstandard.ZstdDecompressor().decompress
    end = flushed
    for first, count, time_min, time_max, types, blob in connection.execute(
        "SELECT seq, count, time_min, time_max, types, actions FROM journal WHERE seq > ? ORDER BY seq", (flushed,)
    ):
        if first <= end or first + count - 1 > seq:
            yield f"the journal row {first} has {count} actions, between seq {end} and the end at {seq}"
        end = first + count - 1
        try:
            actions = _ACTIONS.decode(blob if blob[:1] == b"[" else decompress(blob))
        except (MsgspecError, UnicodeDecodeError, zstandard.ZstdError) as error:
            yield f"the journal row {first} cannot be read: {error}"
            continue
        times = [micros(action.time) for action in actions]
        bits = {TYPE_BITS.get(action.type, 0) for action in actions}
        held = len(actions), min(times, default=0), max(times, default=0), sum(bits)
        if held != (count, time_min, time_max, types):
            yield f"the journal row {first} holds other actions than its columns say"


@contextlib.contextmanager
def look_at_parts(folder: Path, memory: str) -> Iterator["Parts"]:
    """Check the parts of a data folder, in so much memory."""
    with (
        contextlib.closing(database.connect(folder, readonly=True)) as connection,
        parquet.engine(folder, memory=memory) as engine,
    ):
        yield Parts(folder, engine, connection)


class Parts:
    """Checks the files of parts."""

    def __init__(self, folder: Path, engine: duckdb.DuckDBPyConnection, connection: apsw.Connection) -> None:
        """See `look_at_parts`."""
        self._folder = folder
        self._engine = engine
        self._connection = connection

    def problem(self, part: Part) -> Problem | None:
        """What is wrong with a part; None if nothing is, or if it is not live any more."""
        what = self._wrong(part)
        if what is None or not self._is_live(part):
            return None
        return Problem(name_of(part), what)

    def leftovers(self) -> list[str]:
        """The files that no row names, from the data folder."""
        files = sorted(path for path in (self._folder / "parts").iterdir() if path.is_file())
        with database.snapshot(self._connection):
            known = {f"{row[0]}.parquet" for row in self._connection.execute("SELECT id FROM parts")}
        return [f"parts/{path.name}" for path in files if path.name not in known and path.exists()]

    def _is_live(self, part: Part) -> bool:
        (live,) = database.one(
            self._connection, "SELECT EXISTS (SELECT 1 FROM parts WHERE id = ? AND removed_at IS NULL)", (part.id,)
        )
        return bool(live)

    def _wrong(self, part: Part) -> str | None:
        path = self._folder / "parts" / f"{part.id}.parquet"
        wrong = wrong_with(path, part)
        if wrong is not None:
            return wrong
        try:
            row = self._engine.execute(_LOOK, {"file": parquet.pattern(path)}).fetchone()
        except duckdb.Error as error:
            return f"cannot be read as Parquet: {str(error).partition(chr(10))[0]}"
        return "gave no answer" if row is None else _differs(part, *row)


def _differs(  # noqa: PLR0913, PLR0917 - one for each column of the look
    part: Part,
    rows: int,
    user_min: str,
    user_max: str,
    time_min: int,
    time_max: int,
    seq_min: int,
    seq_max: int,
    out_of_order: int,
) -> str | None:
    if rows != part.rows:
        return f"has {rows} rows, the catalog says {part.rows}"
    if out_of_order:
        return f"has {out_of_order} rows that are not in the order of user, session, time and seq"
    for name, least, most, low, high in (
        ("user_id", user_min, user_max, part.user_min, part.user_max),
        ("time", time_min, time_max, part.time_min, part.time_max),
        ("seq", seq_min, seq_max, part.seq_min, part.seq_max),
    ):
        if least < low or most > high:  # type: ignore[operator]
            return f"has {name} {least!r} to {most!r}, the catalog says {low!r} to {high!r}"
    return None
