"""Records become sorted Parquet files, one a day of the actions' times, by DuckDB.

`add` turns records into columns, a slice at a time, in a table that DuckDB may spill; `write` sorts each day's rows and
writes them. The text of an action is read by the same SQL as a flush on one machine (`store.parquet`), so that what it
says cannot differ.

A record whose JSON is well-formed but whose actions are not ours would fail the whole slice for ever: then each record
of it is tried alone, and those that fail are given back.
"""

import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from footpath.store import parquet

COLUMNS = (
    "user_id", "session_id", "time", "utc_offset", "type", "properties", "id", "seq", "received_at", "batch_id",
    "place",
)  # fmt: skip
ORDER = "user_id, session_id, time, seq"
BOUNDED = ("user_id", "session_id", "time", "utc_offset", "type", "seq", "received_at")
"""The columns whose smallest and largest value the table keeps of each file."""

ROW_GROUP = 122_880  # rows: one user of a sorted file of 2 M rows is found with 4 requests to S3
_FIELD_IDS = ", ".join(f"{name}: {number}" for number, name in enumerate(COLUMNS, 1))

_TIMES = ("time", "received_at")
_EXTREMES = [
    f"epoch_us({end}({name}))" if name in _TIMES else f"{end}({name})"  # Python's times end with the year 9999
    for name in BOUNDED
    for end in ("min", "max")
]

_INSERT = f"""
INSERT INTO chunk BY NAME
SELECT user_id, session_id, CAST(moment AS DATE) - DATE '1970-01-01' AS day, CAST(moment AS TIMESTAMPTZ) AS time,
       utc_offset, type, properties, id, seq, CAST(make_timestamp(received_at) AS TIMESTAMPTZ) AS received_at, batch_id,
       CAST(place AS INTEGER) AS place
FROM (SELECT user_id, session_id, {parquet.TIME} AS moment, CAST({parquet.UTC_OFFSET} AS INTEGER) AS utc_offset,
             action.type AS type, CAST(action.properties AS VARCHAR) AS properties, action.id AS id,
             seq + (place << 16) AS seq, received_at, batch_id, place
      FROM (SELECT user_id, session_id, seq, received_at, batch_id,
                   unnest(actions) AS action, unnest(range(len(actions))) AS place
            FROM (SELECT user_ids AS user_id, session_ids AS session_id, from_json(actions, {parquet.WIRE}) AS actions,
                         seqs AS seq, received_at, batch_ids AS batch_id
                  FROM records)))
"""
_TEXTS = ("batch_ids", "user_ids", "session_ids", "actions")
_TABLE = """
CREATE TABLE chunk (
    user_id VARCHAR NOT NULL, session_id VARCHAR NOT NULL, day BIGINT NOT NULL, time TIMESTAMPTZ NOT NULL,
    utc_offset INTEGER NOT NULL, type VARCHAR NOT NULL, properties VARCHAR NOT NULL, id VARCHAR, seq BIGINT NOT NULL,
    received_at TIMESTAMPTZ NOT NULL, batch_id VARCHAR NOT NULL, place INTEGER NOT NULL
)
"""


class Slice:
    """Records as lists of one length. `seqs` are those of their first actions; that of the next is 65,536 more."""

    __slots__ = ("actions", "batch_ids", "received_at", "seqs", "session_ids", "user_ids")

    def __init__(self) -> None:
        """Begin with none."""
        self.batch_ids: list[str] = []
        self.user_ids: list[str] = []
        self.session_ids: list[str] = []
        self.received_at: list[int] = []
        self.actions: list[str] = []
        self.seqs: list[int] = []

    def table(self) -> Any:
        """The same as Arrow has it, which DuckDB reads five times as fast as lists."""
        texts = {name: pa.array(getattr(self, name), pa.string()) for name in _TEXTS}
        numbers = {name: pa.array(getattr(self, name), pa.int64()) for name in ("received_at", "seqs")}
        return pa.table({**texts, **numbers})


class Written(NamedTuple):
    """A file on this machine, and what the table keeps of it. Times are microseconds since 1970 UTC.

    `day` is the number of days since 1970 of all of its times, `bounds` are the smallest and largest value of each of
    `BOUNDED`, `ids` how many rows have an id, `splits` where its row groups begin.
    """

    path: Path
    day: int
    rows: int
    bounds: dict[str, tuple[Any, Any]]
    ids: int
    splits: list[int]


class Columns:
    """The actions of one chunk, in an engine of `parquet.engine`."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Begin with none; files are written to `folder`."""
        self._engine = engine
        self._folder = folder
        engine.execute("SET TimeZone = 'UTC'")
        self.clear()

    def clear(self) -> None:
        """Forget what was added."""
        self._engine.execute("DROP TABLE IF EXISTS chunk")
        self._engine.execute(_TABLE)

    def add(self, records: Slice) -> list[int]:
        """Add the actions of some records; the places of those that hold no actions of ours, and were left out."""
        return self._add(records.table(), 0) if records.seqs else []

    def _add(self, table: Any, place: int) -> list[int]:
        self._engine.register("records", table)
        try:
            self._engine.execute(_INSERT)
        except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException):
            if table.num_rows == 1:
                return [place]
            middle = table.num_rows // 2
            return self._add(table.slice(0, middle), place) + self._add(table.slice(middle), place + middle)
        finally:
            self._engine.unregister("records")
        return []

    def add_stored(self, select: str, bindings: Mapping[str, Any]) -> None:
        """Add what a SELECT gives, with these columns and `day`."""
        self._engine.execute(f"INSERT INTO chunk BY NAME {select}", dict(bindings))

    def drop_users(self, digests: Collection[str]) -> None:
        """Leave out the actions of users, by the sha256 of their ids in hex."""
        if digests:
            self._engine.execute(
                "DELETE FROM chunk WHERE list_contains($digests, sha256(user_id))", {"digests": [*digests]}
            )

    def write(self) -> list[Written]:
        """Write the files, sorted, without Bloom filters: sorted, the smallest and largest value say as much."""
        days = self._engine.execute(
            f"SELECT day, count(*), count(id), {', '.join(_EXTREMES)} FROM chunk GROUP BY day ORDER BY day"
        ).fetchall()
        return [self._write(*row) for row in days]

    def _write(self, day: int, rows: int, ids: int, *bounds: Any) -> Written:
        path = self._folder / f"{uuid.uuid4()}.parquet"
        self._engine.execute(
            f"COPY (SELECT {', '.join(COLUMNS)} FROM chunk WHERE day = $day ORDER BY {ORDER})"
            f" TO {parquet.quote(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP},"
            f" WRITE_BLOOM_FILTER false, FIELD_IDS {{{_FIELD_IDS}}})",
            {"day": day},
        )
        splits = self._engine.execute(
            "SELECT min(coalesce(dictionary_page_offset, data_page_offset)) FROM parquet_metadata($file)"
            " GROUP BY row_group_id ORDER BY row_group_id",
            {"file": parquet.pattern(path)},
        ).fetchall()
        pairs = dict(zip(BOUNDED, zip(bounds[::2], bounds[1::2], strict=True), strict=True))
        return Written(path, day, rows, pairs, ids, [offset for (offset,) in splits])
