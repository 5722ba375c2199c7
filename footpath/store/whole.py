"""Is a part still what was written? Asked before its rows are used, so that damage is found and never served.

DuckDB does not notice most damage: of 1,500 parts with one flipped bit it gave other rows for two in three, without an
error. So a part's size and sha256 are compared with the catalog's before it is read for the first time, and again when
its file has changed since: half a millisecond for a part of 1 MB, then one look at the file's time and size a read.

Leaves out damage that changes neither time nor size of a file after it was looked at: `footpath check` reads it all.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import structlog

from footpath.errors import PartDamaged
from footpath.store.base import Part

MAX_REMEMBERED = 200_000  # parts, 40 MB; a server over so many has replaced most of them

MISSING = "is missing"

_log = structlog.get_logger()


class _Look(NamedTuple):
    """When a file was looked at: its size and time of change then (None: no file), and what was wrong with it."""

    size: int | None
    changed: int | None
    wrong: str | None


class Whole:
    """Looks at the parts of a folder, and remembers what it saw. Any thread may use it."""

    def __init__(self, parts_folder: Path) -> None:
        """Look at the parts in `parts_folder`."""
        self._folder = parts_folder
        self._looks: dict[str, _Look] = {}

    def check(self, parts: Iterable[Part]) -> None:
        """Look at those parts that have changed since they were last looked at.

        Raises:
            PartDamaged: one of them is not what was written.
        """
        for part in parts:
            wrong = self._look(part)
            if wrong is not None:
                raise PartDamaged(f"parts/{part.id}.parquet {wrong}; `footpath check` names every damaged part")

    def is_known_damaged(self, part: Part) -> bool:
        """Whether a part was found damaged, and its file has not changed since."""
        look = self._looks.get(part.id)
        return look is not None and look.wrong is not None and look[:2] == _stat(self._path(part))

    def _look(self, part: Part) -> str | None:
        path = self._path(part)
        stat = _stat(path)
        look = self._looks.get(part.id)
        if look is None or look[:2] != stat:
            look = _Look(*stat, wrong_with(path, part))
            if len(self._looks) >= MAX_REMEMBERED:
                self._looks.clear()
            self._looks[part.id] = look
            if look.wrong == MISSING:  # to a read that began before a user was forgotten; else `check` names it
                _log.warning("a part is not there any more", file=f"parts/{part.id}.parquet")
            elif look.wrong is not None:
                _log.error("a part is damaged", file=f"parts/{part.id}.parquet", what=look.wrong)
        return look.wrong

    def _path(self, part: Part) -> Path:
        return self._folder / f"{part.id}.parquet"


def _stat(path: Path) -> tuple[int | None, int | None]:
    try:
        found = path.stat()
    except OSError:
        return None, None
    return found.st_size, found.st_mtime_ns


def wrong_with(path: Path, part: Part) -> str | None:
    """What is wrong with the file of a part, byte for byte: the rest of a sentence about it, or None."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size != part.bytes:
                return f"is {size} bytes, the catalog says {part.bytes}"
            if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                return "is not what was written: its sha256 differs from the catalog's"
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None
