"""GET /api/retrievelogs: the query string -> Query -> find -> a streamed answer in the format that Accept asks for."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlencode

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from footpath.errors import Busy, NotAcceptable
from footpath.find.answer import page, stream
from footpath.find.base import Find
from footpath.query import Query, parse
from footpath.web.protocol import CUT

MEDIA = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
"""The media type of each format of `footpath.find.answer`; the first is the default."""

_log = structlog.get_logger()
_FORMS = {media.split(";", maxsplit=1)[0]: form for form, media in MEDIA.items()}
_FORMS["application/ndjson"] = "ndjson"


class Retrieve:
    """The route, over a find that is there once the server has started."""

    def __init__(self, find: Callable[[], Find], *, readers: int, waiting_reads: int, stalled_seconds: float) -> None:
        """Prepare to answer.

        Args:
            find: gives the find at the time of a request.
            readers: requests that are read at once; further ones wait.
            waiting_reads: that may wait for that at once; further ones are refused as Busy.
            stalled_seconds: that a client may take nothing of its answer before it is cut off.
        """
        self._find = find
        self._stalled_seconds = stalled_seconds
        self._free = asyncio.Semaphore(readers)
        self._waiting = self._running = 0
        self._waiting_reads = waiting_reads
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="read")

    async def answer(self, request: Request) -> Response:
        """Take one request."""
        form = negotiate(request.headers.get("accept", ""))
        text: bytes = request.scope["query_string"]
        query = parse(text)
        headers = {"content-type": MEDIA[form], "cache-control": "no-store"}
        if query.limit is None:
            pieces = self._pieces(request, query, form)
            first = await anext(pieces, b"")  # so that what fails at once is answered with its status
            return _Streamed(first, pieces, headers, self._stalled_seconds)
        async with self._place():
            if await request.is_disconnected():
                return _NOBODY
            body, next_cursor = await asyncio.wrap_future(self._threads.submit(page, self._find(), query, form))
        if next_cursor is not None:
            headers["link"] = f'<{_next(request.url.path, text, next_cursor)}>; rel="next"'
        return Response(body, headers=headers)

    def gauges(self) -> dict[str, float]:
        """Reads that are answered and that wait, just now."""
        return {"footpath_reads_running": self._running, "footpath_reads_waiting": self._waiting}

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        """One of the places of readers, as soon as one is free.

        Raises:
            Busy: too many wait for one already.
        """
        if self._free.locked() and self._waiting >= self._waiting_reads:
            raise Busy(f"{self._waiting} reads wait for others to end; ask again in a moment")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._free.release()

    async def _pieces(self, request: Request, query: Query, form: str) -> AsyncGenerator[bytes]:
        async with self._place():
            if await request.is_disconnected():  # while it waited: whoever still waits goes first
                return
            pieces = iter(())  # type: Iterator[bytes]
            running: Future[Any] = self._threads.submit(stream, self._find(), query, form)
            try:
                pieces = await asyncio.wrap_future(running)
                while True:
                    running = self._threads.submit(next, pieces, None)
                    piece = await asyncio.wrap_future(running)
                    if piece is None:
                        return
                    if piece:
                        yield piece
            finally:  # also when the client has gone and a thread is still at work for it
                running.add_done_callback(lambda _: _close(pieces))


def _close(pieces: Iterator[bytes]) -> None:
    if isinstance(pieces, Generator):
        pieces.close()


class _Streamed(StreamingResponse):
    """An answer in pieces, whose source is closed when the answer ends, however it ends.

    A client that takes nothing for `stalled_seconds` holds a reader's place for nothing: its connection is cut.
    """

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes], headers: dict[str, str], stalled_seconds: float
    ) -> None:
        self._rest = rest
        self._stalled_seconds = stalled_seconds
        super().__init__(_chain(first, rest), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._stalled_seconds):
                await send(message)

        async with contextlib.aclosing(self._rest):
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:
                _log.warning("cut off a client that takes nothing of its answer", seconds=self._stalled_seconds)
                scope["extensions"][CUT]()
                await receive()  # until the connection is gone


_NOBODY = Response()  # for a client that has gone: nothing of it is sent


async def _chain(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _next(path: str, text: bytes, cursor: str) -> str:
    """The address of the next page: the same parameters with the new cursor."""
    kept = [(name, value) for name, value in parse_qsl(text.decode(), keep_blank_values=True) if name != "cursor"]
    return f"{path}?{urlencode([*kept, ('cursor', cursor)])}"


def negotiate(accept: str) -> str:
    """The format for an Accept header (RFC 9110, 12.5.1): the known one with the highest q, the first of equals.

    What names a type exactly goes before what names its group, and that before `*/*`.

    Raises:
        NotAcceptable: it names no media type that can be given.
    """
    ranges: dict[str, tuple[float, int]] = {}
    for place, choice in enumerate(accept.split(",") if accept.strip() else ["*/*"]):
        media, _, parameters = choice.partition(";")
        ranges.setdefault(media.strip().lower(), (_quality(parameters), -place))
    best, best_rank = "", (0.0, 0)
    for media, form in _FORMS.items():
        exact_first = (media, f"{media.partition('/')[0]}/*", "*/*")
        rank = next((ranges[name] for name in exact_first if name in ranges), (0.0, 0))
        if rank[0] > 0 and (not best or rank > best_rank):
            best, best_rank = form, rank
    if not best:
        raise NotAcceptable(f"none of {accept[:120]!r} can be given; ask for one of {', '.join(MEDIA.values())}")
    return best


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
