"""The ASGI application: which path is answered by which route, and what lives as long as the server.

`submitlogs` does not come here: `protocol` hands it to `App.intake`. Everything else is Starlette's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from footpath.config import Settings
from footpath.errors import Busy, FootpathError
from footpath.find.base import Find, Newest, Overviews
from footpath.journal.base import Journal
from footpath.keys.ring import Ring
from footpath.metrics.board import Place
from footpath.metrics.counts import Counts
from footpath.store.forgetting import Forget
from footpath.web import docs, metrics, responses
from footpath.web.auth import Gate, Guard
from footpath.web.complete import CompleteUntil
from footpath.web.feed import Feed
from footpath.web.intake import SUBMIT_PATH, Intake, Limits
from footpath.web.noting import RETRIEVE_PATH, Noting
from footpath.web.overviews import CLICKS_PATH, COUNTS_PATH, FLOWS_PATH, SESSIONS_PATH, Overview
from footpath.web.pages import room
from footpath.web.readers import Gone, Readers, while_asked
from footpath.web.rejects import NO_REJECTS, REJECTS_PATH, ReadRejects, Rejects
from footpath.web.report import Report
from footpath.web.retrieve import Retrieve
from footpath.web.submit import Submit
from footpath.web.tail import NO_TAIL, TAIL_PATH, Tail
from footpath.web.tracker import Tracker
from footpath.web.users import PATH, Users


class Fittings(NamedTuple):
    """What the routes work on: opened when the server starts, in its event loop.

    `ready` says what is wrong, by part; nothing if all is well. `keys` belongs to the loop's thread. `rejects`
    reads those that are kept, in any thread. `gauges` and `measure` give metrics by name, the first in the loop, the
    second in any thread. `place` is where to write them for other processes. `newest` and `rejects` are None where the
    fittings give none. `complete_until` says, in any thread, until when (microseconds since 1970)
    everything that was said to be kept is seen by a read that begins now; it is None where that is always everything.
    `refusal` is what every submit is refused with just now, if it is, so that its body need not be read.
    """

    journal: Journal
    find: Find
    ready: Callable[[], dict[str, str]]
    keys: Ring
    forget: Forget
    rejects: ReadRejects | None
    overviews: Overviews
    gauges: Callable[[], Mapping[str, float]] = dict
    measure: Callable[[], Mapping[str, float]] = dict
    place: Place | None = None
    complete_until: CompleteUntil | None = None
    newest: Newest | None = None
    refusal: Callable[[], FootpathError | None] = lambda: None


Open = Callable[[AsyncExitStack], Fittings]
SMALL = frozenset(("/healthz", "/readyz", "/metrics"))
"""Paths that are answered however much waits to be taken: who watches a server asks for them."""

_NOTHING = HTTPStatus.NOT_FOUND.phrase  # what Starlette says of a path that no route has


class App:
    """The application, over fittings that `open_fittings` opens and registers for closing."""

    def __init__(self, open_fittings: Open, settings: Settings, counts: Counts | None = None) -> None:
        """Prepare the routes; the fittings are opened when the server starts, what happens is counted in `counts`."""
        self._open = open_fittings
        self.counts = counts = Counts() if counts is None else counts
        self._report: Report | None = None
        self._fittings: Fittings | None = None
        self._gate = Gate(lambda: self.fittings.keys)
        limits = Limits(
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            idle_seconds=settings.idle_seconds,
            stalled_seconds=settings.stalled_seconds,
            connections=settings.connections,
            held_bytes=settings.held_bytes,
        )
        submit = Submit(lambda: self.fittings.journal, counts)
        also = settings.tracker_submit_path.encode()
        self.intake = Intake(submit, self._gate, limits, counts, path=also, refusal=self._refusal)
        tracker = Tracker(settings)
        self._readers = readers = Readers(settings.readers, settings.waiting_reads, remote=bool(settings.journal))
        retrieve = Retrieve(
            lambda: self.fittings.find,
            readers,
            stalled_seconds=settings.stalled_seconds,
            complete_until=lambda: self.fittings.complete_until,
        )
        overview = Overview(
            lambda: self.fittings.overviews, readers, complete_until=lambda: self.fittings.complete_until
        )
        self._feed = Feed(lambda: self.newest, readers, settings.tails)
        tail = Tail(self._feed, self._gate, stalled_seconds=settings.stalled_seconds)
        users = Users(lambda: self.fittings.forget, refuse_days=settings.forgotten_days)
        pages = room.routes(
            room.Parts(
                find=lambda: self.fittings.find,
                overviews=lambda: self.fittings.overviews,
                readers=readers,
                gate=self._gate,
                report=lambda: self.report,
                measure=lambda: self.fittings.measure,
                ready=lambda: self.fittings.ready,
                rejects=lambda: self.fittings.rejects,
                follows=lambda: self.fittings.newest is not None,
                keys=lambda: self.fittings.keys,
                retrieve=retrieve.answer,
                forget=users.delete,
                tail=tail,
                folder=settings.data / "pages",
            )
        )
        self._router = Starlette(
            lifespan=self._lifespan,
            routes=[
                Route(RETRIEVE_PATH, while_asked(retrieve.answer)),
                Route(SESSIONS_PATH, while_asked(overview.sessions)),
                Route(COUNTS_PATH, while_asked(overview.counts)),
                Route(CLICKS_PATH, while_asked(overview.clicks)),
                Route(FLOWS_PATH, while_asked(overview.flows)),
                Route(TAIL_PATH, tail.answer),
                Route(REJECTS_PATH, Rejects(lambda: self.rejects).answer, methods=["GET"]),
                Route("/metrics", self._metrics),
                Route(f"{PATH}{{userId:path}}", users.delete, methods=["DELETE"]),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/openapi.json", docs.openapi),
                Route("/docs", docs.page),
                Route(tracker.path, tracker.script),
                Route(tracker.module_path, tracker.module),
                Route("/", docs.front),
                *pages,
            ],
            exception_handlers={
                FootpathError: self._refused,
                HTTPException: _http_error,
                Gone: _to_nobody,
                500: _unexpected,
            },
        )
        self._guard = Guard(self._router, self._gate, counts)
        self._answer_bytes = settings.answer_bytes
        self._rest = Noting(self._unless_full, self._router.routes, counts, settings.slow_read_seconds)

    @property
    def fittings(self) -> Fittings:
        """The fittings of the running server."""
        if self._fittings is None:
            raise RuntimeError("the server has not started")
        return self._fittings

    @property
    def rejects(self) -> ReadRejects:
        """What reads the rejects of the running server.

        Raises:
            HTTPException: it keeps none.
        """
        if self.fittings.rejects is None:
            raise HTTPException(404, NO_REJECTS)
        return self.fittings.rejects

    @property
    def newest(self) -> Newest:
        """What was kept lately by the running server.

        Raises:
            HTTPException: its store does not tell.
        """
        if self.fittings.newest is None:
            raise HTTPException(404, NO_TAIL)
        return self.fittings.newest

    @property
    def report(self) -> Report:
        """What the running server tells of itself."""
        if self._report is None:
            raise RuntimeError("the server has not started")
        return self._report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request that is not for `submitlogs`, or the start and stop of the server."""
        await self._rest(scope, receive, send)

    async def _unless_full(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless what clients have not taken of their answers is too much: that is all in memory.

        Also an open page may be asked for by ten thousand connections of somebody who takes nothing of it.
        """
        if scope["type"] == "http" and scope["path"] not in SMALL:
            unsent = self.intake.unsent()
            if unsent > self._answer_bytes:
                error = Busy(f"{unsent} bytes of answers wait for their clients to take them; ask again in a moment")
                await (await self._refused(Request(scope), error))(scope, receive, send)
                return
        await self._guard(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            self._fittings = self._open(stack)
            self._report = Report(self.counts, self._gauges, self._fittings.place)
            reporting = asyncio.get_running_loop().create_task(self._report.run())
            try:
                yield
            finally:
                reporting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reporting
                self._report.mine()
                self._report.summarise()

    def _gauges(self) -> dict[str, float]:
        return {
            "footpath_connections": self.intake.connections,
            "footpath_body_bytes": self.intake.held,
            **self._readers.gauges(),
            **self._feed.gauges(),
            **self.fittings.gauges(),
        }

    def _refusal(self) -> FootpathError | None:
        return self.fittings.refusal()

    async def _refused(self, _request: Request, error: Exception) -> Response:
        if not isinstance(error, FootpathError):
            raise error
        self.counts.refused(error.code)
        return responses.response(error)

    async def _metrics(self, _request: Request) -> Response:
        return await metrics.answer(self.report, self.fittings.measure)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, request: Request) -> Response:
        """What is wrong is told to those who may know: it can name paths and people's programs."""
        wrong = await run_in_threadpool(self.fittings.ready)
        if wrong:
            told = wrong if self._gate.allows("admin", request.scope["headers"]) else {}
            return JSONResponse({"status": "not ready", **told}, 503, {"retry-after": responses.RETRY_AFTER.decode()})
        return JSONResponse({"status": "ready"})


async def _to_nobody(_request: Request, _error: Exception) -> Response:
    return responses.NOBODY


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router refuses, in the one shape of errors."""
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    if error.status_code == 404:
        if path == SUBMIT_PATH.decode():
            message = f"send POST to {path}"
            return Response(responses.body("method_not_allowed", message), 405, {"allow": "POST"}, "application/json")
        message = "there is nothing at this path; see /docs" if error.detail == _NOTHING else error.detail
        return Response(responses.body("not_found", message), 404, media_type="application/json")
    code = "method_not_allowed" if error.status_code == 405 else "http_error"
    message = f"{request.method} is not for {path}; see /docs" if error.status_code == 405 else error.detail
    return Response(responses.body(code, message), error.status_code, error.headers, "application/json")


async def _unexpected(_request: Request, _error: Exception) -> Response:
    """A fault of footpath's own: Starlette logs it with its traceback."""
    status, _, content = responses.INTERNAL
    return Response(content, status, media_type="application/json")
