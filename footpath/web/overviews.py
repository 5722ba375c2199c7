"""GET /api/sessions, /api/counts, /api/clicks and /api/flows: the query string -> what is asked -> one JSON answer."""

from collections.abc import Callable
from typing import TypeVar

from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from footpath.find.base import Overviews
from footpath.overview import asked as asking
from footpath.overview.told import Sessions
from footpath.query import parameters
from footpath.web.complete import CompleteUntil, tell
from footpath.web.readers import Readers
from footpath.web.responses import following

SESSIONS_PATH, COUNTS_PATH, CLICKS_PATH, FLOWS_PATH = "/api/sessions", "/api/counts", "/api/clicks", "/api/flows"

T = TypeVar("T")


class Overview:
    """The four routes, over overviews that are there once the server has started."""

    def __init__(
        self,
        overviews: Callable[[], Overviews],
        readers: Readers,
        *,
        complete_until: Callable[[], CompleteUntil | None] = lambda: None,
    ) -> None:
        """Prepare to answer.

        Args:
            overviews: gives them at the time of a request.
            readers: has the places of those who read.
            complete_until: gives what says until when reads have everything; None where they always have.
        """
        self._overviews = overviews
        self._readers = readers
        self._complete_until = complete_until

    async def sessions(self, request: Request) -> Response:
        """A page of a user's sessions."""
        query: bytes = request.scope["query_string"]
        asked = asking.sessions_of(parameters(query))
        headers: dict[str, str] = {}
        page = await self._look(headers, lambda: self._overviews().sessions(asked))
        if page.next_cursor is not None:
            headers["link"] = following(request.url.path, query, page.next_cursor)
        return _json(Sessions(page.sessions), headers)

    async def counts(self, request: Request) -> Response:
        """Actions over time."""
        asked = asking.counts_of(parameters(request.scope["query_string"]))
        return await self._answer(lambda: self._overviews().counts(asked))

    async def clicks(self, request: Request) -> Response:
        """Clicks over a page."""
        asked = asking.clicks_of(parameters(request.scope["query_string"]))
        return await self._answer(lambda: self._overviews().clicks(asked))

    async def flows(self, request: Request) -> Response:
        """Navigations between pages."""
        asked = asking.flows_of(parameters(request.scope["query_string"]))
        return await self._answer(lambda: self._overviews().flows(asked))

    async def _answer(self, look: Callable[[], object]) -> Response:
        headers: dict[str, str] = {}
        told = await self._look(headers, look)
        return _json(told, headers)

    async def _look(self, headers: dict[str, str], look: Callable[[], T]) -> T:
        """What a look gives, in a place of those who read."""
        async with self._readers.place() as place:
            await tell(headers, self._complete_until(), place)
            return await place.run(look)


def _json(told: object, headers: dict[str, str]) -> Response:
    return Response(encode(told), headers={"cache-control": "no-store", **headers}, media_type="application/json")
