"""What became of tracked actions, counted from several threads."""

import logging
import threading
import time
from dataclasses import dataclass, fields

log = logging.getLogger("footpath.client")
"""Where a program's own logging hears of what cannot be sent."""

TELL_EVERY = 1.0  # s: lost actions are told of this often at most, and counted always


@dataclass(frozen=True)
class Counts:
    """What became of actions, by this client.

    `accepted`, `duplicates` and `rejected` are the server's words, also of spooled requests that an earlier process
    left. `spooled` were written to the spool, `dropped` are lost: the queue was full, the server refused the request,
    or the program ended. `waiting` are in memory.
    """

    tracked: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    spooled: int = 0
    dropped: int = 0
    waiting: int = 0


class Account:
    """Adds up."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lock = threading.Lock()
        self._numbers = {field.name: 0 for field in fields(Counts)}
        self._told: float | None = None

    def add(self, **numbers: int) -> None:
        """Add to some of the counts."""
        with self._lock:
            for name, number in numbers.items():
                self._numbers[name] += number

    def drop(self, number: int, why: str) -> None:
        """Count lost actions, and tell of them."""
        self.add(dropped=number)
        now = time.monotonic()
        if self._told is None or now - self._told > TELL_EVERY:
            self._told = now
            log.error("dropped %d action(s), %d in all: %s", number, self._numbers["dropped"], why)

    def counts(self, waiting: int) -> Counts:
        """The counts as they are now."""
        with self._lock:
            return Counts(**{**self._numbers, "waiting": waiting})
