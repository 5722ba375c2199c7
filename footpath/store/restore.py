"""Restore: a backup becomes a data folder, after every byte was compared with the manifest.

Everything is copied beside its place and put there at the end, the database last: without it a folder is no data
folder. Nothing is linked, so that what happens to the one cannot happen to the other.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from footpath.database import FILE_NAME, SCHEMA_VERSION
from footpath.errors import CommandFailed, SchemaUnknown
from footpath.store import manifest
from footpath.store.manifest import File, Manifest
from footpath.store.parquet import sync_folder


def restore(backup: Path, folder: Path, tell: Callable[[int, int], object] = lambda *_: None) -> Manifest:
    """Make a data folder of a backup; its manifest.

    Args:
        backup: what `footpath backup` made.
        folder: the data folder to make; it may exist if it is empty.
        tell: called with the files that are done and the number of all of them.

    Raises:
        CommandFailed: the backup is not whole, or the folder is not empty or cannot be written.
        SchemaUnknown: a newer footpath made the backup.
    """
    wanted = manifest.read(backup)
    if wanted.schema > SCHEMA_VERSION:
        raise SchemaUnknown(
            f"{backup} was made by a newer footpath ({wanted.footpath}, schema {wanted.schema}; this one knows"
            f" {SCHEMA_VERSION}): upgrade with pip install --upgrade footpath"
        )
    if FILE_NAME not in wanted.files:
        raise CommandFailed(f"{backup} is not whole: its {manifest.NAME} names no {FILE_NAME}")
    stage = folder / "restore.partial"
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandFailed(f"{folder} is not empty; name a folder that is not there yet with --data")
        (stage / "parts").mkdir(parents=True)
        try:
            for place, (name, file) in enumerate(sorted(wanted.files.items()), 1):
                _fetch(backup / name, stage / _checked(name), file)
                tell(place, len(wanted.files))
            sync_folder(stage / "parts")
            (stage / "parts").rename(folder / "parts")
            (stage / FILE_NAME).rename(folder / FILE_NAME)
            sync_folder(folder)
        finally:
            shutil.rmtree(stage)
    except OSError as error:
        raise CommandFailed(f"cannot write {folder}: {error.strerror or error}") from error
    return wanted


def _checked(name: str) -> str:
    """A name that stays inside of the folder: a manifest may come from anywhere."""
    place = Path(name)
    if name != FILE_NAME and (place.parent != Path("parts") or place.suffix != ".parquet" or "\\" in name):
        raise CommandFailed(f"the backup's {manifest.NAME} names {name!r}, which is not a file of a backup")
    return name


def _fetch(source: Path, target: Path, wanted: File) -> None:
    try:
        held = manifest.copy(source, target)
    except FileNotFoundError as error:
        raise CommandFailed(f"{source} is missing: the backup is not whole, and nothing was restored") from error
    if held != wanted:
        raise CommandFailed(
            f"{source} is not what was backed up ({held.bytes} bytes, {wanted.bytes} expected; sha256"
            f" {'equal' if held.sha256 == wanted.sha256 else 'differs'}): nothing was restored"
        )
