"""The places of those who read: so many at once, each step in a thread; others wait, and too many are turned away.

All routes that read what is stored share one `Readers`, so that they are bounded together. A place is held only while
somebody waits for the answer (`while_asked`): when it is left, what still runs in it is interrupted.

An answer that is streamed holds its place for as long as its client takes. Such long ones get half of the places at
most, and of those who may wait: however slowly they are taken, the other half is there for short reads. They are worked
at by a thread for each second core: the event loop waits for Python's lock, and who holds it may be waiting for a core
behind the others.

Whoever takes actions in goes first: a read has the time that is left on a core, as long as it needs, and gives Python's
lock away sooner than threads do among themselves.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from footpath.errors import Busy
from footpath.find.asker import Asker, serving

SWITCH_SECONDS = 0.0001  # while somebody reads; who takes in asks for Python's lock a dozen times a commit
NICENESS = 5  # of a thread that reads: a third of the share of one that takes actions in, twice that of the keeper

P = ParamSpec("P")
T = TypeVar("T")


class Place:
    """The place of one who reads."""

    is_long = False

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        """Run steps in `threads`."""
        self._threads = self._threads_apart = threads
        self._asker = Asker()

    def start(self, step: Callable[P, T], *given: P.args, **named: P.kwargs) -> Future[T]:
        """Begin a step in a thread; one at a time."""
        return self._threads.submit(serving, self._asker, partial(step, *given, **named))

    def start_apart(self, step: Callable[P, T], *given: P.args, **named: P.kwargs) -> Future[T]:
        """The same with a step that takes so long that other long answers should not wait for it."""
        return self._threads_apart.submit(serving, self._asker, partial(step, *given, **named))

    async def run(self, step: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What a step gives."""
        return await asyncio.wrap_future(self.start(step, *given, **named))

    def lengthen(self, threads: ThreadPoolExecutor) -> None:
        """Let further steps run in the threads of long answers."""
        self.is_long = True
        self._threads = threads

    def leave(self) -> None:
        """End what still runs."""
        self._asker.gone = True


class Readers:
    """Belongs to one event loop."""

    def __init__(self, readers: int, waiting_reads: int, *, remote: bool = False) -> None:
        """Have places for `readers` at once, and let `waiting_reads` wait for one.

        Args:
            readers: places.
            waiting_reads: who may wait for one.
            remote: another machine does the work, and a thread that reads waits for it.
        """
        self._free = asyncio.Semaphore(readers)
        self._free_for_long = asyncio.Semaphore(max(1, readers // 2))
        self._waiting = self._waiting_long = self._running = 0
        self._usual_switch_seconds = 0.0
        self._waiting_reads = waiting_reads
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="read", initializer=give_way)
        at_once = readers if remote else max(1, (os.cpu_count() or 1) // 2)
        self._threads_of_long = ThreadPoolExecutor(at_once, thread_name_prefix="read-long", initializer=give_way)

    def gauges(self) -> dict[str, float]:
        """Reads that are answered and that wait, just now."""
        return {"footpath_reads_running": self._running, "footpath_reads_waiting": self._waiting}

    @contextlib.asynccontextmanager
    async def place(self, *, is_long: bool = False) -> AsyncGenerator[Place]:
        """One of the places, as soon as one is free, and one of those for long answers if it is to be one.

        Raises:
            Busy: too many wait for one already.
        """
        place = Place(self._threads)
        try:
            if is_long and not await self.lengthen(place):
                if self._waiting_long >= self._waiting_reads / 2:
                    raise _busy(self._waiting_long)
                self._waiting_long += 1
                try:
                    await self._wait(self._free_for_long)
                finally:
                    self._waiting_long -= 1
                place.lengthen(self._threads_of_long)
            await self._wait(self._free)
            with self._reading():
                yield place
        finally:
            place.leave()
            if place.is_long:
                self._free_for_long.release()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._running:
            self._usual_switch_seconds = sys.getswitchinterval()
            sys.setswitchinterval(min(SWITCH_SECONDS, self._usual_switch_seconds))
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                sys.setswitchinterval(self._usual_switch_seconds)
            self._free.release()

    async def lengthen(self, place: Place) -> bool:
        """Make a place one for a long answer, if there is room for one more now."""
        if not place.is_long and not self._free_for_long.locked():
            await self._free_for_long.acquire()
            place.lengthen(self._threads_of_long)
        return place.is_long

    async def _wait(self, places: asyncio.Semaphore) -> None:
        if places.locked() and self._waiting >= self._waiting_reads:
            raise _busy(self._waiting)
        self._waiting += 1
        try:
            await places.acquire()
        finally:
            self._waiting -= 1


class Gone(Exception):
    """The client has gone: there is nobody to answer. No fault, and none of `footpath.errors`: nobody is told."""


def while_asked(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A handler that is given up when its client goes before it has made a response.

    Raises, when it is called:
        Gone: that happened.
    """

    async def handle(request: Request) -> Response:
        answering = asyncio.ensure_future(handler(request))
        going = asyncio.ensure_future(until_gone(request.receive))
        try:
            await asyncio.wait((answering, going), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            raise Gone
        finally:
            for task in (answering, going):
                task.cancel()
            await asyncio.gather(answering, going, return_exceptions=True)

    return handle


async def until_gone(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def give_way() -> None:
    """Lower the priority of this thread. Only Linux has one a thread; others share alike."""
    if sys.platform == "linux":
        mine = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, mine, min(19, os.getpriority(os.PRIO_PROCESS, mine) + NICENESS))


def _busy(waiting: int) -> Busy:
    return Busy(f"{waiting} reads wait for others to end; ask again in a moment")
