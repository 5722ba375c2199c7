"""What is true of every page: who may look, reading in a reader's place, the template, its headers, and errors.

The policy lets a page load and send to this server alone, and run no script that stands in it: whatever ids and
properties hold stays text.
"""

from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import structlog
from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from footpath.errors import FootpathError
from footpath.find.base import Find, Overviews
from footpath.keys.key import Role
from footpath.web.pages import words
from footpath.web.pages.door import Door, is_refusal, key_of
from footpath.web.readers import Readers, while_asked
from footpath.web.reference import ICON
from footpath.web.responses import describe

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # no-referrer would take the Origin from our own forms, too
    "cache-control": "no-store",
}
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]

_log = structlog.get_logger()


class Sources(NamedTuple):
    """Where pages have what they show from, of the running server; `follows` says whether it tells what comes in."""

    find: Callable[[], Find]
    overviews: Callable[[], Overviews]
    readers: Readers
    follows: Callable[[], bool]


class Show:
    """Makes pages."""

    def __init__(self, sources: Sources, door: Door) -> None:
        """Read the templates when they are needed."""
        self.sources = sources
        self.door = door
        self._environment = Environment(
            loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters |= {
            "number": words.number,
            "size": words.size,
            "when": words.day_and_clock,
            "lasting": words.lasting,
            "segment": segment,
        }
        self._environment.globals |= {"address": address, "icon": ICON}

    async def look(self, step: Callable[[], T]) -> T:
        """What a read gives, in a place of those who read."""
        async with self.sources.readers.place() as place:
            return await place.run(step)

    async def large(
        self, request: Request, template: str, tell: Callable[[], dict[str, Any]], status: int = 200
    ) -> Response:
        """A page like `page`, of what `tell` gives; both are work of milliseconds, so they run where reads do."""
        return await self.look(lambda: self.page(request, template, status, **tell()))

    def page(self, request: Request, template: str, status: int = 200, **told: Any) -> Response:
        """A page, of the template of this name."""
        has_key = key_of(request) is not None
        always = {"here": request.url.path, "has_key": has_key, "follows": self.sources.follows()}
        text = self._environment.get_template(f"{template}.html").render(**always, **told)
        return Response(text, status, HEADERS, "text/html")

    def for_role(self, role: Role, handler: Handler) -> Handler:
        """A handler for those who have a role; what goes wrong in it is a page, too."""

        async def handle(request: Request) -> Response:
            try:
                self.door.let_in(role, request)
                return await (handler(request) if request.method == "POST" else while_asked(handler)(request))
            except FootpathError as error:
                return self._refused(request, error)
            except HTTPException as error:
                if error.status_code != 404:
                    raise
                return self.page(request, "error", 404, title="Not here", message=error.detail)

        return handle

    def _refused(self, request: Request, error: FootpathError) -> Response:
        if is_refusal(error) and request.method == "GET":
            to = urlencode({"to": address(request.url.path, request.query_params.multi_items())})
            return RedirectResponse(f"/ui/login?{to}", 303, HEADERS)
        status, told, _ = describe(error)
        title = "Wrong key" if is_refusal(error) else "That did not work"
        response = self.page(request, "error", status, title=title, message=str(error))
        response.headers.update({name.decode(): value.decode() for name, value in told if name == b"retry-after"})
        if status >= 500:
            _log.warning("a page could not be made", path=request.url.path, code=error.code)
        return response


def address(path: str, parameters: Sequence[tuple[str, object]] | dict[str, object] = ()) -> str:
    """A path with those parameters that have a value."""
    pairs = list(parameters.items()) if isinstance(parameters, dict) else list(parameters)
    text = urlencode([(name, value) for name, value in pairs if value not in {None, ""}])
    return f"{path}?{text}" if text else path


def segment(text: str) -> str:
    """Any text as one segment of a path."""
    return quote(text, safe="")


def _template(name: str) -> str:
    return files("footpath.web").joinpath("templates", name).read_text(encoding="utf-8")
