"""How much of a process a work of less weight may take: what the others leave of it, and a little in any case.

Those who watch must not hold those who send up. Work says what it has spent, and asks how long it is to rest.
"""

import time

MOST = 0.5  # of the time, when nobody else has anything to do


class Pace:
    """Of one work. `clock` and `cpu` are seconds: on the wall, and of the whole process on its processors."""

    def __init__(self, least: float) -> None:
        """Leave it `least` of the time, however busy the process is."""
        self._least = least
        self._spent = 0.0
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    def spend(self, seconds: float) -> None:
        """Say that the work has taken so long."""
        self._spent += seconds

    def rest(self) -> float:
        """How many seconds it must rest for what it has spent since it was last asked this."""
        clock, cpu = time.perf_counter(), time.process_time()
        since = max(1e-6, clock - self._clock)
        others = max(0.0, cpu - self._cpu - self._spent) / since
        rest = self._spent / min(MOST, max(self._least, MOST - others)) - since
        self._clock, self._cpu, self._spent = clock, cpu, 0.0
        return max(0.0, rest)
