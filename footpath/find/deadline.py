"""Ends statements that run past their time: DuckDB looks at no clock of its own.

A read checks its time between two steps (see `view`); one step may still sort for minutes. `Deadlines` has one thread
that looks every `LOOK_EVERY` seconds and interrupts what is late. Leaves out what to say then: see `View.reading`.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import duckdb

LOOK_EVERY = 0.5  # s: a read may take this much longer than its time, and a look costs microseconds


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
        """Interrupt what the cursor runs within the block and after the deadline, again and again."""
        self._running[id(cursor)] = (deadline, cursor)
        try:
            yield
        finally:
            del self._running[id(cursor)]

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            now = time.monotonic()
            for deadline, cursor in list(self._running.values()):
                if now > deadline:
                    with contextlib.suppress(duckdb.ConnectionException):  # it has ended, and is closed, since
                        cursor.interrupt()
