"""Ends statements that run past their time: DuckDB looks at no clock of its own.

A read checks its time between two steps (see `view`); one step may still sort for minutes. `Deadlines` has one thread
that looks every `LOOK_EVERY` seconds and interrupts what is late, and at the end everything. Leaves out what to say
then: see `View.reading`.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator

import duckdb

from footpath.errors import ReadFailed

LOOK_EVERY = 0.5  # s: a read may take this much longer than its time, and a look costs microseconds
CLOSING_EVERY = 0.02  # s
CLOSE_SECONDS = 5.0  # that closing waits; a read whose generator was left behind has no statement, and no end either


class Deadlines:
    """The statements that run, each with the time (of `time.monotonic`) at which it is interrupted."""

    def __init__(self) -> None:
        """Begin to look."""
        self._running: dict[int, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="read-deadlines", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def over(self, cursor: duckdb.DuckDBPyConnection, deadline: float) -> Iterator[None]:
        """Interrupt what the cursor runs within the block and after the deadline, again and again.

        Raises:
            ReadFailed: all is being closed.
        """
        if self._closing.is_set():
            raise ReadFailed("the server is stopping; ask again when it is back")
        self._running[id(cursor)] = (deadline, cursor)
        try:
            yield
        finally:
            del self._running[id(cursor)]

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
        for deadline, cursor in list(self._running.values()):
            if now > deadline:
                with contextlib.suppress(duckdb.ConnectionException):  # it has ended, and is closed, since
                    cursor.interrupt()
