"""Found actions -> files: one file of any format, or one NDJSON file a session. What `footpath export` does.

A file or folder appears under its name when it is whole: until then it has a temporary one beside it.

A session's file is `<userId>/<sessionId>.ndjson` with both percent-encoded, so that no id can name another folder, and
`name_of` keeps names apart and short enough for any file system. Each line is an action with its ids, so it can be
imported again. On a file system that does not tell case apart, ids that differ in case only are refused.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from msgspec.json import encode

from footpath.errors import CommandFailed
from footpath.find.answer import stream
from footpath.find.base import Find, Shape, Snapshot
from footpath.query import Query

FORMATS = ("ndjson", "csv", "json", "parquet", "arrow")
MAX_NAME = 200  # bytes of an encoded id in a file name: 255 is the limit, `.ndjson` and a temporary name come on top
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_KEPT = 120  # bytes of a longer one that stay readable before its hash


class Counted:
    """A Find that counts the actions it gives."""

    def __init__(self, find: Find) -> None:
        """Count what `find` gives."""
        self._find = find
        self.actions = 0

    def rows(self, query: Query, shape: Shape) -> Snapshot:
        """See `Find.rows`."""
        last_seq, chunks = self._find.rows(query, shape)
        return Snapshot(last_seq, self._counted(chunks))

    def columns(self, query: Query) -> Iterator[Any]:
        """See `Find.columns`."""
        for relation in self._find.columns(query):
            self.actions += relation.count("*").fetchall()[0][0]
            yield relation

    def _counted(self, chunks: Iterator[list[tuple[Any, ...]]]) -> Iterator[list[tuple[Any, ...]]]:
        for rows in chunks:
            self.actions += len(rows)
            yield rows


def write(find: Find, query: Query, form: str, out: IO[bytes]) -> int:
    """Write everything that a query finds in one of the `FORMATS`; how many actions."""
    counted = Counted(find)
    for piece in stream(counted, query, form):
        out.write(piece)
    return counted.actions


def write_file(find: Find, query: Query, form: str, path: Path) -> int:
    """Like `write`, to a file that appears when it is whole.

    Raises:
        CommandFailed: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")
    try:
        try:
            with temporary.open("wb") as out:
                actions = write(find, query, form, out)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror or error}") from error
    return actions


def write_sessions(find: Find, query: Query, folder: Path) -> tuple[int, int]:
    """Write one file a session into a folder that is made for it; how many sessions and actions.

    Raises:
        CommandFailed: the folder is there already and holds something, or cannot be written.
    """
    temporary = folder.with_name(f".{folder.name[:200]}.{os.getpid()}.partial")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandFailed(f"{folder} is there already; name a folder that is empty or does not exist")
        temporary.mkdir(parents=True)
        try:
            counts = _write_sessions(find, query, temporary)
            if folder.exists():
                folder.rmdir()
            temporary.replace(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise CommandFailed(f"cannot write the folder {folder}: {error.strerror or error}") from error
    return counts


def _write_sessions(find: Find, query: Query, folder: Path) -> tuple[int, int]:
    sessions = actions = 0
    now: tuple[str, str] | None = None
    head = ""
    with contextlib.ExitStack() as opened:
        out: IO[bytes] | None = None
        for rows in find.rows(query, Shape.PATHS).rows:
            for user_id, session_id, action in rows:
                if out is None or now != (user_id, session_id):
                    opened.close()
                    now = user_id, session_id
                    head = f'{{"userId":{encode(user_id).decode()},"sessionId":{encode(session_id).decode()},'
                    out = opened.enter_context(_begin(folder / name_of(user_id), session_id))
                    sessions += 1
                out.write(f"{head}{action[1:]}\n".encode())
            actions += len(rows)
    return sessions, actions


def _begin(folder: Path, session_id: str) -> IO[bytes]:
    folder.mkdir(exist_ok=True)
    try:
        return (folder / f"{name_of(session_id)}.ndjson").open("xb")
    except FileExistsError as error:
        raise CommandFailed(
            f"two sessions have names that this file system takes for one: {folder.name}/{name_of(session_id)};"
            " export to one file with --out instead"
        ) from error


def name_of(text: str) -> str:
    """A file name for an id: percent-encoded, all but letters, digits, `-`, `_`, `~` and inner dots.

    A dot in front is encoded too, so that `.` and `..` are names like any other and no file is hidden; and so is one at
    the end, which Windows drops, and the first letter of the names that it keeps for devices. Where that is over
    `MAX_NAME` bytes, its beginning stands with `=` (which no encoded id holds) and the sha256 of the whole id.
    """
    name = quote(text, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if name.endswith("."):
        name = f"{name[:-1]}%2E"
    if _DEVICE.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) <= MAX_NAME:
        return name
    kept = name[:_KEPT]
    while len(kept) - kept.rfind("%") in {1, 2} and "%" in kept:  # do not end inside of an escape
        kept = kept[:-1]
    return f"{kept}={hashlib.sha256(text.encode()).hexdigest()}"
