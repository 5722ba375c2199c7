"""What comes in, to those who follow it: all followers of a process share a few readers of the journal.

Two lanes (see `lane`): one for those who follow users or sessions, whose reader passes over everything else, so that a
thousand cost little; one for those who see everything, who may take less of the process and fall behind first. A
follower has a bounded buffer; one that does not keep up loses its buffer, not its place, and reads on from there as any
read would, until it has caught up. So nothing is skipped, nobody waits for the slow, and those who send wait for none.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import structlog

from footpath.errors import Busy, ReadFailed
from footpath.find.base import Lines, Newest
from footpath.query import Query
from footpath.web.follower import Follower
from footpath.web.lane import AGAIN_SECONDS, Lane
from footpath.web.pace import Pace
from footpath.web.readers import Readers

LEAST_OF_SOME = 0.02  # of the time of a busy process, for all who follow users or sessions
LEAST_OF_ALL = 0.01  # for all who see everything
LEAST_LATE = 0.03  # for all who have to catch up
WAKE_SECONDS = 0.000_05  # that a turn of the loop for one follower takes beside sending
MOST_SEND_SECONDS = 0.005  # that sending to one counts as work, which is most of it; beyond, it waits for the client
LATE_BYTES = 256 << 10  # of JSON that one who has to catch up gets in one go: 10 ms of work
FRESH = 50_000  # actions that one who comes anew may have missed, for the journal to be looked through for them

_log = structlog.get_logger()


class _Turns:
    """How those who have to catch up take turns."""

    def __init__(self) -> None:
        self.one_at_a_time = asyncio.Lock()
        self.pace = Pace(LEAST_LATE)


class Feed:
    """One a process. Belongs to the event loop."""

    def __init__(self, newest: Callable[[], Newest], readers: Readers, followers: int) -> None:
        """`newest` gives what to follow at the time it is needed; there may be so many followers at once."""
        self._newest = newest
        self._readers = readers
        self._most = followers
        self._followers = 0
        self._of_some = Lane(newest, LEAST_OF_SOME)
        self._of_all = Lane(newest, LEAST_OF_ALL)
        self._just_late, self._long_late = _Turns(), _Turns()

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
        return self._follow(Follower(query), after, beat)

    async def _follow(self, follower: Follower, after: int | None, beat: float) -> AsyncGenerator[Lines]:
        self._followers += 1
        lane = self._of_some if follower.wanted.users or follower.wanted.sessions else self._of_all
        try:
            lane.add(follower)
            now = await asyncio.to_thread(self._newest().last_seq)
            seq = now if after is None else min(after, now)
            yield Lines([], seq)
            while True:
                await follower.is_in.wait()
                while seq < follower.joined:
                    lines = await self._late(follower, seq)
                    yield lines
                    seq = lines.until
                while follower.is_in.is_set():
                    seen = lane.seq
                    taken = await follower.take(beat)
                    if taken or follower.is_in.is_set():
                        if taken and taken[0].seq <= seq:  # the lane is behind: this one came later, or has seen them
                            taken = [line for line in taken if line.seq > seq]
                        seq = taken[-1].seq if taken else max(seq, seen)
                        began = time.perf_counter()
                        yield Lines(taken, seq)
                        lane.pace.spend(WAKE_SECONDS + min(MOST_SEND_SECONDS, time.perf_counter() - began))
                lane.again(follower)
        finally:
            lane.remove(follower)
            self._followers -= 1

    async def _late(self, follower: Follower, after: int) -> Lines:
        """What a follower has missed, as much as is given at once: one after the other, and as the process allows.

        Waits for a place among those who read, and for the store to be well. Who has missed little does not wait for
        those who have missed much.
        """
        newest, until = self._newest(), follower.joined
        turns = self._just_late if until - after <= FRESH else self._long_late
        while True:
            async with turns.one_at_a_time:
                turns.pace.begin()
                began = time.perf_counter()
                try:
                    return await self._read(newest, follower, after, until)
                except (Busy, ReadFailed) as error:
                    _log.warning("one who follows waits to catch up", reason=str(error))
                finally:
                    turns.pace.spend(time.perf_counter() - began)
                    await asyncio.sleep(turns.pace.rest())
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, newest: Newest, follower: Follower, after: int, until: int) -> Lines:
        if until - after <= FRESH:
            fresh = await asyncio.to_thread(newest.fresh, after, follower.wanted, LATE_BYTES)
            if fresh is not None:
                lines = [line for line in follower.chosen(fresh.lines) if line.seq <= until]
                return Lines(lines, min(fresh.until, until))
        async with self._readers.place() as place:
            return await place.run(newest.since, follower.query, after, until)
