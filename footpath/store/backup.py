"""Backup: a data folder as it is at one moment, while a server writes on.

moment     One SQLite read transaction gives a copy of the database and the list of the parts that are live in it.
parts      They never change, so a hard link is a backup of one: it takes no space, and outlives the original. On
           another disk they are copied, except those that an earlier backup there (`previous`) holds already.
gone       A part that a merge or a forgetting removes before it was copied makes the moment unusable: a new one is
           taken, and only what it lacks is copied. So nothing has to hold the keeper back.
whole      Everything is put together beside the final name, synced, and renamed to it at the end.

Leaves out whether linked parts are undamaged: reading all of them would cost as much as a copy. `footpath check` on the
backup does that; what is copied is compared with the catalog on the way.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import apsw

from footpath import database
from footpath.errors import CommandFailed, PartDamaged
from footpath.store import manifest
from footpath.store.base import Part
from footpath.store.local import matching
from footpath.store.manifest import File, Manifest
from footpath.store.parquet import sync_folder

MOMENTS = 20  # that may be tried: each has to copy only what the one before lacks, so two or three will do


class Done(NamedTuple):
    """What a backup holds, and how many of its parts and bytes had to be copied."""

    actions: int
    parts: int
    copied_parts: int
    copied_bytes: int


def backup(
    folder: Path, target: Path, previous: Path | None = None, tell: Callable[[int, int], object] = lambda *_: None
) -> Done:
    """Back a data folder up; a server may be running on it.

    Args:
        folder: the data folder.
        target: the folder to make; it may exist if it is empty.
        previous: an earlier backup on the target's disk, whose parts are linked instead of copied.
        tell: called with the parts that are done and the number of all of them.

    Raises:
        CommandFailed: the target is not empty, cannot be written, or is inside of the data folder.
        PartDamaged: a part is not what was written.
    """
    with closing(database.connect(folder, readonly=True)) as connection, _staged(folder, target) as stage:
        copier = _Copier(folder / "parts", stage / "parts", None if previous is None else previous / "parts")
        for _ in range(MOMENTS):
            parts = _copy_database(connection, stage / database.FILE_NAME)
            if copier.fetch(parts, tell):
                break
        else:
            raise CommandFailed(f"parts are removed faster than they can be copied to {target}; try again later")
        files = {database.FILE_NAME: manifest.look(stage / database.FILE_NAME)}
        files |= {f"parts/{part.id}.parquet": File(part.bytes, part.sha256) for part in parts}
        actions, schema = _measure(stage / database.FILE_NAME, parts)
        sync_folder(stage / "parts")
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        Manifest(schema=schema, made_at=made_at, actions=actions, files=files).write(stage)
    return Done(actions, len(parts), copier.copied_parts, copier.copied_bytes)


@contextmanager
def _staged(folder: Path, target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its name when the block ends well, and goes when it does not."""
    stage = target.with_name(f"{target.name}.partial")
    if target.resolve().is_relative_to(folder.resolve()):
        raise CommandFailed(f"{target} is inside of the data folder {folder}: name a folder elsewhere")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise CommandFailed(f"{target} is not empty; name a folder that is not there yet")
        if target.is_mount():
            raise CommandFailed(f"{target} is where a disk is mounted; name a folder in it, such as {target / 'first'}")
        target.parent.mkdir(parents=True, exist_ok=True)
        stage.mkdir()
    except FileExistsError as error:
        raise CommandFailed(
            f"{stage} is there: another backup is under way, or one was interrupted; if so, remove it and try again"
        ) from error
    except OSError as error:
        raise CommandFailed(f"cannot make {target}: {error.strerror or error}") from error
    try:
        (stage / "parts").mkdir()
        yield stage
        if target.exists():
            target.rmdir()  # empty; Windows renames onto nothing that exists
        stage.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise CommandFailed(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if stage.exists():
            shutil.rmtree(stage)


def _copy_database(connection: apsw.Connection, path: Path) -> list[Part]:
    """Copy the database of one moment; the parts that are live in it."""
    path.unlink(missing_ok=True)
    parts: list[Part] = []
    with closing(apsw.Connection(str(path))) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
        try:
            with database.snapshot(connection):
                parts = matching(connection)  # the first read: from here on the transaction sees one moment
                with copy.backup("main", connection, "main") as running:
                    running.step()
            said = [str(row[0]) for row in copy.execute("PRAGMA quick_check(1)")]
            if said == ["ok"]:
                copy.execute("PRAGMA journal_mode = DELETE; VACUUM")  # one file, and nothing in it that was deleted
        except (apsw.CorruptError, apsw.NotADBError) as error:
            said = [str(error)]
        except apsw.Error as error:
            raise CommandFailed(f"the database could not be copied: {error}") from error
    if said != ["ok"]:
        raise PartDamaged(f"the database is damaged, and was not backed up: {said[0]}; `footpath check` says more")
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return parts


def _measure(path: Path, parts: list[Part]) -> tuple[int, int]:
    """All actions of a copied database, and its schema."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as copy:
        seq, flushed = database.one(copy, "SELECT seq, flushed FROM state")
        (schema,) = database.one(copy, "PRAGMA user_version")
    return seq - flushed + sum(part.rows for part in parts), schema


class _Copier:
    """Brings parts into a folder, each once."""

    def __init__(self, source: Path, target: Path, previous: Path | None) -> None:
        self._source = source
        self._target = target
        self._previous = previous
        self._held: set[str] = set()
        self.copied_parts = 0
        self.copied_bytes = 0

    def fetch(self, parts: list[Part], tell: Callable[[int, int], object]) -> bool:
        """Make the folder hold these parts and no others; False if one of them has gone."""
        for name in self._held - {part.id for part in parts}:
            (self._target / f"{name}.parquet").unlink()
            self._held.remove(name)
        for part in parts:
            if part.id not in self._held:
                try:
                    self._bring(part)
                except FileNotFoundError:
                    return False
                self._held.add(part.id)
            tell(len(self._held), len(parts))
        return True

    def _bring(self, part: Part) -> None:
        name = f"{part.id}.parquet"
        if self._previous is not None and _link(self._previous / name, self._target / name, part.bytes):
            return
        if _link(self._source / name, self._target / name, part.bytes):
            return
        try:
            held = manifest.copy(self._source / name, self._target / name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CommandFailed(f"cannot copy parts/{name}: {error.strerror or error}") from error
        if held != File(part.bytes, part.sha256):
            raise PartDamaged(f"parts/{name} is not what was written, and was not backed up; see `footpath check`")
        self.copied_parts += 1
        self.copied_bytes += part.bytes


_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What says that a file cannot be linked here, and must be copied: another disk, or one without links."""


def _link(source: Path, target: Path, size: int) -> bool:
    """Link a file of this size; False if it must be copied."""
    try:
        if source.stat().st_size != size:
            return False
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS or getattr(error, "winerror", None):
            return False
        raise
    return True
