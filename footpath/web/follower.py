"""One who follows what comes in: what is wanted, and a bounded buffer of what waits to be taken.

It neither reads nor sends.
"""

import asyncio
import contextlib

from footpath.errors import ReadFailed
from footpath.find.base import Line, Wanted
from footpath.query import Query

BUFFER = 10_000  # lines that wait for a follower: 3 MB of usual ones
BUFFER_BYTES = 4 << 20


class Follower:
    """Belongs to the event loop."""

    def __init__(self, query: Query) -> None:
        """Follow what matches the ids and types of a query."""
        self.query = query
        self.wanted = Wanted(
            () if query.user_id is None else (query.user_id,),
            () if query.session_id is None or query.user_id is not None else (query.session_id,),
        )
        """Whose actions have to be looked at for it."""
        self._types = frozenset(query.types)
        self._wants_all = not self._types and query.user_id is None and query.session_id is None
        self._waiting: list[Line] = []
        self._bytes = 0
        self._came = asyncio.Event()
        self._fault: BaseException | None = None
        self.is_in = asyncio.Event()
        """Whether what is new comes into the buffer."""
        self.joined = 0  # the seq after which all of it does

    def chosen(self, lines: list[Line]) -> list[Line]:
        """Those of some lines that are followed; the same list if all are."""
        if self._wants_all:
            return lines
        user_id, session_id, types = self.query.user_id, self.query.session_id, self._types
        return [
            line
            for line in lines
            if user_id in {None, line.user_id}
            and session_id in {None, line.session_id}
            and (not types or line.type in types)
        ]

    def offer(self, lines: list[Line], size: int) -> None:
        """Take those of some lines, of `size` bytes, that are wanted; one too many, and the follower is out."""
        if not self.is_in.is_set() or not (chosen := self.chosen(lines)):
            return
        self._waiting = self._waiting + chosen if self._waiting else chosen  # a list of others, too: it is not changed
        self._bytes += size if chosen is lines else size_of(chosen)
        if len(self._waiting) > BUFFER or self._bytes > BUFFER_BYTES:
            self.is_in.clear()
            self._waiting = []
        self._came.set()

    def join(self, seq: int) -> None:
        """Begin, or begin anew, with an empty buffer."""
        self.joined, self._waiting, self._bytes = seq, [], 0
        self._came.clear()
        self.is_in.set()

    def fail(self, fault: BaseException) -> None:
        """End it: nothing will come any more."""
        self._fault = fault
        self.is_in.set()
        self._came.set()

    async def take(self, timeout: float) -> list[Line]:  # noqa: ASYNC109 - nothing is wrong when none comes
        """What waits, as soon as something does; nothing after `timeout` seconds, or when it is out."""
        if not self._came.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._came.wait()
        if self._fault is not None:
            raise ReadFailed("what is new cannot be read any more; ask again") from self._fault
        self._came.clear()
        taken, self._waiting, self._bytes = self._waiting, [], 0
        return taken


def size_of(lines: list[Line]) -> int:
    """Characters of some lines."""
    return sum([len(line.text) for line in lines])
