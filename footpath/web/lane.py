"""One reader of what is new for a group of followers, who are found by what they follow.

It asks for what is new every `LOOK_SECONDS`, in a thread of its own, and offers each line to those who want it. What it
takes of the process is bounded (see `pace`): where more comes than that is enough for, the group falls behind and reads
on from where it is. Nothing is skipped.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeVar

import structlog

from footpath.errors import ReadFailed
from footpath.find.base import Line, Lines, Newest, Wanted
from footpath.web.follower import Follower, size_of
from footpath.web.pace import Pace
from footpath.web.readers import give_way

LOOK_SECONDS = 0.25  # between two looks at the journal: what a person takes for at once
AGAIN_SECONDS = 1.0  # after a read that failed, or found no place
READ_BYTES = 64 << 10  # of JSON in one go: 3 ms of work
AT_ONCE = 4  # followers who are woken in one turn of the loop: sending to one takes 50 to 200 us

T = TypeVar("T")

_log = structlog.get_logger()


class Lane:
    """Belongs to the event loop. It looks while it has followers."""

    def __init__(self, newest: Callable[[], Newest], least: float) -> None:
        """`newest` gives what to follow at the time it is needed; `least` is the share of the time that it has."""
        self._newest = newest
        self.pace = Pace(least)
        self.seq = 0
        """Everything up to it was offered."""
        self._by_user: defaultdict[str, set[Follower]] = defaultdict(set)
        self._by_session: defaultdict[str, set[Follower]] = defaultdict(set)
        self._others: set[Follower] = set()
        self._wanted: Wanted | None = None  # of all followers, if it is known
        self._joining: list[Follower] = []
        self._looking: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follow", initializer=give_way)

    def add(self, follower: Follower) -> None:
        """Offer to one more from the next look on, and look, if nobody does."""
        self._place(follower).add(follower)
        self._wanted = None
        self._joining.append(follower)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)

    def again(self, follower: Follower) -> None:
        """Offer again to one that was out."""
        self._joining.append(follower)

    def remove(self, follower: Follower) -> None:
        """Offer to one no more; stop looking if it was the last."""
        place = self._place(follower)
        place.discard(follower)
        if not place:
            for ids, known in ((follower.wanted.users, self._by_user), (follower.wanted.sessions, self._by_session)):
                for id_ in ids:
                    known.pop(id_, None)
        self._wanted = None
        if not (self._others or self._by_user or self._by_session) and self._looking is not None:
            self._looking.cancel()
            self._looking = None
            self._joining.clear()

    def _place(self, follower: Follower) -> set[Follower]:
        for user_id in follower.wanted.users:
            return self._by_user[user_id]
        for session_id in follower.wanted.sessions:
            return self._by_session[session_id]
        return self._others

    async def _look(self) -> None:
        """Offer what is new, again and again."""
        is_new = True
        while True:
            self.pace.begin()
            began = time.perf_counter()
            try:
                if is_new:
                    self.seq = await self._ask(self._newest().last_seq)
                    is_new = False
                for follower in self._joining:  # before it is asked: whose batches are passed over is decided there
                    follower.join(self.seq)
                self._joining.clear()
                if self._wanted is None:
                    self._wanted = Wanted() if self._others else Wanted(list(self._by_user), list(self._by_session))
                found = await self._ask(partial(self._new, self._wanted))
            except ReadFailed as error:
                _log.warning("those who follow wait", reason=str(error))
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self.pace.spend(time.perf_counter() - began)
            await self._hand_on(found.lines)
            self.seq = max(self.seq, found.until)
            until_next = 0.0 if found.is_cut else began + LOOK_SECONDS - time.perf_counter()
            await asyncio.sleep(max(0.0, until_next, self.pace.rest()))

    def _new(self, wanted: Wanted) -> Lines:
        """What came since the last look; out of parts, where a flush was quicker."""
        newest = self._newest()
        found = newest.fresh(self.seq, wanted, READ_BYTES)
        return newest.stored(self.seq, wanted) if found is None else found

    async def _hand_on(self, lines: list[Line]) -> None:
        """Offer lines to those who may want them, a few followers at a time."""
        offers: dict[Follower, list[Line]] = dict.fromkeys(self._others, lines) if lines else {}
        for line in lines:
            for follower in chain(self._by_user.get(line.user_id, ()), self._by_session.get(line.session_id, ())):
                offers.setdefault(follower, []).append(line)
        size = size_of(lines)
        for place, (follower, offered) in enumerate(offers.items(), 1):
            follower.offer(offered, size if offered is lines else size_of(offered))
            if place % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _looked(self, looking: asyncio.Task[None]) -> None:
        """A fault of our own ends all who follow, and is told; they may come again."""
        fault = None if looking.cancelled() else looking.exception()
        if fault is not None:
            _log.error("what is new cannot be read", exc_info=fault)
            self._looking = None
            for follower in [*self._others, *chain(*self._by_user.values()), *chain(*self._by_session.values())]:
                follower.fail(fault)

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
