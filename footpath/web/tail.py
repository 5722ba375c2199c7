"""GET /api/tail: actions as they are kept, as server-sent events (HTML, 9.2), until the client goes.

An event's id is the action's seq, so a browser that comes back says by itself what it has seen (`Last-Event-ID`), and
goes on there: nothing is skipped and nothing repeated. When none matches for a while, an id alone tells how far the
server has looked, so that coming back later costs little.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from footpath.errors import FootpathError
from footpath.find.base import Line, Lines
from footpath.query import Query, filters, known, number, parameters
from footpath.web.auth import Gate
from footpath.web.feed import Feed
from footpath.web.protocol import CUT, ENDING
from footpath.web.readers import until_gone

TAIL_PATH = "/api/tail"
PIECE = 1 << 16  # bytes given to a connection at once: what waits for a client is then no more than two of these
NO_TAIL = (
    "a server over a stream and a table does not follow what comes in: ask /api/retrievelogs for the newest again and"
    " again, with order=desc and a limit, or read the stream with a Kinesis consumer of your own"
)
BEAT_SECONDS = 15.0  # a proxy takes a connection for dead after a minute or so without a byte
PARAMETERS = ("userId", "sessionId", "logType", "after")
_MAX_SEQ = 2**63 - 1
_HEAD = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would gather the events
]

Shown = Callable[[str], str]
"""What an event says of a line of NDJSON, in one line."""

_log = structlog.get_logger()


class Tail:
    """The route, over a feed."""

    def __init__(self, feed: Feed, gate: Gate, *, stalled_seconds: float) -> None:
        """Follow what `feed` hands on; a client that takes nothing for `stalled_seconds` is cut off.

        An answer that has no end outlives its key: `gate` is asked again before each piece of it.
        """
        self._feed = feed
        self._gate = gate
        self._stalled_seconds = stalled_seconds
        self._last: tuple[bytes, list[Line], Shown] = b"", [], itself

    async def answer(self, request: Request) -> Response:
        """Take one request of the API."""
        return await self.show(request, itself)

    async def show(self, request: Request, shown: Shown) -> Response:
        """Take one request for events whose data is what `shown` makes of a line: of all requests the same function."""
        query, after = asked(parameters(request.scope["query_string"]), request.headers.get("last-event-id"))
        follow = self._feed.follow(query, after, BEAT_SECONDS)
        if request.method == "HEAD":
            return Response(headers={name.decode(): value.decode() for name, value in _HEAD})
        let_in = partial(self._gate.let_in, "read", request.scope["headers"])
        return _Events(follow, partial(self._events, shown), let_in, self._stalled_seconds)

    def _events(self, shown: Shown, lines: Lines) -> bytes:
        """Lines as events. Those who see everything get the same ones, in a row: they are made once."""
        made, of_lines, of_kind = self._last
        if not lines.lines or lines.lines is not of_lines or shown is not of_kind:
            made = events(lines, shown)
            self._last = made, lines.lines, shown
        return made


def asked(given: Mapping[str, Sequence[str]], last_event_id: str | None) -> tuple[Query, int | None]:
    """What to follow, and after which seq; from now on if that is None. The header goes before the parameter.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    one = known(given, PARAMETERS)
    query = filters(given)
    if last_event_id:
        return query, number("Last-Event-ID", last_event_id, 0, _MAX_SEQ)
    return query, number("after", one["after"], 0, _MAX_SEQ) if "after" in one else None


def itself(text: str) -> str:
    """A line as it is."""
    return text


def events(lines: Lines, shown: Shown) -> bytes:
    """Lines as events; none as the seq that was reached."""
    if not lines.lines:
        return b": nothing new\nid: %d\n\n" % lines.until
    return "".join([f"event: action\nid: {line.seq}\ndata: {shown(line.text)}\n\n" for line in lines.lines]).encode()


class _Events(Response):
    """The answer: it ends when the client goes or takes nothing, is no longer let in, and when the server stops."""

    def __init__(
        self,
        follow: AsyncGenerator[Lines],
        events: Callable[[Lines], bytes],
        let_in: Callable[[], object],
        stalled_seconds: float,
    ) -> None:
        self._follow = follow
        self._events = events
        self._let_in = let_in
        self._stalled_seconds = stalled_seconds
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events."""
        sending = asyncio.create_task(self._send(scope, send))
        gone = asyncio.create_task(until_gone(receive))
        scope["extensions"][ENDING](sending.cancel)
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            await self._follow.aclose()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error

    async def _send(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        pieces = self._follow
        try:
            async with asyncio.timeout(self._stalled_seconds):
                await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
            async for lines in pieces:
                self._let_in()
                made = self._events(lines)
                for start in range(0, len(made), PIECE):
                    async with asyncio.timeout(self._stalled_seconds):
                        piece = made[start : start + PIECE]
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            _log.warning("cut off a client that takes nothing of its tail", seconds=self._stalled_seconds)
            scope["extensions"][CUT]()
        except FootpathError as error:
            _log.warning("a tail ended", reason=str(error))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:  # the server stops: the client is told that this was all for now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise
