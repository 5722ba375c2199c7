"""The one who asked for a read, as far as the read knows them: whether they have gone.

A read runs in threads, step by step, and who starts a step says for whom (`serving`). A read takes up the `current` one
when it begins; it looks between two statements, and `deadline` interrupts the one that runs. A read that was
started for nobody in particular is never given up.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from footpath.errors import ReadFailed

T = TypeVar("T")


class Asker:
    """One who asked; `gone` is set, in any thread, when nobody waits for the answer any more."""

    def __init__(self) -> None:
        """Begin as one who waits."""
        self.gone = False

    def make_sure(self) -> None:
        """Go on only for somebody.

        Raises:
            ReadFailed: they have gone.
        """
        if self.gone:
            raise ReadFailed("the read was given up: whoever asked has gone")


class _Current(threading.local):
    asker = Asker()


_current = _Current()


def current() -> Asker:
    """For whom this thread reads."""
    return _current.asker


def serving(asker: Asker, step: Callable[[], T]) -> T:
    """Run a step of a read for somebody."""
    before, _current.asker = _current.asker, asker
    try:
        return step()
    finally:
        _current.asker = before
