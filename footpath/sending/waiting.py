"""Actions that wait to be sent: a bounded queue between the threads that track and the one that sends."""

import threading
import time
from collections import deque
from typing import NamedTuple


class Tracked(NamedTuple):
    """One action as it will be sent: `action` is its JSON, after the checks."""

    user_id: str
    session_id: str
    action: bytes


class Waiting:
    """A queue. Every method may be called from any thread; `take` from one only."""

    def __init__(self, bound: int) -> None:
        """Make room for `bound` actions."""
        self._bound = bound
        self._queue: deque[Tracked] = deque()
        self._changed = threading.Condition()
        self._since = 0.0
        self._put = self._settled = self._urgent = 0
        self.closing = threading.Event()

    def __len__(self) -> int:
        """How many actions were put and are not settled."""
        return self._put - self._settled

    def put(self, tracked: Tracked, together: int) -> bool:
        """Append an action, never waiting; False if there is no room. Wakes `take` at `together` actions."""
        with self._changed:
            if len(self) >= self._bound:
                return False
            if not self._queue:
                self._since = time.monotonic()
            self._queue.append(tracked)
            self._put += 1
            if len(self._queue) in {1, together}:
                self._changed.notify_all()
            return True

    def take(self, together: int, interval: float, max_bytes: int) -> list[Tracked]:
        """The oldest actions, when `together` wait, or one has for `interval` seconds, or they are wanted at once.

        An empty list when nothing came for `interval` seconds, or when the queue is closing and empty. What is taken
        must be settled.
        """
        with self._changed:
            idle_until = time.monotonic() + interval
            while not (len(self._queue) >= together or self.closing.is_set() or (self._queue and self._is_urgent())):
                until = self._since + interval if self._queue else idle_until
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            taken: list[Tracked] = []
            size = 0
            while (
                self._queue and len(taken) < together and (not taken or size + len(self._queue[0].action) < max_bytes)
            ):
                taken.append(self._queue.popleft())
                size += len(taken[-1].action)
            self._since = time.monotonic()
            return taken

    def settle(self, number: int) -> None:
        """Say that so many taken actions need nothing more."""
        with self._changed:
            self._settled += number
            self._changed.notify_all()

    def until_settled(self, timeout: float) -> bool:
        """Have everything that was put so far sent at once; whether that was settled within so many seconds."""
        with self._changed:
            self._urgent = wanted = self._put
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= wanted, timeout)

    def close(self) -> None:
        """Have the rest sent at once; nothing may be put any more."""
        with self._changed:
            self.closing.set()
            self._changed.notify_all()

    def _is_urgent(self) -> bool:
        return self._put - len(self._queue) < self._urgent
