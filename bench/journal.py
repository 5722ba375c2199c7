"""How full a data folder is, looked at from outside while the server works: backlog, catalog, and bytes on disk."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from footpath import database


@dataclass(frozen=True)
class Sizes:
    """One look at a data folder."""

    backlog: int  # actions that are durable in the journal and in no part yet
    parts: int
    part_actions: int
    part_bytes: int
    replaced_bytes: int  # files that a merge replaced and that wait for running reads to end
    database_bytes: int
    wal_bytes: int

    @property
    def disk_bytes(self) -> int:
        """Everything that the folder holds of its actions."""
        return self.part_bytes + self.replaced_bytes + self.database_bytes + self.wal_bytes


def sizes(data: Path) -> Sizes:
    """Look: one short read transaction and a few stats."""
    file = data / database.FILE_NAME
    with contextlib.closing(database.connect(data, readonly=True)) as connection, database.snapshot(connection):
        (backlog,) = database.one(connection, "SELECT seq - flushed FROM state")
        parts, actions, live, replaced = database.one(
            connection,
            """
            SELECT count(*) FILTER (WHERE removed_at IS NULL),
                coalesce(sum(rows) FILTER (WHERE removed_at IS NULL), 0),
                coalesce(sum(bytes) FILTER (WHERE removed_at IS NULL), 0),
                coalesce(sum(bytes) FILTER (WHERE removed_at IS NOT NULL), 0)
            FROM parts
            """,
        )
    wal = file.with_name(file.name + "-wal")
    return Sizes(
        backlog=backlog,
        parts=parts,
        part_actions=actions,
        part_bytes=live,
        replaced_bytes=replaced,
        database_bytes=file.stat().st_size,
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
    )
