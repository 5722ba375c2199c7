"""What comes in, to those who follow it: one reader of the journal for all followers of a process.

While somebody follows, `Feed` asks for what is new every `LOOK_SECONDS`, in one thread of its own, and hands each line
to those who want it: found by user or session, so that a thousand who follow one user each cost little. A follower has
a bounded buffer; one that does not keep up loses its buffer, not its place, and reads on from there as any read would,
until it has caught up. So nothing is skipped, and nobody waits for the slow.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

import structlog

from footpath.errors import Busy, ReadFailed
from footpath.find.base import Line, Lines, Newest
from footpath.query import Query
from footpath.web.readers import Readers

LOOK_SECONDS = 0.25  # between two looks at the journal: what a person takes for at once
BUFFER = 10_000  # lines that wait for a follower: 3 MB of usual ones
BUFFER_BYTES = 4 << 20
FRESH = 50_000  # actions that one who comes anew may have missed, for the journal to be looked through for them
AGAIN_SECONDS = 1.0  # after a read that failed, or found no place

T = TypeVar("T")
_EVERYTHING = Query()

_log = structlog.get_logger()


class Follower:
    """One who follows: what is wanted, and what waits."""

    def __init__(self, query: Query) -> None:
        """Follow what matches the ids and types of a query."""
        self.query = query
        self._types = frozenset(query.types)
        self._waiting: list[Line] = []
        self._bytes = 0
        self._came = asyncio.Event()
        self._fault: BaseException | None = None
        self.is_in = asyncio.Event()
        """Whether what is new comes into the buffer."""
        self.joined = 0  # the seq after which all of it does

    def wants(self, line: Line) -> bool:
        """Whether a line is one of those that are followed."""
        return (not self._types or line.type in self._types) and self.follows(line.user_id, line.session_id)

    def follows(self, user_id: str, session_id: str) -> bool:
        """Whether lines of a user and session may be."""
        query = self.query
        return query.user_id in {None, user_id} and query.session_id in {None, session_id}

    def offer(self, line: Line) -> None:
        """Take a line if it is wanted; one too many, and the follower is out."""
        if not self.is_in.is_set() or not self.wants(line):
            return
        self._waiting.append(line)
        self._bytes += len(line.text)
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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._came.wait()
        if self._fault is not None:
            raise ReadFailed("what is new cannot be read any more; ask again") from self._fault
        self._came.clear()
        taken, self._waiting, self._bytes = self._waiting, [], 0
        return taken


class Feed:
    """One a process. Belongs to the event loop."""

    def __init__(self, newest: Callable[[], Newest], readers: Readers, followers: int) -> None:
        """`newest` gives what to follow at the time it is needed; there may be so many followers at once."""
        self._newest = newest
        self._readers = readers
        self._most = followers
        self._followers = 0
        self._by_user: defaultdict[str, set[Follower]] = defaultdict(set)
        self._by_session: defaultdict[str, set[Follower]] = defaultdict(set)
        self._others: set[Follower] = set()
        self._looking: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follow")
        self._joining: list[Follower] = []
        self._seq = 0  # everything up to it was handed on

    def gauges(self) -> dict[str, float]:
        """Followers, just now."""
        return {"footpath_tails": self._followers}

    def follow(self, query: Query, after: int | None, beat: float) -> AsyncGenerator[Lines]:
        """The actions that match, in the order of seq, for ever; no lines at first, and where none came for a while.

        Args:
            query: with ids and types only.
            after: the seq to go on after; from now on if it is None.
            beat: that while, in seconds.

        Raises:
            Busy: too many follow already.
            ReadFailed, later: nothing can be read any more. What may pass is waited out.
        """
        if self._followers >= self._most:
            raise Busy(f"{self._followers} follow already; ask again in a while")
        self._newest()  # where there is none, that is said now
        return self._follow(query, after, beat)

    async def _follow(self, query: Query, after: int | None, beat: float) -> AsyncGenerator[Lines]:
        self._followers += 1
        follower = Follower(query)
        place = self._place(query)
        place.add(follower)
        self._joining.append(follower)
        try:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
                self._looking.add_done_callback(self._looked)
            now = await self._ask(self._newest().last_seq)
            seq = now if after is None else min(after, now)
            yield Lines([], seq)
            while True:
                await follower.is_in.wait()
                while seq < follower.joined:
                    lines = await self._late(follower, seq)
                    yield lines
                    seq = lines.until
                while follower.is_in.is_set():
                    seen = self._seq
                    taken = await follower.take(beat)
                    if taken or follower.is_in.is_set():
                        seq = taken[-1].seq if taken else max(seq, seen)
                        yield Lines(taken, seq)
                self._joining.append(follower)
        finally:
            place.discard(follower)
            self._followers -= 1
            if self._followers == 0 and self._looking is not None:
                self._looking.cancel()
                self._looking = None
                self._by_user.clear()
                self._by_session.clear()
                self._joining.clear()

    def _place(self, query: Query) -> set[Follower]:
        if query.user_id is not None:
            return self._by_user[query.user_id]
        if query.session_id is not None:
            return self._by_session[query.session_id]
        return self._others

    async def _late(self, follower: Follower, after: int) -> Lines:
        """What a follower has missed, as much as is given at once: waits for a place, and for the store to be well."""
        newest, until = self._newest(), follower.joined
        while True:
            try:
                if until - after <= FRESH:
                    fresh = await self._ask(lambda: newest.fresh(after, follower.follows))
                    if fresh is not None:
                        lines = [line for line in fresh.lines if line.seq <= until and follower.wants(line)]
                        return Lines(lines, min(fresh.until, until))
                async with self._readers.place():
                    return await asyncio.wrap_future(self._readers.start(newest.since, follower.query, after, until))
            except (Busy, ReadFailed) as error:
                _log.warning("one who follows waits to catch up", reason=str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _look(self) -> None:
        """Hand on what is new, again and again."""
        loop = asyncio.get_running_loop()
        is_new = True
        while True:
            began = loop.time()
            try:
                if is_new:
                    self._seq = await self._ask(self._newest().last_seq)
                    is_new = False
                for follower in self._joining:  # before it is asked: whose batches are passed over is decided there
                    follower.join(self._seq)
                self._joining.clear()
                found = await self._ask(self._new)
            except ReadFailed as error:
                _log.warning("those who follow wait", reason=str(error))
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            for line in found.lines:
                self._hand_on(line)
            is_behind = found.until > self._seq and loop.time() - began > LOOK_SECONDS
            self._seq = max(self._seq, found.until)
            await asyncio.sleep(0 if is_behind else max(0.0, began + LOOK_SECONDS - loop.time()))

    def _new(self) -> Lines:
        """What came since the last look; out of parts, where a flush was quicker."""
        newest = self._newest()
        found = newest.fresh(self._seq, self._wanted)
        return newest.since(_EVERYTHING, self._seq, newest.last_seq()) if found is None else found

    def _looked(self, looking: asyncio.Task[None]) -> None:
        """A fault of our own ends all who follow, and is told; they may come again."""
        fault = None if looking.cancelled() else looking.exception()
        if fault is not None:
            _log.error("what is new cannot be read", exc_info=fault)
            self._looking = None
            for follower in [*self._others, *chain(*self._by_user.values()), *chain(*self._by_session.values())]:
                follower.fail(fault)

    def _hand_on(self, line: Line) -> None:
        for follower in self._by_user.get(line.user_id, ()):
            follower.offer(line)
        for follower in self._by_session.get(line.session_id, ()):
            follower.offer(line)
        for follower in self._others:
            follower.offer(line)

    def _wanted(self, user_id: str, session_id: str) -> bool:
        """Whether anybody follows them. Asked in the thread that reads: it looks, and changes nothing."""
        return bool(self._others) or bool(self._by_user.get(user_id)) or bool(self._by_session.get(session_id))

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
