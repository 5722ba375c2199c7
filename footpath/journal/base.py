"""What every journal promises, whatever keeps it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from footpath.action import Entry, RejectRow


class Kept(NamedTuple):
    """What became of an append.

    `earlier` is the answer that was kept with its `once` before: then nothing of it was appended now. `duplicates` is
    how many actions were not appended because their ids were there already. `refused` holds the places of the entries
    that were not appended because their users are forgotten.
    """

    earlier: bytes | None = None
    duplicates: int = 0
    refused: frozenset[int] = frozenset()


ALL_NEW = Kept()
"""Everything was appended."""


class Once(NamedTuple):
    """An Idempotency-Key with the sha256 of its body, and what forms the answer that the request gets when it is kept.

    The answer is kept in the same transaction, so that a request which comes again is told the same duplicates.
    `answer` must be pure: it is called in another thread.
    """

    key: str
    digest: bytes
    answer: Callable[[Kept], bytes]


class Journal(Protocol):
    """Keeps entries.

    The hard cases:

    - absent: nothing to append (neither entries nor rejects) is kept at once, but a `once` with it is remembered all
      the same;
    - twice: a `once` whose key was kept before with the same digest appends nothing and gives the earlier answer, also
      when both come in the same moment or with a restart between them; with another digest it raises KeyReused;
    - the same action twice: one whose user and id were kept before is left out and counted in `duplicates`, also when
      both come in one append, in the same moment, through two openings of the journal, or with a restart or crash
      between them; an action without an id is never a duplicate;
    - half failed: an append is kept whole or not at all;
    - forgotten: of a user who has a tombstone at the moment of the commit neither entries nor rejects are kept;
    - too much: JournalFull, and nothing is kept;
    - failed: JournalFailed, also for appends that come before the journal has mended itself. What failed may still
      be found later, as with any write whose answer was lost: it was never said to be kept.
    """

    def append(
        self, entries: Sequence[Entry], once: Once | None = None, rejects: Sequence[RejectRow] = ()
    ) -> asyncio.Future[Kept]:
        """Return when the entries and rejects are durable, or were before: what became of them.

        Of rejects the newest are kept, as many as there is room for.
        """
        ...

    def trouble(self) -> str | None:
        """Why appends are refused just now; None if they are not."""
        ...

    async def close(self) -> None:
        """Finish what was appended, then let go of everything. Nothing may be appended afterwards."""
        ...
