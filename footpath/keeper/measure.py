"""What a data folder holds, as metrics: looked at when asked for, out of one moment."""

import contextlib
import shutil
from pathlib import Path

import apsw

from footpath import database
from footpath.keeper.flush import due


def measure(folder: Path, connection: apsw.Connection) -> dict[str, float]:
    """The gauges of a folder by name. Costs a look at each row of the catalog: some ms for ten thousand parts."""
    waiting = due(connection)
    runs, parts, actions, size = database.one(
        connection,
        "SELECT count(DISTINCT run), count(*), coalesce(sum(rows), 0), coalesce(sum(bytes), 0) FROM parts"
        " WHERE removed_at IS NULL",
    )
    held = 0
    for name in (database.FILE_NAME, f"{database.FILE_NAME}-wal"):
        with contextlib.suppress(FileNotFoundError):  # there is no log before the first write
            held += (folder / name).stat().st_size
    disk = shutil.disk_usage(folder)
    return {
        "footpath_journal_actions": waiting.actions,
        "footpath_journal_age_seconds": waiting.age,
        "footpath_runs": runs,
        "footpath_parts": parts,
        "footpath_parts_actions": actions,
        "footpath_parts_bytes": size,
        "footpath_database_bytes": held,
        "footpath_disk_bytes": disk.total,
        "footpath_disk_free_bytes": disk.free,
    }
