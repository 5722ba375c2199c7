"""How much of a process a work of less weight may take: what the others leave of it, and a little in any case.

Those who watch must not hold those who send up. Work comes in pieces: `begin`, then what it spends, then the `rest`
that it must take. How busy the others are is seen while it rests.
"""

import time
from collections.abc import Callable

Clock = Callable[[], float]

MOST = 0.5  # of the time, when nobody else has anything to do
FREE = 0.2  # of the time is left free: who waits for the interpreter's lock uses no processor
SEEN_SECONDS = 0.01  # of rest that tell how busy the others are


class Pace:
    """Of one work in one process."""

    def __init__(self, least: float, clock: Clock = time.perf_counter, cpu: Clock = time.process_time) -> None:
        """Leave it `least` of the time, however busy the process is.

        Args:
            least: a share, from 0 to 1.
            clock: seconds on the wall.
            cpu: seconds that the process has used processors.
        """
        self._least = least
        self._clock, self._cpu = clock, cpu
        self._spent = self._others = 0.0
        self._rested_from = clock(), cpu()

    def begin(self) -> None:
        """Say that a piece of work begins."""
        clock, cpu = self._rested_from
        rested = self._clock() - clock
        if rested >= SEEN_SECONDS:
            self._others = (self._cpu() - cpu) / rested

    def spend(self, seconds: float) -> None:
        """Say that the work has taken so long."""
        self._spent += seconds

    def rest(self) -> float:
        """How many seconds it must rest now for what it has spent since it was last asked this."""
        rest = self._spent / min(MOST, max(self._least, 1.0 - FREE - self._others)) - self._spent
        self._spent = 0.0
        self._rested_from = self._clock(), self._cpu()
        return rest
