"""The places of those who read: so many at once, each step in a thread; others wait, and too many are turned away.

All routes that read what is stored share one `Readers`, so that they are bounded together.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from footpath.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")


class Readers:
    """Belongs to one event loop."""

    def __init__(self, readers: int, waiting_reads: int) -> None:
        """Have places for `readers` at once, and let `waiting_reads` wait for one."""
        self._free = asyncio.Semaphore(readers)
        self._waiting = self._running = 0
        self._waiting_reads = waiting_reads
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="read")

    def gauges(self) -> dict[str, float]:
        """Reads that are answered and that wait, just now."""
        return {"footpath_reads_running": self._running, "footpath_reads_waiting": self._waiting}

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """One of the places, as soon as one is free.

        Raises:
            Busy: too many wait for one already.
        """
        if self._free.locked() and self._waiting >= self._waiting_reads:
            raise Busy(f"{self._waiting} reads wait for others to end; ask again in a moment")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._free.release()

    def start(self, step: Callable[P, T], *given: P.args, **named: P.kwargs) -> Future[T]:
        """Run a step in a thread; only for who has a place."""
        return self._threads.submit(step, *given, **named)
