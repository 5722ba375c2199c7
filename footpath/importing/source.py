"""A file, gzip or not, or standard input -> blocks of bytes, and how far it has been read."""

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from footpath.errors import CommandFailed

BLOCK = 1 << 20
STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Source:
    """One input. `name` is for people; `size` is None where it is not known."""

    def __init__(self, name: str, file: io.BufferedReader, size: int | None) -> None:
        """Read an open file from where it stands."""
        self.name = name
        self.size = size
        self._file = file

    def position(self) -> int:
        """How many bytes of the file, as it lies there, have been read; 0 where `size` is not known."""
        return 0 if self.size is None else self._file.raw.tell()

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, unpacked if they are gzip.

        Raises:
            CommandFailed: it cannot be read, or not further.
        """
        beginning = self._file.peek(2)[:2]
        if beginning in _UTF_16:
            raise CommandFailed(f"{self.name} is UTF-16; turn it into UTF-8 first, for example with iconv")
        read = gzip.GzipFile(fileobj=self._file).read1 if beginning == _GZIP_MAGIC else self._file.read1
        try:
            while block := read(BLOCK):
                yield block
        except (OSError, EOFError, zlib.error) as error:
            raise CommandFailed(f"{self.name} cannot be read to its end: {error}") from error


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """Open a file, or standard input for `-`.

    Raises:
        CommandFailed: it cannot be opened.
    """
    with ExitStack() as stack:
        if path == STDIN:
            file = stack.enter_context(os.fdopen(sys.stdin.fileno(), "rb", closefd=False))
            yield Source("standard input", file, None)
            return
        try:
            file = stack.enter_context(Path(path).open("rb"))
            about = os.fstat(file.fileno())
        except OSError as error:
            raise CommandFailed(f"cannot read {path}: {error.strerror or error}") from error
        yield Source(path, file, about.st_size if stat.S_ISREG(about.st_mode) else None)
