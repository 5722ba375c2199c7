"""What a journal refuses appends with before it looks at them: the same for every fitting, and cheap to ask."""

import time

from footpath.errors import FootpathError, JournalFailed, JournalFull

FULL_SECONDS = 0.5  # that nobody looks whether a full journal has room again: what makes some takes seconds


def failing(trouble: str) -> JournalFailed:
    """The refusal of a journal that cannot be written."""
    return JournalFailed(f"the journal cannot be written just now: {trouble}")


def refusal(trouble: str | None, waiting_bytes: int, max_waiting_bytes: int) -> FootpathError | None:
    """Why an append is refused at once: the journal is in trouble, or too much waits in memory; None if it is not."""
    if trouble is not None:
        return failing(trouble)
    if waiting_bytes > max_waiting_bytes:
        return JournalFull(f"{waiting_bytes} bytes wait to be written; send again in a moment")
    return None


class Full:
    """The last JournalFull that a whole group met, for as long as the next will most likely meet it, too."""

    __slots__ = ("_until", "error")

    def __init__(self) -> None:
        self.error: JournalFull | None = None
        self._until = 0.0

    def met(self, error: JournalFull) -> None:
        """A group met it now."""
        self.error, self._until = error, time.monotonic() + FULL_SECONDS

    def now(self) -> JournalFull | None:
        """It, if that was just now."""
        return self.error if self.error is not None and time.monotonic() < self._until else None
