"""One request to submitlogs on a connection: its body is gathered, handed over when whole, answered in its turn.

It stands where uvicorn keeps the request that a connection is at (`RequestResponseCycle`) and has the members of it
that a connection uses, so pipelining, draining and hanging up stay uvicorn's own. There is no ASGI scope, no task and
no event between: with them, parse-only in `make bench` did two thirds of the one-action requests.

Whether it is let in is known with its head. The body of one that is not is thrown away as it comes, and the answer sent
behind it: strangers take up no memory, and a client that is still sending reads why, where a closed connection would
be a reset.

Where more comes than can be written, a client that is told so at once sends the next at once: at five times the peak
most of the time would go into refusals. So this one answer comes after `SHED_SECONDS`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from footpath.action import MAX_BODY
from footpath.errors import Busy, FootpathError, JournalFull, TooLarge
from footpath.keys.grant import Grant
from footpath.web.heads import Head
from footpath.web.intake import Intake
from footpath.web.responses import Headers
from footpath.web.submit import too_large

Send = Callable[["Taking", int, Headers, bytes], None]


class _NobodyWaits:
    """In the place of the event that uvicorn sets when something comes."""

    def set(self) -> None:
        return


NOBODY_WAITS = _NobodyWaits()
SHED_SECONDS = 1.0  # of the two after which it may send again


class Taking:
    """A request whose head has come."""

    __slots__ = (
        "_barred", "_first", "_grant", "_head", "_held", "_intake", "_more", "_refusal", "_send", "_size", "_turn",
        "_whole", "disconnected", "keep_alive", "message_event", "response_complete",
    )  # fmt: skip

    def __init__(self, send: Send, intake: Intake, head: Head, length: int, *, keep_alive: bool) -> None:
        """Prepare to gather the body.

        Args:
            send: sends the answer to a request on its connection; called once, in the request's turn.
            intake: takes the whole request.
            head: of the request.
            length: of its body, as its head says; 0 if it does not.
            keep_alive: whether the connection stays open after the answer.
        """
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event: Any = NOBODY_WAITS
        self._send = send
        self._intake = intake
        self._head = head
        self._first = b""  # piece of the body, which is most often all of it
        self._more: bytearray | None = None  # a list of pieces of two bytes would take 28 times their size
        self._held = 0
        self._size = 0
        self._whole = False
        self._turn = False
        self._refusal: FootpathError | None = None
        self._grant: Grant | None = None
        self._barred: FootpathError | None = None
        try:
            self._grant = head.grant = intake.gate.admit("write", head.sent, head.grant)
        except FootpathError as error:
            self._barred = error
        else:
            self._barred = intake.refusal()
        if length > MAX_BODY:
            self._refuse(self._barred or TooLarge(too_large(length)))

    @property
    def let_in(self) -> bool:
        """Whether its key is good for it."""
        return self._grant is not None

    @property
    def refused(self) -> bool:
        """Whether its body is of no use any more."""
        return self._refusal is not None

    def begin(self) -> None:
        """Say that every request before this one is answered."""
        self._turn = True
        if self._refusal is not None:
            self._answer_refusal(self._refusal)
        elif self._whole:
            self._hand_over()

    def more(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._refusal is not None:
            return
        self._size += len(piece)
        if self._size > MAX_BODY:
            self._refuse(self._barred or TooLarge(too_large(self._size)))
        elif self._barred is None:
            if not self._first:
                self._first = piece
            elif self._more is None:
                self._more = bytearray(piece)
            else:
                self._more += piece
            self._held += len(piece)
            self._intake.held += len(piece)
            if self._intake.held > self._intake.limits.held_bytes:
                self._refuse(Busy("as many bodies are under way as memory is set aside for; send again in a moment"))

    def all(self, body: bytes) -> None:
        """Take a body that came in one piece with its head: one that is handed over at once is under way nowhere."""
        if self._turn and self._barred is None and self._refusal is None and self._grant is not None:
            self._whole = True
            self._intake.submit.take(self._grant, self._head.named, body, self._answer)
        else:
            self.more(body)
            self.end()

    def end(self) -> None:
        """Say that the body is whole."""
        self._whole = True
        if self._turn and self._refusal is None:
            self._hand_over()

    def gone(self) -> None:
        """Say that the client has hung up."""
        self.disconnected = True
        self._release()

    def _release(self) -> None:
        self._intake.held -= self._held
        self._held = 0
        self._first, self._more = b"", None

    def _hand_over(self) -> None:
        if isinstance(self._barred, JournalFull):
            asyncio.get_running_loop().call_later(SHED_SECONDS, self._answer_barred)
        elif self._barred is not None:
            self._answer_barred()
        elif self._grant is not None:
            body = self._first if self._more is None else self._first + self._more
            self._release()
            self._intake.submit.take(self._grant, self._head.named, body, self._answer)

    def _answer_barred(self) -> None:
        if self._barred is not None and not self.disconnected:
            self._intake.submit.refuse(self._barred, self._answer)

    def _refuse(self, refusal: FootpathError) -> None:
        """Answer without reading the rest, so the connection cannot go on."""
        self._refusal = refusal
        self._release()
        if self._turn:
            self._answer_refusal(refusal)

    def _answer_refusal(self, refusal: FootpathError) -> None:
        self.keep_alive = False
        self._intake.submit.refuse(refusal, self._answer)

    def _answer(self, status: int, headers: Headers, content: bytes) -> None:
        if not self.disconnected:
            if b"origin" in self._head.named:
                headers = headers + self._intake.gate.cors("write", self._head.headers, self._grant)
            self._send(self, status, headers, content)
