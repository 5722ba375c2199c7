"""`/openapi.json`, and the pages that people read: `/docs`, made of that document, and `/`.

Built once, served as bytes. The pages need no JavaScript and ask for nothing from anywhere, so they work offline and
under a policy that forbids everything but their own style. Of a request only its origin goes into a page, so that the
commands to copy name this server.
"""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from footpath.web import reference
from footpath.web.examples import ORIGIN
from footpath.web.openapi import document

_STYLE = files("footpath.web").joinpath("static/page.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


async def openapi(_request: Request) -> Response:
    """The document."""
    return Response(_document(), media_type="application/json", headers={"cache-control": "no-cache"})


async def page(request: Request) -> Response:
    """The document, for people."""
    return _answer(request, _page())


async def front(request: Request) -> Response:
    """What this server is, and where to go."""
    return _answer(request, _front())


def _answer(request: Request, content: bytes) -> Response:
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host):
        content = content.replace(ORIGIN.encode(), f"{request.url.scheme}://{host}".encode())
    return Response(content, media_type="text/html", headers=_HEADERS)


@cache
def _document() -> bytes:
    return encode(document())


@cache
def _page() -> bytes:
    return reference.reference(document(), _STYLE).encode()


@cache
def _front() -> bytes:
    return reference.front(document(), _STYLE).encode()
