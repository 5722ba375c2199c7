"""What a backup holds, what it and a restore refuse, and what they leave behind when they do."""

import errno
import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from footpath import database
from footpath.errors import CommandFailed, FootpathError, PartDamaged, SchemaUnknown
from footpath.journal.hot import HotRows
from footpath.store import parquet
from footpath.store.backup import backup
from footpath.store.base import Part
from footpath.store.check import look_at_database, look_at_parts
from footpath.store.local import LocalStore
from footpath.store.restore import restore

ACTION = '{"time":"2020-01-01T00:00:00Z","type":"CLICK","properties":{}}'
AT = 1_577_836_800_000_000


def add_part(folder: Path, user: str) -> Part:
    """Add a part with one action of a user."""
    with closing(LocalStore(folder)) as store, parquet.engine(folder, memory="100MB") as engine:
        with closing(apsw.Connection(str(folder / "footpath.db"))) as connection:
            (seq,) = database.one(connection, "UPDATE state SET seq = seq + 1 RETURNING seq")
        hot = HotRows([user], ["s"], [f"[{ACTION}]"], [seq], [0])
        select = f"SELECT {parquet.COLUMNS} FROM ({parquet.HOT})"
        part = parquet.write_part(engine, store.parts_folder, store.next_run(), select, parquet.bind(hot))
        assert part is not None
        store.add([part], seq)
    return part


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with users a and b in a part each, and c in the journal."""
    folder = tmp_path / "data"
    database.prepare(folder)
    for user in "ab":
        add_part(folder, user)
    with closing(apsw.Connection(str(folder / "footpath.db"))) as connection:
        connection.execute("UPDATE state SET seq = 3")
        row = (3, "c", "s", 1, AT, AT, 1, AT, f"[{ACTION}]".encode())
        connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    return folder


@pytest.fixture
def other_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup is on another disk: nothing of the data folder can be linked there."""
    link = os.link

    def elsewhere(source: Path, target: Path) -> None:
        if "data" in source.parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr(os, "link", elsewhere)


def users(folder: Path) -> set[str]:
    """The users in a folder, once all of it was checked."""
    with closing(database.connect(folder, readonly=True)) as connection:
        parts, _, problems, is_whole = look_at_database(connection)
        assert (problems, is_whole) == ([], True)
        hot = connection.execute("SELECT user_id FROM journal WHERE seq > (SELECT flushed FROM state)")
        found = {row[0] for row in hot}
    with look_at_parts(folder, "100MB") as look:
        assert [look.problem(part) for part in parts] == [None] * len(parts)
    return found | {part.user_min for part in parts}


def files(folder: Path) -> set[str]:
    """All files in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_backup_on_the_same_disk_takes_no_space_for_parts(data: Path, tmp_path: Path) -> None:
    """Parts are linked, the manifest names every other file, and the restored folder is whole and a copy."""
    done = backup(data, tmp_path / "backup")
    assert (done.actions, done.parts, done.copied_parts) == (3, 2, 0)
    listed = json.loads((tmp_path / "backup" / "backup.json").read_bytes())
    assert files(tmp_path / "backup") == {"backup.json", *listed["files"]}
    assert (listed["actions"], listed["schema"]) == (3, database.SCHEMA_VERSION)
    for part in (data / "parts").iterdir():
        assert (tmp_path / "backup" / "parts" / part.name).samefile(part)
    restore(tmp_path / "backup", tmp_path / "again")
    assert files(tmp_path / "again") == set(listed["files"])
    assert users(tmp_path / "again") == {"a", "b", "c"}
    for part in (data / "parts").iterdir():
        assert not (tmp_path / "again" / "parts" / part.name).samefile(part)


@pytest.mark.usefixtures("other_disk")
def test_on_another_disk_only_what_is_new_is_copied(data: Path, tmp_path: Path) -> None:
    """The first backup copies every part, one after it links those that the first has, and both are whole."""
    assert backup(data, tmp_path / "first").copied_parts == 2
    new = add_part(data, "d")
    done = backup(data, tmp_path / "second", tmp_path / "first")
    assert (done.parts, done.copied_parts, done.copied_bytes) == (3, 1, new.bytes)
    shutil.rmtree(tmp_path / "first")
    restore(tmp_path / "second", tmp_path / "again")
    assert users(tmp_path / "again") == {"a", "b", "d"}  # the flush of d took c for flushed


@pytest.mark.usefixtures("other_disk")
def test_parts_that_go_meanwhile_are_not_missed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a part is replaced and purged while it should be copied, the backup is of a moment after that."""
    from footpath.store import manifest

    copy = manifest.copy
    copied: list[str] = []

    def purged_first(source: Path, target: Path) -> Any:
        if not copied:
            copied.append(source.stem)
        elif len(copied) == 1:
            copied.append(source.stem)
            with closing(LocalStore(data)) as store:
                old = store.live()
                store.replace(old, [])
                store.purge(0)
            add_part(data, "e")
        return copy(source, target)

    monkeypatch.setattr(manifest, "copy", purged_first)
    done = backup(data, tmp_path / "backup")
    assert (done.parts, len(copied)) == (1, 2)
    assert len(list((tmp_path / "backup" / "parts").iterdir())) == 1
    assert users(tmp_path / "backup") == {"e"}


@pytest.mark.usefixtures("other_disk")
def test_a_damaged_part_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    """A part that is not what was written fails the backup by name, and nothing is left of it."""
    part = sorted((data / "parts").iterdir())[1]
    content = bytearray(part.read_bytes())
    content[50] ^= 1
    part.write_bytes(content)
    with pytest.raises(PartDamaged, match=part.name):
        backup(data, tmp_path / "backup")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_damaged_database_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    """A database with a damaged page fails the backup, and nothing is left of it."""
    with closing(apsw.Connection(str(data / "footpath.db"))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.one(connection, "SELECT rootpage FROM sqlite_schema WHERE name = 'idempotency'")
    with (data / "footpath.db").open("rb+") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(PartDamaged, match="database is damaged"):
        backup(data, tmp_path / "backup")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_target_that_is_not_free_is_refused(data: Path, tmp_path: Path) -> None:
    """A target that holds something, is a file, is inside of the data folder, or is being made is left as it is."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "under way.partial").mkdir()
    for target, says in (
        (tmp_path / "full", "is not empty"),
        (tmp_path / "file", "is not empty"),
        (data / "parts" / "backup", "inside of the data folder"),
        (tmp_path / "under way", "another backup is under way"),
        (Path("/proc/1/backup"), "cannot make"),
    ):
        with pytest.raises(CommandFailed, match=says):
            backup(data, target)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "full", "file", "under way.partial"}
    assert len(list((data / "parts").iterdir())) == 2
    (tmp_path / "empty").mkdir()
    assert backup(data, tmp_path / "empty").parts == 2


def damage(kind: str, folder: Path) -> None:
    """Do something to a backup."""
    part = min((folder / "parts").iterdir())
    listed = json.loads((folder / "backup.json").read_bytes())
    if kind == "a part cut short":
        part.write_bytes(part.read_bytes()[:-1])
    elif kind == "a bit of the database":
        content = bytearray((folder / "footpath.db").read_bytes())
        content[5000] ^= 1
        (folder / "footpath.db").write_bytes(content)
    elif kind == "a part missing":
        part.unlink()
    elif kind == "no manifest":
        (folder / "backup.json").unlink()
    elif kind == "half a manifest":
        (folder / "backup.json").write_bytes((folder / "backup.json").read_bytes()[:-20])
    elif kind == "newer":
        (folder / "backup.json").write_text(json.dumps(listed | {"schema": database.SCHEMA_VERSION + 1}))
    elif kind == "no database":
        del listed["files"]["footpath.db"]
        (folder / "backup.json").write_text(json.dumps(listed))
    else:
        listed["files"][kind] = {"bytes": 0, "sha256": ""}
        (folder / "backup.json").write_text(json.dumps(listed))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("a part cut short", "parts/.*not what was backed up"),
        ("a bit of the database", "footpath.db is not what was backed up"),
        ("a part missing", "missing"),
        ("no manifest", "is no backup"),
        ("half a manifest", "cannot be read"),
        ("newer", "newer footpath"),
        ("no database", "is not whole"),
        ("../out.parquet", "not a file of a backup"),
        ("parts/../../out.parquet", "not a file of a backup"),
        ("/tmp/out.parquet", "not a file of a backup"),
    ],
)
def test_a_backup_that_is_not_whole_is_not_restored(data: Path, tmp_path: Path, kind: str, says: str) -> None:
    """Whatever was done to a backup, it is refused with what is wrong, and nothing is put into the target."""
    shutil.copytree(data, tmp_path / "elsewhere")
    backup(tmp_path / "elsewhere", tmp_path / "backup")
    damage(kind, tmp_path / "backup")
    (tmp_path / "again").mkdir()
    with pytest.raises(FootpathError, match=says) as refused:
        restore(tmp_path / "backup", tmp_path / "again")
    assert isinstance(refused.value, SchemaUnknown if kind == "newer" else CommandFailed)
    assert not list((tmp_path / "again").iterdir())


def test_a_folder_that_is_not_empty_is_not_restored_to(data: Path, tmp_path: Path) -> None:
    """A restore over a folder that holds something, or a file, is refused, and changes nothing there."""
    backup(data, tmp_path / "backup")
    before = files(data)
    (tmp_path / "file").touch()
    for target in (data, tmp_path / "file"):
        with pytest.raises(CommandFailed, match="is not empty"):
            restore(tmp_path / "backup", target)
    assert files(data) == before
