"""What the connections of a server process share: who takes what users did, and how patient it is with clients.

A connection is idle, in the head of a request, in its body, or waiting for the answer, and may stay in each of the
first three for as long as `Limits` says; answers have limits of their own. One look at all connections a second finds
those that take too long, instead of a timer a request; while there are none, nothing runs.

A body may take `body_seconds`, and a second more for each kilobyte that has come: a slow line gets through, a client
that sends a byte now and then does not. That is Apache's RequestReadTimeout with MinRate.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from footpath.errors import FootpathError
from footpath.metrics.counts import Counts
from footpath.web.auth import Gate
from footpath.web.submit import Submit

SUBMIT_PATH = b"/api/submitlogs"
UNSENT_SECONDS = 0.02  # that the sum of what clients have not taken is good for: adding ten thousand up takes 4 ms
LOOK_SECONDS = 1.0  # between two looks at all connections: ten thousand are looked at in some milliseconds
BODY_RATE = 1024  # bytes a second: what comes slower over more than `body_seconds` is cut


class Limits(NamedTuple):
    """How long a client may take, in seconds, and how much may be under way at once."""

    head_seconds: float
    body_seconds: float
    idle_seconds: float
    stalled_seconds: float
    connections: int
    held_bytes: int

    @property
    def shortest(self) -> float:
        """The time that no state of a connection is cut before."""
        return min(self.head_seconds, self.body_seconds, self.idle_seconds, self.stalled_seconds)


class Connection(Protocol):
    """A connection, as far as its state matters here."""

    def look(self, now: float, limits: Limits) -> None:
        """End the connection if it has been in its state for too long."""
        ...

    def unsent(self) -> int:
        """Bytes that wait for the client to take them."""
        ...


class Intake:
    """One a process. Belongs to the event loop."""

    def __init__(
        self,
        submit: Submit,
        gate: Gate,
        limits: Limits,
        counts: Counts,
        *,
        path: bytes = SUBMIT_PATH,
        refusal: Callable[[], FootpathError | None],
    ) -> None:
        """Prepare to take requests.

        Args:
            submit: takes those whose bodies have come.
            gate: says whom to let in.
            limits: of patience and memory.
            counts: where what is cut off is counted.
            path: a second one that requests may come to.
            refusal: what every one is refused with just now, however good; None if it is not.
        """
        self.paths = frozenset((SUBMIT_PATH, path))
        self.submit = submit
        self.gate = gate
        self.refusal = refusal
        self.limits = limits
        self.counts = counts
        self.connections = 0  # that are open
        self.held = 0  # bytes of bodies that are not whole yet
        self.now = 0.0  # by the event loop's clock, at the last look
        self._looking = False
        self._connections: Iterable[Connection] = ()
        self._unsent, self._unsent_until = 0, 0.0
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def every(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of the headers that every answer has; uvicorn makes a new list of them each second."""
        if headers is not self._headers:
            self._headers = headers
            self._lines = b"".join([b"%s: %s\r\n" % header for header in headers])
        return self._lines

    def watch(self, connections: Iterable[Connection], loop: asyncio.AbstractEventLoop) -> None:
        """Look at the connections from now on, for as long as there are any."""
        if not self._looking:
            self._looking = True
            self._connections = connections
            self.now = loop.time()
            loop.call_later(LOOK_SECONDS, self._look, connections, loop)

    def unsent(self) -> int:
        """Bytes of answers that clients had not taken a moment ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._unsent_until:
            self._unsent = sum([connection.unsent() for connection in list(self._connections)])
            self._unsent_until = now + UNSENT_SECONDS
        return self._unsent

    def _look(self, connections: Iterable[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()
        found = list(connections)
        for connection in found:
            connection.look(self.now, self.limits)
        if found:
            loop.call_later(LOOK_SECONDS, self._look, connections, loop)
        else:
            self._looking = False
