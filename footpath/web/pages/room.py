"""The routes below /ui/: put together when a server starts, if the extra [ui] is installed; else one page says how."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from footpath.find.base import Find, Overviews
from footpath.keys.ring import Ring
from footpath.web.auth import Gate
from footpath.web.pages.door import Door, check_own, form_of
from footpath.web.readers import Readers
from footpath.web.rejects import ReadRejects
from footpath.web.report import Report
from footpath.web.tail import Tail

if TYPE_CHECKING:
    from footpath.web.pages.show import Handler, Show

INSTALL = "footpath's pages are not installed: pip install 'footpath[ui]', and start it again\n"
LASTING = {"cache-control": "public, max-age=86400", "x-content-type-options": "nosniff"}


class Parts(NamedTuple):
    """What pages are made of, of the running server."""

    find: Callable[[], Find]
    overviews: Callable[[], Overviews]
    readers: Readers
    gate: Gate
    report: Callable[[], Report]
    measure: Callable[[], Callable[[], Mapping[str, float]]]
    ready: Callable[[], Callable[[], dict[str, str]]]
    rejects: Callable[[], ReadRejects | None]
    follows: Callable[[], bool]
    keys: Callable[[], Ring]
    retrieve: "Handler"
    forget: "Handler"
    tail: Tail
    folder: Path


def is_installed() -> bool:
    """Whether the extra [ui] is."""
    return find_spec("jinja2") is not None and find_spec("vl_convert") is not None


def routes(parts: Parts) -> list[BaseRoute]:
    """All routes below /ui/."""
    if not is_installed():
        return [Route("/ui/{rest:path}", _not_installed)]
    from footpath.web.pages.live import Live
    from footpath.web.pages.maps import Maps
    from footpath.web.pages.search import Search
    from footpath.web.pages.show import Show, Sources
    from footpath.web.pages.user import User
    from footpath.web.pages.vega import Vega

    show = Show(Sources(parts.find, parts.overviews, parts.readers, parts.follows), Door(parts.gate))
    search, maps = Search(show), Maps(show)
    user = User(show, parts.retrieve, parts.forget)
    live = Live(show, parts.tail, parts.report, parts.measure, parts.ready, parts.rejects, parts.keys)
    vega = Vega(parts.folder)
    login = _Login(show)

    async def charts(_request: Request) -> Response:
        return Response(await vega.script(), media_type="text/javascript", headers=LASTING)

    def for_readers(path: str, handler: "Handler") -> Route:
        return Route(path, show.for_role("read", handler))

    return [
        Route("/ui", _to_front),
        Route("/ui/login", login.page, methods=["GET"]),
        Route("/ui/login", login.enter, methods=["POST"]),
        Route("/ui/logout", login.leave, methods=["POST"]),
        Route("/ui/static/vega.js", charts),
        Route("/ui/static/{name}", _static),
        for_readers("/ui/", search.answer),
        for_readers("/ui/user", user.find),
        for_readers("/ui/users/{userId:path}/export", user.export),
        Route("/ui/users/{userId:path}/forget", show.for_role("admin", user.forget), methods=["POST"]),
        for_readers("/ui/users/{userId:path}", user.answer),
        for_readers("/ui/heatmap", maps.heatmap),
        for_readers("/ui/flows", maps.flows),
        for_readers("/ui/tail", live.tail),
        for_readers("/ui/tail/events", live.events),
        for_readers("/ui/status", live.status),
    ]


class _Login:
    """Entering with a key, and leaving."""

    def __init__(self, show: "Show") -> None:
        self._show = show

    async def page(self, request: Request) -> Response:
        """The form."""
        return self._show.page(request, "login", to=_own(request.query_params.get("to", "")), is_wrong=False)

    async def enter(self, request: Request) -> Response:
        """Keep a good key in a cookie. Nobody is made to use another's: the form must be our own."""
        check_own(request)
        form = await form_of(request)
        to, key = _own(form.get("to", "")), form.get("key", "").strip()
        if not self._show.door.is_good(request, key):
            return self._show.page(request, "login", 401, to=to, is_wrong=True)
        response = RedirectResponse(to, 303)
        self._show.door.enter(response, request, key)
        return response

    async def leave(self, request: Request) -> Response:
        """Forget the key."""
        check_own(request)
        response = RedirectResponse("/ui/login", 303)
        self._show.door.leave(response)
        return response


def _own(to: str) -> str:
    """An address of these pages: nobody is sent elsewhere."""
    return to if to.startswith("/ui/") and "\\" not in to else "/ui/"


async def _static(request: Request) -> Response:
    media = {"pages.css": "text/css", "pages.js": "text/javascript"}.get(request.path_params["name"])
    if media is None:
        return PlainTextResponse("there is nothing at this path\n", 404)
    file = files("footpath.web").joinpath("static", request.path_params["name"])
    headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
    return Response(file.read_bytes(), media_type=media, headers=headers)


async def _to_front(_request: Request) -> Response:
    return RedirectResponse("/ui/", 308)


async def _not_installed(_request: Request) -> Response:
    return PlainTextResponse(INSTALL, 501)
