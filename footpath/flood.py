"""A flood of one event must not fill a disk: so many lines of it a minute are written, and the rest are counted.

The count goes out with the first line of a later minute. An event is known by its text before values are put in, so
that a flood cannot hide behind values that differ.
"""

import threading
import time
from collections.abc import Callable

LINES = 20  # of one event a minute: enough to see what it is, and 30 MB a day of the longest if it never ends
WINDOW = 60.0  # seconds
EVENTS = 500  # told apart at once; what comes on top is counted as one event


class Flood:
    """Decides which lines are written. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._events: dict[str, tuple[float, int]] = {}

    def passes(self, event: str) -> int | None:
        """Whether a line of this event is written: None if not, else how many before it were not."""
        with self._lock:
            now = self._clock()
            if event not in self._events and len(self._events) >= EVENTS:
                self._events = {name: (begun, n) for name, (begun, n) in self._events.items() if now - begun < WINDOW}
                if len(self._events) >= EVENTS:
                    event = ""
            begun, lines = self._events.get(event, (now, 0))
            held_back = 0
            if now - begun >= WINDOW:
                held_back = max(0, lines - LINES)
                begun, lines = now, 0
            self._events[event] = (begun, lines + 1)
            return held_back if lines < LINES else None
