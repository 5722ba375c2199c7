"""Requests that no server has taken yet, as files: they outlive the process that wrote them.

A file is one request: its name holds the time, the number of actions and the Idempotency-Key, its content is the body.
So whoever finds it sends the very same request, and what had been taken before is not stored twice while the server
remembers keys (`idempotency_hours`). Several processes may share a folder: each writes, and the one that holds its
lock sends. What a server refuses for good is kept beside, as `.refused`, for a person to look at.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from footpath.errors import BadSetting


class Spooled(NamedTuple):
    """A request in a spool."""

    file: Path
    number: int
    key: str


class Spool:
    """A folder of requests, of `max_bytes` at most."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open or make the folder.

        Raises:
            BadSetting: it cannot be made or written.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._folder.joinpath("lock").open("ab"):
                pass
        except OSError as error:
            raise BadSetting(f"cannot write the spool {folder}: {error.strerror or error}; name another") from error
        self._lock = FileLock(folder / "lock")

    def holds(self) -> bool:
        """Whether any request is in it."""
        return bool(self._files())

    def put(self, body: bytes, number: int, key: str) -> bool:
        """Keep a request; durable when this returns True. False when there is no room for it.

        Raises:
            OSError: it cannot be written.
        """
        if sum(file.stat().st_size for file in self._files()) + len(body) > self._max_bytes:
            return False
        name = f"{time.time_ns():020}-{number}-{key}"
        unready = self._folder / f"{name}.unready"
        try:
            with unready.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):  # the first error is the one to tell; what is left is swept by nobody but harmless
                unready.unlink(missing_ok=True)
            raise
        unready.rename(self._folder / f"{name}.json")
        if os.name == "posix":  # elsewhere folders cannot be opened, and need not be
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return True

    @contextmanager
    def sending(self) -> Iterator[list[Spooled]]:
        """The requests, oldest first, for the one process that may send them now; none for another."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            yield []
            return
        try:
            yield [Spooled(file, int(number), key) for file in self._files() for _, number, key in [_named(file)]]
        finally:
            self._lock.release()

    def done(self, spooled: Spooled) -> None:
        """The server has it."""
        spooled.file.unlink(missing_ok=True)

    def refused(self, spooled: Spooled) -> Path:
        """Put aside what the server will never take; where it is now."""
        return spooled.file.rename(spooled.file.with_suffix(".refused"))

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*-*-*.json"))


def _named(file: Path) -> list[str]:
    return file.stem.split("-", 2)
