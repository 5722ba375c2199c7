"""GET /api/retrievelogs: the query string -> Query -> find -> a streamed answer in the format that Accept asks for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from footpath.errors import NotAcceptable
from footpath.find.answer import page, stream
from footpath.find.base import Find
from footpath.query import Query, parse
from footpath.web.complete import CompleteUntil, tell
from footpath.web.protocol import CUT
from footpath.web.readers import Place, Readers
from footpath.web.responses import following

MEDIA = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
"""The media type of each format of `footpath.find.answer`; the first is the default."""

TOGETHER = 1 << 16
"""Bytes of a narrow answer that are waited for before any are sent. A path is less, as a rule: then it is made in one
turn of a reader's thread, and goes out whole, with its length."""

_log = structlog.get_logger()
_FORMS = {media.split(";", maxsplit=1)[0]: form for form, media in MEDIA.items()}
_FORMS["application/ndjson"] = "ndjson"


class Retrieve:
    """The route, over a find that is there once the server has started."""

    def __init__(
        self,
        find: Callable[[], Find],
        readers: Readers,
        *,
        stalled_seconds: float,
        complete_until: Callable[[], CompleteUntil | None] = lambda: None,
    ) -> None:
        """Prepare to answer.

        Args:
            find: gives the find at the time of a request.
            readers: has the places of those who read.
            stalled_seconds: that a client may take nothing of its answer before it is cut off.
            complete_until: gives what says until when reads have everything; None where they always have.
        """
        self._complete_until = complete_until
        self._find = find
        self._readers = readers
        self._stalled_seconds = stalled_seconds

    async def answer(self, request: Request) -> Response:
        """Take one request."""
        form = negotiate(request.headers.get("accept", ""))
        text: bytes = request.scope["query_string"]
        query = parse(text)
        headers = {"content-type": MEDIA[form], "cache-control": "no-store"}
        if query.limit is None:
            pieces = self._pieces(query, form, headers)
            first = await anext(pieces)  # so that what fails at once is answered with its status
            if isinstance(first, _Whole):
                await pieces.aclose()
                return Response(first, headers=headers)
            return _Streamed(first, pieces, headers, self._stalled_seconds)
        async with self._readers.place() as place:
            await tell(headers, self._complete_until(), place)
            body, next_cursor = await place.run(page, self._find(), query, form)
        if next_cursor is not None:
            headers["link"] = following(request.url.path, text, next_cursor)
        return Response(body, headers=headers)

    async def _pieces(self, query: Query, form: str, headers: dict[str, str]) -> AsyncGenerator[bytes]:
        """The answer in pieces, none empty but a `_Whole` one; what the headers lack is put into them before."""
        if query.is_narrow:  # short, as a rule
            async with self._readers.place() as place, aclosing(self._steps(place, query, form, headers)) as steps:
                first = await anext(steps)
                if isinstance(first, _Whole) or await self._readers.lengthen(place):
                    yield first
                    async for piece in steps:
                        yield piece
                    return
        async with (
            self._readers.place(is_long=True) as place,
            aclosing(self._steps(place, query, form, headers)) as steps,
        ):
            async for piece in steps:
                yield piece

    async def _steps(self, place: Place, query: Query, form: str, headers: dict[str, str]) -> AsyncGenerator[bytes]:
        """The same, in a place."""
        await tell(headers, self._complete_until(), place)
        pieces = _made(self._find(), query, form)
        begin = (
            place.start_apart if form == "parquet" else place.start
        )  # a Parquet file is written before its first piece
        running: Future[Any] = begin(_begin, pieces, TOGETHER if query.is_narrow else 1)
        try:
            first = await asyncio.wrap_future(running)
            yield first
            while not isinstance(first, _Whole):
                running = place.start(next, pieces, None)
                piece = await asyncio.wrap_future(running)
                if piece is None:
                    return
                if piece:
                    yield piece
        finally:  # also when the client has gone and a thread is still at work for it
            running.add_done_callback(lambda _: pieces.close())


class _Whole(bytes):
    """The one piece of a whole answer."""


def _made(find: Find, query: Query, form: str) -> Generator[bytes]:
    """The pieces of an answer, of which nothing is begun before the first is asked for."""
    yield from stream(find, query, form)


def _begin(pieces: Iterator[bytes], size: int) -> bytes:
    """The first pieces of an answer, of `size` bytes or more together; if there are no more, all of it as `_Whole`."""
    begun = b""
    for piece in pieces:
        begun += piece
        if len(begun) >= size:
            return begun
    return _Whole(begun)


class _Streamed(StreamingResponse):
    """An answer in pieces, whose source is closed when the answer ends, however it ends.

    A client that does not take a piece (a megabyte, about) within `stalled_seconds` holds a reader's place for others'
    loss: its connection is cut. Any byte now and then must not be enough, or four clients could stop all reads.
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

        async with aclosing(self._rest):
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:
                _log.warning("cut off a client that takes nothing of its answer", seconds=self._stalled_seconds)
                scope["extensions"][CUT]()
                await receive()  # until the connection is gone


async def _chain(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for piece in rest:
        yield piece


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
