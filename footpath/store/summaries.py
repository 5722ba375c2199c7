"""Summaries: sums over the actions of some parts, made ahead, so that an overview need not look at each action.

segment  Some neighbouring parts of one run, `MOST_PARTS` at most. It ends with a part whose id says so, one in
         `USUAL_PARTS`: when a part is rewritten or dropped, only the segment that held it changes.
summary  One Parquet file a segment in `summaries`: actions by type in quarters of an hour, navigations by both pages
         and day, clicks by page, day and cell of the grid. It is named by the sha256 of the ids of its parts.
         Those never change, so it is right for ever; when they are merged or rewritten, nobody asks for it any more.
derived  Nothing depends on it: without the folder the answers are the same, later. So it is written without fsync, and
         its own sha256 is in its name too: a file that a crash or a disk has damaged is not used.
swept    Files of no live segment are removed when no read can want them; when a user is forgotten at once, for the
         names of pages can tell of them.
"""

import hashlib
import os
import time
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb
import structlog

from footpath.overview.asked import WIDTHS
from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.known import DUCKDB, FROM, HEIGHT, PAGE, TO, WIDTH, X, Y, bucket, cell, text

USUAL_PARTS = 32  # 2 million actions: 2 s of work, for which a user who is to be forgotten waits
MOST_PARTS = 64
COUNT, FLOW, CLICK = 1, 2, 3
UNIT = {COUNT: WIDTHS["15m"], FLOW: WIDTHS["day"], CLICK: WIDTHS["day"]}
"""The width in microseconds of the buckets of each kind of row."""

_ROWS = f"""
SELECT CAST({COUNT} AS UTINYINT) AS kind, {bucket("epoch_us(time)", UNIT[COUNT])} AS began, type AS a,
       CAST(NULL AS VARCHAR) AS b, CAST(NULL AS UTINYINT) AS x, CAST(NULL AS UTINYINT) AS y, count(*) AS n
FROM read_parquet($files) GROUP BY ALL
UNION ALL
SELECT {FLOW}, {bucket("epoch_us(time)", UNIT[FLOW])}, {text(FROM)}, {text(TO)}, NULL, NULL, count(*)
FROM (SELECT time, {DUCKDB.columns} FROM read_parquet($files) WHERE type = 'NAVIGATE') GROUP BY ALL
UNION ALL
SELECT {CLICK}, began, page, NULL, x, y, count(*)
FROM (SELECT {bucket("epoch_us(time)", UNIT[CLICK])} AS began, {text(PAGE)} AS page,
             {cell(X, WIDTH)} AS x, {cell(Y, HEIGHT)} AS y
      FROM (SELECT time, {DUCKDB.columns} FROM read_parquet($files) WHERE type = 'CLICK'))
WHERE page IS NOT NULL GROUP BY ALL
"""
_ORDER = f"kind, CASE WHEN kind = {CLICK} THEN a END, began, a, b, y, x"

_log = structlog.get_logger()


class Segment(NamedTuple):
    """Some parts of one run, by user_min; `name` is that of their summary."""

    name: str
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many actions they hold."""
        return sum(part.rows for part in self.parts)


def segments(parts: Iterable[Part]) -> list[Segment]:
    """All segments of live parts, which must be whole runs."""
    found: list[Segment] = []
    for _, run in groupby(sorted(parts, key=lambda part: (part.run, part.user_min)), key=lambda part: part.run):
        held: list[Part] = []
        for part in run:
            held.append(part)
            if len(held) == MOST_PARTS or int(part.id[:8], 16) % USUAL_PARTS == 0:
                found.append(_segment(held))
                held = []
        if held:
            found.append(_segment(held))
    return found


def _segment(parts: Sequence[Part]) -> Segment:
    return Segment(hashlib.sha256("".join(part.id for part in parts).encode()).hexdigest(), tuple(parts))


class Summaries:
    """The summaries of a data folder. Any thread may look; one writes and sweeps."""

    def __init__(self, folder: Path) -> None:
        """Those of the data folder `folder`, which may have none yet."""
        self._folder = folder / "summaries"
        self._looks: dict[str, tuple[int, int, bool]] = {}
        self._dead_since: dict[str, float] = {}

    def found(self) -> dict[str, Path]:
        """The files that are there and whole, by the names of their segments."""
        made: dict[str, Path] = {}
        try:
            entries = list(os.scandir(self._folder))
        except FileNotFoundError:
            return made
        for entry in entries:
            name, digest, end = (*entry.name.split("."), "", "")[:3]
            if end == "parquet" and self._is_whole(entry, digest):
                made[name] = Path(entry.path)
        return made

    def write(self, engine: duckdb.DuckDBPyConnection, segment: Segment, files: Sequence[Path]) -> None:
        """Sum the actions of a segment up, whose parts are these files.

        Raises:
            duckdb.Error, OSError: it cannot be done, and nothing is left behind.
        """
        self._folder.mkdir(exist_ok=True)
        temporary = self._folder / f"{segment.name}.tmp"
        try:
            engine.execute(
                f"COPY (SELECT * FROM ({_ROWS}) ORDER BY {_ORDER}) TO {parquet.quote(str(temporary))}"
                f" (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2, ROW_GROUP_SIZE {parquet.ROW_GROUP},"
                " WRITE_BLOOM_FILTER false)",
                {"files": [parquet.pattern(file) for file in files]},
            )
            with temporary.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            temporary.replace(self._folder / f"{segment.name}.{digest}.parquet")
        finally:
            temporary.unlink(missing_ok=True)

    def sweep(self, live: Collection[str], grace_seconds: float = 0.0) -> int:
        """Remove the files that have been of none of the `live` segments for so long, and damaged ones.

        Returns:
            How many are still to go.
        """
        now = time.monotonic()
        whole = {path.name: name for name, path in self.found().items()}
        files = list(self._folder.iterdir()) if self._folder.exists() else []
        self._dead_since = {file.name: self._dead_since[file.name] for file in files if file.name in self._dead_since}
        for file in files:
            if whole.get(file.name) in live:
                self._dead_since.pop(file.name, None)
                continue
            since = self._dead_since.setdefault(file.name, now)
            if now - since >= grace_seconds or file.name not in whole:
                file.unlink(missing_ok=True)
                del self._dead_since[file.name]
                self._looks.pop(file.name, None)
        return len(self._dead_since)

    def _is_whole(self, entry: "os.DirEntry[str]", digest: str) -> bool:
        """Whether a file is what its name says; its bytes are read when it is new or has changed."""
        try:
            stat = entry.stat()
            look = self._looks.get(entry.name)
            if look is None or look[:2] != (stat.st_size, stat.st_mtime_ns):
                with Path(entry.path).open("rb") as file:
                    is_whole = hashlib.file_digest(file, "sha256").hexdigest() == digest
                if not is_whole:
                    _log.warning("a summary is damaged: it is not used", file=f"summaries/{entry.name}")
                look = self._looks[entry.name] = (stat.st_size, stat.st_mtime_ns, is_whole)
        except FileNotFoundError:
            return False
        return look[2]
