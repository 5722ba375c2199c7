"""What a server process tells of itself: its counts on the board, and a line a minute of what was refused.

One line a request would let a flood of bad ones fill the disk; one a minute with their number does not.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable

import structlog

from footpath.metrics.board import Place
from footpath.metrics.counts import Counts, Taken

WRITE_SECONDS = 0.25  # so old may be what another process tells of this one
SUMMARY_SECONDS = 60.0

_log = structlog.get_logger()


class Report:
    """One a process. Belongs to the event loop."""

    def __init__(self, counts: Counts, gauges: Callable[[], dict[str, float]], place: Place | None) -> None:
        """Report on these counts and gauges, at this place on the board if there is one."""
        self._counts = counts
        self._gauges = gauges
        self._place = place
        self._told: Counter[str] = Counter()

    def mine(self) -> tuple[str, Taken]:
        """The name of this process and what it has counted; also written on the board."""
        taken = self._counts.taken()
        taken.gauges = self._gauges()
        if self._place is None:
            taken.pid = os.getpid()
            return "server-0", taken
        return self._place.name, self._place.write(taken)

    def others(self) -> dict[str, Taken]:
        """What the other processes have counted, by their names. Any thread may ask."""
        return {} if self._place is None else self._place.others()

    async def run(self) -> None:
        """Report until cancelled."""
        waited = 0.0
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            self.mine()
            waited += WRITE_SECONDS
            if waited >= SUMMARY_SECONDS:
                waited = 0.0
                self.summarise()

    def summarise(self) -> None:
        """Log how many requests and actions were refused since the last time, by their codes; nothing if none was."""
        now = self._counts.refusals + Counter(
            {f"rejected_{code}": number for code, number in self._counts.rejected.items()}
        )
        fresh = now - self._told
        if fresh:
            _log.warning("refused since the last such line", **fresh)
        self._told = now
