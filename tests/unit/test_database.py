"""Every connection to the database of a folder is as durable, and as forgetful, as its docstring says."""

from contextlib import closing
from pathlib import Path

import pytest

from footpath import database


@pytest.mark.parametrize("readonly", [False, True])
def test_a_connection_has_its_settings(tmp_path: Path, readonly: bool) -> None:
    """What is set up is in effect: all of it, and not only the first statement."""
    database.prepare(tmp_path)
    with closing(database.connect(tmp_path, readonly=readonly)) as connection:
        found = {
            name: database.one(connection, f"PRAGMA {name}")[0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "temp_store", "secure_delete")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": database.CHECKPOINT_PAGES,
        "temp_store": 2,
        "secure_delete": 1,
    }
