"""Ends statements that run past their time, or for nobody: DuckDB looks at no clock of its own.

A read checks its time, and whether who asked is still there, between two steps (see `view`); one step may still sort
for minutes. `Deadlines` has one thread that looks every `LOOK_EVERY` seconds and interrupts what is late or for nobody
any more, and at the end everything. Leaves out what to say then: see `View.reading`.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import duckdb

from footpath.errors import ReadFailed
from footpath.find import asker
from footpath.find.asker import Asker

LOOK_EVERY = 0.2  # s: a read may take this much longer than its time, and a look costs microseconds
CLOSING_EVERY = 0.02  # s
CLOSE_SECONDS = 5.0  # that closing waits; a read whose generator was left behind has no statement, and no end either


class Interruptible(Protocol):
    """A connection of DuckDB or SQLite; with nothing running, to interrupt does nothing."""

    def interrupt(self) -> None:
        """End the statement that runs, from any thread."""
        ...


class Deadlines:
    """The statements that run, each with the time (of `time.monotonic`) at which it is interrupted, and for whom."""

    def __init__(self) -> None:
        """Begin to look."""
        self._running: dict[int, tuple[float, Asker, Interruptible]] = {}
        self._lock = threading.Lock()  # what has ended may serve another: it must not be interrupted for the one before
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="read-deadlines", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def over(self, connection: Interruptible, deadline: float) -> Iterator[None]:
        """Interrupt what it runs within the block after the deadline, or once who asked has gone, again and again.

        Raises:
            ReadFailed: all is being closed.
        """
        if self._closing.is_set():
            raise ReadFailed("the server is stopping; ask again when it is back")
        with self._lock:
            self._running[id(connection)] = (deadline, asker.current(), connection)
        try:
            yield
        finally:
            with self._lock:
                del self._running[id(connection)]

    def close(self) -> None:
        """Interrupt all that still runs until it has ended: the process must not stay for what nobody waits for."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            self._interrupt(time.monotonic())
        while self._running:  # again and again: a read may have been between two statements
            self._interrupt(math.inf)
            time.sleep(CLOSING_EVERY)

    def _interrupt(self, now: float) -> None:
        with self._lock:
            for deadline, who, connection in self._running.values():
                if now > deadline or who.gone:
                    with contextlib.suppress(duckdb.ConnectionException):  # it has ended, and is closed, since
                        connection.interrupt()
