"""Where a ring gets its keys from: the table of a data folder, or a file of hashed keys for servers without a folder.

The file is what `footpath key export` writes, a JSON object a line. It holds hashes, so who reads it cannot use a key;
who can write it can let himself in. Its version is its time and size, so it is read again when it was put there anew.
"""

from pathlib import Path
from typing import Protocol

import apsw
from msgspec import MsgspecError, Struct, json, structs

from footpath import database
from footpath.errors import BadSetting, ReadFailed
from footpath.keys import table
from footpath.keys.key import Key

Rows = list[tuple[Key, bytes]]
"""Keys, each with its digest."""


class KeySource(Protocol):
    """Gives keys.

    The hard cases: absent or damaged: ReadFailed, and what was given before stays true; empty: no keys were ever made.
    """

    def version(self) -> int:
        """A number that moves when the keys have changed."""
        ...

    def load(self) -> tuple[int, Rows]:
        """The version, and all keys as they are at one moment."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class TableKeys:
    """The keys of a data folder."""

    def __init__(self, folder: Path) -> None:
        """Open one that `database.prepare` has seen."""
        self.connection = database.connect(folder, readonly=True)

    def version(self) -> int:
        """See `KeySource.version`."""
        try:
            return table.version(self.connection)
        except apsw.Error as error:
            raise _unreadable(error) from error

    def load(self) -> tuple[int, Rows]:
        """See `KeySource.load`; after the first time it waits for no lock, as it runs in the event loop's thread."""
        try:
            found = table.load(self.connection)
        except apsw.Error as error:
            raise _unreadable(error) from error
        self.connection.set_busy_timeout(0)
        return found

    def close(self) -> None:
        """See `KeySource.close`."""
        self.connection.close()


class NoKeys:
    """No keys: then only this machine is let in."""

    def version(self) -> int:
        """See `KeySource.version`."""
        return 0

    def load(self) -> tuple[int, Rows]:
        """See `KeySource.load`."""
        return 0, []

    def close(self) -> None:
        """See `KeySource.close`."""


class Line(Struct, forbid_unknown_fields=True):
    """A key in the file: what `Key` says of it, and the sha256 in hex that stands for it."""

    key: Key
    sha256: str


class FileKeys:
    """The keys of a file."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            BadSetting: it is not there, or not such a file.
        """
        self._path = path
        try:
            self.load()
        except ReadFailed as error:
            raise BadSetting(f"{error}: write it with `footpath key export --data FOLDER > {path}`") from error

    def version(self) -> int:
        """See `KeySource.version`."""
        try:
            told = self._path.stat()
        except OSError as error:
            raise _unreadable(error) from error
        return hash((told.st_mtime_ns, told.st_size, told.st_ino))

    def load(self) -> tuple[int, Rows]:
        """See `KeySource.load`."""
        version = self.version()
        try:
            lines = [json.decode(line, type=Line) for line in self._path.read_bytes().splitlines() if line.strip()]
            return version, [(line.key, bytes.fromhex(line.sha256)) for line in lines]
        except (OSError, MsgspecError, ValueError) as error:
            raise _unreadable(error, self._path) from error

    def close(self) -> None:
        """See `KeySource.close`."""


def exported(rows: Rows) -> bytes:
    """Keys as the file has them."""
    return b"".join(json.encode({"key": structs.asdict(key), "sha256": at.hex()}) + b"\n" for key, at in rows)


def _unreadable(error: Exception, path: Path | None = None) -> ReadFailed:
    what = "the keys" if path is None else f"the keys in {path}"
    return ReadFailed(f"{what} could not be read: {type(error).__name__}")
