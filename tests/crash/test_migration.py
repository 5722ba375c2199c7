"""A data folder that an older footpath wrote is brought forward whole, also when it is killed in the middle."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from footpath import database
from footpath.errors import SchemaUnknown
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.keys.key import digest
from footpath.keys.source import TableKeys
from footpath.query import Query
from footpath.store.check import look_at_database, look_at_parts

STEPS = Path(__file__).with_name("steps.py")
FIXTURES = Path(__file__).parents[1] / "fixtures"
KEYS = {"first", "second", "third", "fourth"}
FORGOTTEN = {22, 23, 24}  # the numbers of the actions, in the order of seq, of a user who was forgotten under schema 2
HELD = {1: (set(range(49)), 12), 2: (set(range(37)) - FORGOTTEN, 10)}
"""What the folder of each older schema holds: the numbers of its actions, and how many of them are hot."""
SCHEMA_2_KEY = b"fp_admin_1zdElj2xRHz2HJy29LVnRic7XhTrpoaZ"


@pytest.fixture(params=HELD, ids=lambda schema: f"schema {schema}")
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of an older schema, which the footpath of that schema wrote."""
    return written(int(request.param), tmp_path / "older")


def written(schema: int, folder: Path) -> Path:
    """A folder of this schema."""
    fixture = FIXTURES / f"schema-{schema}"
    shutil.copytree(fixture / "parts", folder / "parts")
    with closing(apsw.Connection(str(folder / "footpath.db"))) as connection:
        connection.execute(f"{(fixture / 'footpath.sql').read_text(encoding='utf-8')}; PRAGMA journal_mode = WAL")
    assert version(folder) == schema
    return folder


def version(folder: Path) -> int:
    """The schema of a folder."""
    with closing(apsw.Connection(str(folder / "footpath.db"))) as connection:
        return int(database.one(connection, "PRAGMA user_version")[0])


def tables(folder: Path) -> set[tuple[str, str]]:
    """Every table and index of a folder's database, and how it was made."""
    with closing(apsw.Connection(str(folder / "footpath.db"))) as connection:
        return set(connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_schema"))


def check(folder: Path, schema: int) -> None:
    """That a folder of today's schema holds everything that the one of an older schema held."""
    held, waiting = HELD[schema]
    with closing(DuckdbFind(folder, memory="100MB", read_seconds=60)) as find:
        lines = [json.loads(row[0]) for chunk in find.rows(Query(), Shape.LINES).rows for row in chunk]
    assert Counter(line["properties"]["n"] for line in lines) == Counter(held)
    assert sorted(line["seq"] for line in lines) == sorted(n + 1 for n in held)
    assert len(next(line for line in lines if line["userId"] == "big")["properties"]["text"]) == 2000
    with closing(database.connect(folder, readonly=True)) as connection:
        assert {row[0] for row in connection.execute("SELECT key FROM idempotency")} == set(
            map(database.key_digest, KEYS)
        )
        parts, hot, problems, is_whole = look_at_database(connection)
    assert (len(parts), hot, problems, is_whole) == (3, waiting, [], True)
    with look_at_parts(folder, "100MB") as look:
        assert [look.problem(part) for part in parts] == [None] * 3


def test_everything_is_found_after_the_migration(older: Path, tmp_path: Path) -> None:
    """An older folder has today's schema afterwards, the same as a new folder's, and all that it held."""
    schema = version(older)
    database.prepare(older)
    assert version(older) == database.SCHEMA_VERSION
    check(older, schema)
    database.prepare(tmp_path / "new")
    assert tables(older) == tables(tmp_path / "new")
    database.prepare(older)  # once more changes nothing
    check(older, schema)


def test_every_older_schema_is_tried() -> None:
    """There is a folder of each schema that footpath has had."""
    assert sorted(HELD) == list(range(1, database.SCHEMA_VERSION))


def test_what_only_schema_2_knew_stays(tmp_path: Path) -> None:
    """Keys with their end, rejects, ids of actions and tombstones of schema 2 are there after the migration."""
    folder = written(2, tmp_path / "older")
    database.prepare(folder)
    with closing(TableKeys(folder)) as source:
        _, keys = source.load()
    now = time.time_ns() // 1000
    assert {(key.name, key.role, key.state(now)) for key, _ in keys} == {
        ("boss", "admin", "live"),
        ("page", "write", "live"),
        ("gone", "read", "revoked"),
    }
    assert [key.origins for key, _ in keys if key.name == "page"] == [("https://shop.example",)]
    assert digest(SCHEMA_2_KEY) in {hashed for _, hashed in keys}
    with closing(database.connect(folder, readonly=True)) as connection:
        numbers = [
            database.one(connection, f"SELECT count(*) FROM {table}")[0]
            for table in ("rejects", "action_ids", "forgotten", "forgetting", "members")
        ]
        assert numbers == [1, 2, 1, 1, 3]
        assert database.one(connection, "SELECT sum(size) FROM rejects") == database.one(
            connection, "SELECT reject_bytes FROM state"
        )


def test_a_crash_in_the_middle_leaves_the_old_or_the_new(older: Path, tmp_path: Path) -> None:
    """Killed before any step, the folder has the schema it had or today's, and the next start ends with all it held."""
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, str(STEPS), "migrate", str(older), str(work), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(points) > 5
    schema = version(older)
    seen = set()
    for point in points:
        folder = work / str(point["number"])
        said = (work / f"{point['number']}.said").read_text(encoding="utf-8")
        before = version(folder)
        seen.add(before)
        assert before in {schema, database.SCHEMA_VERSION}, point
        assert before == database.SCHEMA_VERSION or not said, point
        database.prepare(folder)
        assert version(folder) == database.SCHEMA_VERSION
        check(folder, schema)
    assert seen == {schema, database.SCHEMA_VERSION}


def test_what_only_reads_does_not_migrate(older: Path) -> None:
    """A command that reads an older folder is refused with the next step, and leaves it as it is."""
    schema = version(older)
    with pytest.raises(SchemaUnknown, match=rf"schema {schema}.*footpath serve"):
        database.connect(older, readonly=True)
    assert version(older) == schema


def test_a_newer_schema_is_refused(older: Path) -> None:
    """A folder of a schema that is not known yet is refused with the next step, to write and to read, unchanged."""
    newer = database.SCHEMA_VERSION + 1
    with closing(apsw.Connection(str(older / "footpath.db"))) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    before = tables(older)
    for attempt in (database.prepare, database.connect):
        with pytest.raises(SchemaUnknown, match=f"schema {newer}.*pip install --upgrade"):
            attempt(older)
    assert (version(older), tables(older)) == (newer, before)
