"""Where the processes of a server put what they count, so that any of them can tell it all.

place      A file a process in `metrics/` of the data folder, `keeper` or `server-0`, `server-1`…; it belongs to whoever
           holds the lock beside it. A process that takes the place of one that has ended counts on from there, so that
           counters never fall while the server runs.
write      Over the same bytes of a file that was made full size: a full disk cannot stop it. With a length and a CRC in
           front: who reads in the middle of a write sees that, and reads again.
"""

import os
import shutil
import time
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from footpath.metrics.counts import Taken

FOLDER = "metrics"
SIZE = 32 * 1024  # bytes of a file: what a process counts takes some 5 KB
FRESH_SECONDS = 10.0  # a process that has written nothing for so long has ended
TRIES = 50
_HEAD = 16

KEEPER = "keeper"
SERVER = "server-"


def clear(folder: Path) -> None:
    """Forget what an earlier server of a data folder has counted."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    (folder / FOLDER).mkdir(exist_ok=True)


class Place:
    """The place of this process on the board."""

    def __init__(self, folder: Path, name: str) -> None:
        """Take the place with this name, or the first free one of those with a number behind it if it ends in `-`.

        Raises:
            OSError: it cannot be written.
        """
        self._folder = folder / FOLDER
        names = (f"{name}{number}" for number in count()) if name.endswith("-") else iter((name,))
        for self.name in names:
            lock = FileLock(self._folder / f"{self.name}.lock")
            try:
                lock.acquire(timeout=5 if self.name == name else 0)
            except Timeout:
                continue
            self._lock = lock
            break
        else:
            raise OSError(f"{self._folder / name} is held by another process")
        path = self._folder / self.name
        self.before = _read(path) or Taken()
        self.before.gauges.clear()
        if not path.exists() or path.stat().st_size != SIZE:
            path.write_bytes(bytes(SIZE))
        self._file = path.open("rb+", buffering=0)

    def write(self, taken: Taken) -> Taken:
        """Put this on the board, with what the place held before; that sum."""
        taken.add(self.before)
        taken.pid, taken.at = os.getpid(), time.time()
        text = msgspec.json.encode(taken)
        self._file.seek(0)
        self._file.write(b"%08x%08x%s" % (len(text), zlib.crc32(text), text))
        return taken

    def others(self) -> dict[str, Taken]:
        """What stands in every other place, by its name; gauges only of processes that still run."""
        return others(self._folder.parent, but=self.name)

    def close(self) -> None:
        """Leave the place as it is."""
        self._file.close()
        self._lock.release()


def others(folder: Path, but: str = "", clock: Callable[[], float] = time.time) -> dict[str, Taken]:
    """What stands on the board of a data folder, by the name of the place."""
    found = {}
    for path in sorted((folder / FOLDER).glob("*")):
        if path.name == but or path.suffix or (taken := _read(path)) is None:
            continue
        if clock() - taken.at > FRESH_SECONDS:
            taken.gauges.clear()
            taken.pid = 0
        found[path.name] = taken
    return found


def _read(path: Path) -> Taken | None:
    """What a file holds; None if that is nothing."""
    for _ in range(TRIES):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        head = content[:_HEAD]
        if not head.strip(b"\0"):
            return None
        text = content[_HEAD : _HEAD + int(head[:8], 16)] if b"\0" not in head else b""
        if head[8:] == b"%08x" % zlib.crc32(text):
            return msgspec.json.decode(text, type=Taken)
        time.sleep(0.001)
    return None
