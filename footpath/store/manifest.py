"""What a backup says of itself: its files with their sizes and sha256. A folder without it is no backup.

    BACKUP/
      backup.json             the manifest, written last
      footpath.db             journal, catalog and all else, of one moment
      parts/<id>.parquet      exactly the parts that were live in that moment

A backup has the shape of a data folder, so `footpath check`, `find`, `sql` and `export` work on it.
"""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from msgspec import MsgspecError, Struct, json

from footpath.errors import CommandFailed
from footpath.store.parquet import sync_folder

NAME = "backup.json"
_STEP = 1 << 20


class File(Struct):
    """A file's size and content."""

    bytes: int
    sha256: str


class Manifest(Struct, kw_only=True):
    """Everything that a backup holds; `files` by their path from its folder, with slashes."""

    footpath: str = version("footpath")
    schema: int
    made_at: str
    actions: int
    files: dict[str, File]

    def write(self, folder: Path) -> None:
        """Write it into a folder, durable."""
        with (folder / NAME).open("wb") as file:
            file.write(json.format(json.encode(self), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)


def read(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        CommandFailed: the folder is no backup.
    """
    try:
        return json.decode((folder / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise CommandFailed(
            f"{folder} is no backup: it holds no {NAME}; name a folder that `footpath backup` made"
        ) from error
    except (OSError, MsgspecError) as error:
        raise CommandFailed(f"{folder / NAME} cannot be read: {error}") from error


def copy(source: Path, target: Path) -> File:
    """Copy a file, durable; what was read."""
    digest = hashlib.sha256()
    size = 0
    with source.open("rb") as old, target.open("xb") as new:
        while piece := old.read(_STEP):
            digest.update(piece)
            size += len(piece)
            new.write(piece)
        new.flush()
        os.fsync(new.fileno())
    return File(size, digest.hexdigest())


def look(path: Path) -> File:
    """What a file holds."""
    with path.open("rb") as file:
        return File(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
