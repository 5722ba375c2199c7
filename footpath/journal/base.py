"""What every journal promises, whatever keeps it."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from footpath.action import Entry


class Once(NamedTuple):
    """An Idempotency-Key with the sha256 of its body and the answer that the request gets when it is kept."""

    key: str
    digest: bytes
    answer: bytes


class Journal(Protocol):
    """Keeps entries.

    The hard cases:

    - absent: nothing to append (no entries) is kept at once, but a `once` with it is remembered all the same;
    - twice: a `once` whose key was kept before with the same digest appends nothing and gives the earlier answer, also
      when both come in the same moment or with a restart between them; with another digest it raises KeyReused;
    - half failed: an append is kept whole or not at all;
    - too much: JournalFull, and nothing is kept;
    - failed: JournalFailed, also for appends that come before the journal has mended itself. What failed may still
      be found later, as with any write whose answer was lost: it was never said to be kept.
    """

    def append(self, entries: Sequence[Entry], once: Once | None = None) -> asyncio.Future[bytes | None]:
        """Return when the entries are durable: None, or the earlier answer if `once` was kept before."""
        ...

    def trouble(self) -> str | None:
        """Why appends are refused just now; None if they are not."""
        ...

    async def close(self) -> None:
        """Finish what was appended, then let go of everything. Nothing may be appended afterwards."""
        ...
