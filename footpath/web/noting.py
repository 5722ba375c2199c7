"""An ASGI application in front of another, that counts its answers and tells of slow reads.

Of a read it is told how it was asked and how long it took, not who was asked for: logs are kept by others, and longer.
"""

import time
from collections.abc import Iterable
from urllib.parse import parse_qsl

import structlog
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from footpath.metrics.counts import Counts

RETRIEVE_PATH = "/api/retrievelogs"
READS = {RETRIEVE_PATH, "/api/sessions", "/api/counts", "/api/clicks", "/api/flows"}  # whose time is told
ELSEWHERE = "other"  # stands for every path that is no route: those are without number

_log = structlog.get_logger()


class Noting:
    """Counts what an application answers."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], counts: Counts, slow_seconds: float) -> None:
        """Count into `counts`, by the paths of `routes`; reads that take longer than `slow_seconds` are logged."""
        self._app = app
        self._counts = counts
        self._slow_seconds = slow_seconds
        self._paths = {getattr(route, "endpoint", None): str(getattr(route, "path", "")) for route in routes}
        self._known = set(self._paths.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            if status:  # else the client had gone
                self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        route = self._paths.get(scope.get("endpoint")) or (path if path in self._known else ELSEWHERE)
        self._counts.answered(route, status)
        if route not in READS or status >= 400:
            return
        self._counts.read_seconds.observe(seconds)
        if seconds >= self._slow_seconds:
            asked = sorted({name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"))})
            _log.warning("slow read", seconds=round(seconds, 3), status=status, asked=asked)
