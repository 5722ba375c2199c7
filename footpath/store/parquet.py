"""How actions look in Parquet, and the SQL that makes parts of them.

The SQL text is DuckDB's. `HOT` turns journal rows, bound as five lists, into the columns of a part; flush, find and
`sql` all use it, so a hot action and a stored one cannot differ. A part is sorted by `ORDER`: one user's actions are a
few neighbouring row groups, and one session is one run of rows.

Written with PARQUET_VERSION V2 (delta encoding of seq, received_at and lengths: a quarter smaller), zstd, row groups of
16,384 rows in pages of 32 KB (a path reads one or two row groups; DuckDB looks at all in a file, and unpacks only the
pages that hold a row that it wants) and no Bloom filters (sorted: the minimum and maximum of a row group say as much).
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from footpath.journal.hot import HotRows
from footpath.store import members
from footpath.store.base import Part

COLUMNS = "user_id, session_id, time, utc_offset, type, properties, id, seq, received_at"
ORDER = "user_id, session_id, time, seq"
ROW_GROUP = 16_384
PAGE_BYTES = 32_768  # before compression; with 8,192 rows of one page each a path cost 1.3 times as much, a disk 0.95

WIRE = """'[{"time":"VARCHAR","type":"VARCHAR","properties":"JSON","id":"VARCHAR"}]'"""
UTC_OFFSET = """
CASE WHEN action.time[-1] = 'Z' THEN 0
     ELSE (CASE action.time[-6] WHEN '-' THEN -1 ELSE 1 END)
          * (CAST(action.time[-5:-4] AS SMALLINT) * 60 + CAST(action.time[-2:] AS SMALLINT)) END"""
_LOCAL = "CAST(CASE WHEN action.time[-1] = 'Z' THEN action.time[:-2] ELSE action.time[:-7] END AS TIMESTAMP)"
TIME = f"{_LOCAL} - to_minutes({UTC_OFFSET})"
HOT = f"""
SELECT user_id, session_id, {TIME} AS time, CAST({UTC_OFFSET} AS SMALLINT) AS utc_offset,
       action.type AS type, CAST(action.properties AS VARCHAR) AS properties, action.id AS id,
       seq + place AS seq, make_timestamp(received_at) AS received_at
FROM (SELECT user_id, session_id, seq, received_at, unnest(actions) AS action, unnest(range(len(actions))) AS place
      FROM (SELECT unnest($user_ids::VARCHAR[]) AS user_id, unnest($session_ids::VARCHAR[]) AS session_id,
                   from_json(unnest($actions::VARCHAR[]), {WIRE}) AS actions,
                   unnest($seqs::BIGINT[]) AS seq, unnest($received_at::BIGINT[]) AS received_at))
"""


def bind(hot: HotRows) -> dict[str, Any]:
    """The parameters of `HOT`."""
    return hot._asdict()


def stored(files: str = "$files") -> str:
    """The SQL of the rows of the parts whose paths are bound as `$files` (see `pattern`)."""
    return f"SELECT {COLUMNS} FROM {scan(files)}"


def scan(files: str = "$file") -> str:
    """The SQL of the parts whose paths are bound (see `pattern`), with the columns that stand in them and no others.

    DuckDB takes a folder above them that is called `user_id=1` for a column, in the place of the one in the files.
    """
    return f"read_parquet({files}, hive_partitioning = false)"


def pattern(path: Path) -> str:
    """A path as DuckDB's `read_parquet` takes it: there `*`, `?` and `[` are patterns, also inside a folder's name."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


def quote(text: str) -> str:
    """A string literal of SQL, for the places where a parameter cannot stand."""
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def engine(
    folder: Path, *, memory: str, optimizers: Collection[str] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory that spills to `folder`/tmp, fetches no extensions, and is closed in the end.

    What it spills is encrypted, so that no file holds what a user did whom footpath has forgotten meanwhile: the key
    is in memory only. DuckDB calls its built-in cipher unsafe because its keys come from no cryptographic generator.
    Spilling takes about twice as long with it; what does not spill pays nothing.

    It spills to a folder of its own: before 2.0, two processes with one folder write over each other's files there and
    read what the other wrote. A lock beside it tells whose process has ended without removing it.

    Args:
        folder: the data folder.
        memory: what it may hold before it spills, like 256MB.
        optimizers: the only steps of planning to take, for an engine of many short reads, which also remembers what
            it read of a file; all of them by default.
    """
    with _spill_folder(folder / "tmp") as spill:
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": 1,  # a read or a merge takes one core at most
                "memory_limit": memory,
                "temp_directory": str(spill),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        with contextlib.closing(connection):
            connection.execute("SET async_threads = 0")  # handing reads of files to a thread took an eighth of a path
            connection.execute("SET force_mbedtls_unsafe = 'true'; SET temp_file_encryption = true")
            remember = optimizers is not None
            connection.execute(f"SET parquet_metadata_cache = {remember}; SET enable_external_file_cache = {remember}")
            if optimizers is not None:
                names = [row[0] for row in connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()]
                left_out = ",".join(name for name in names if name not in optimizers)
                connection.execute(f"SET disabled_optimizers = {quote(left_out)}")
            yield connection


@contextlib.contextmanager
def _spill_folder(folder: Path) -> Iterator[Path]:
    """The name of a folder in `folder` for one engine; first, those of processes that were killed are removed."""
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.lock"):
        with contextlib.suppress(Timeout), FileLock(file, timeout=0):
            shutil.rmtree(file.with_suffix(""), ignore_errors=True)
            file.unlink(missing_ok=True)
    spill = folder / uuid.uuid4().hex
    lock = spill.with_suffix(".lock")
    with FileLock(lock, thread_local=False):  # an engine may be closed by another thread
        try:
            yield spill
        finally:
            shutil.rmtree(spill, ignore_errors=True)
            lock.unlink(missing_ok=True)


def write_part(
    connection: duckdb.DuckDBPyConnection, parts_folder: Path, run: int, select: str, bindings: Mapping[str, Any]
) -> Part | None:
    """Write the rows of a SELECT as one part, durable under its final name; None if there are no rows.

    It is in no catalog yet: a crash from here on leaves a file that the sweep at the next start removes.
    """
    part_id = uuid.uuid4().hex
    temporary = parts_folder / f"{part_id}.tmp"
    try:
        connection.execute(
            f"COPY ({select} ORDER BY {ORDER}) TO {quote(str(temporary))} (FORMAT parquet, COMPRESSION zstd,"
            f" PARQUET_VERSION V2, ROW_GROUP_SIZE {ROW_GROUP}, DATA_PAGE_SIZE_LIMIT {PAGE_BYTES},"
            " WRITE_BLOOM_FILTER false)",
            dict(bindings),
        )
        row = connection.execute(
            "SELECT count(*), min(user_id), max(user_id), epoch_us(min(time)), epoch_us(max(time)), min(seq), max(seq)"
            f" FROM {scan()}",
            {"file": pattern(temporary)},
        ).fetchone()
        if row is None or row[0] == 0:
            return None
        rows, user_min, user_max, time_min, time_max, seq_min, seq_max = row
        held = members.of_file(connection, pattern(temporary))
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        with temporary.open("rb+") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        temporary.replace(parts_folder / f"{part_id}.parquet")
    finally:
        temporary.unlink(missing_ok=True)  # on a full disk every try would leave a piece otherwise
    return Part(part_id, run, user_min, user_max, time_min, time_max, seq_min, seq_max, rows, size, digest, held)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call, and needs none on NTFS."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def row_group_starts(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], bytes_a_row: float
) -> list[tuple[str, int]]:
    """For each row group of some parts its smallest user_id and its number of rows, by user_id.

    Rows of more than `bytes_a_row` before compression count as several. A very long user_id stands here by its
    beginning only; for balancing parts that is as good.
    """
    return connection.execute(
        "SELECT coalesce(min(stats_min_value) FILTER (path_in_schema = 'user_id'), '') AS user_min,"
        " CAST(ceil(greatest(any_value(row_group_num_rows), sum(total_uncompressed_size) / $bytes_a_row)) AS BIGINT)"
        " FROM parquet_metadata($files) GROUP BY file_name, row_group_id ORDER BY user_min",
        {"files": [pattern(file) for file in files], "bytes_a_row": bytes_a_row},
    ).fetchall()
