"""Who may look at pages: a key in a cookie, where keys are asked for; and whether a form was this site's own.

The cookie is the key, for the browser alone (HttpOnly) and never sent along from other sites (SameSite=Strict). It is
judged as a key in a header is, at every request. What is typed in is read up to `MAX_FORM`: anybody may send it.
"""

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from footpath.config import is_loopback
from footpath.errors import FootpathError, Forbidden, TooLarge
from footpath.keys.key import Role
from footpath.web.auth import Gate

COOKIE = "footpath_key"
MAX_FORM = 10_000  # bytes: an id or a key, and a word


def key_of(request: Request) -> str | None:
    """The key that the browser keeps, if it keeps one."""
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None or not morsel.value else morsel.value


class Door:
    """In front of all pages."""

    def __init__(self, gate: Gate) -> None:
        """Let in whom `gate` does."""
        self._gate = gate

    def let_in(self, role: Role, request: Request) -> None:
        """Let a request in.

        Raises:
            Unauthorized: there is no good key.
            Forbidden: the key is not for this.
        """
        self._gate.let_in(role, headers_with(request, key_of(request)))

    def is_open_to(self, role: Role, request: Request) -> bool:
        """Whether a request would be let in."""
        return self._gate.allows(role, headers_with(request, key_of(request)))

    def is_good(self, request: Request, key: str) -> bool:
        """Whether a key lets people read."""
        return self._gate.allows("read", headers_with(request, key))

    @staticmethod
    def enter(response: Response, request: Request, key: str) -> None:
        """Have the browser keep a key, until it is closed."""
        secure = not is_loopback(request.url.hostname or "")  # a proxy has the certificate; loopback has none
        response.set_cookie(COOKIE, key, path="/ui", secure=secure, httponly=True, samesite="strict")

    @staticmethod
    def leave(response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(COOKIE, path="/ui")


def headers_with(request: Request, key: str | None) -> list[tuple[bytes, bytes]]:
    """The headers of a request with this key and no other."""
    given: list[tuple[bytes, bytes]] = request.scope["headers"]
    kept = [header for header in given if header[0] not in {b"authorization", b"x-api-key", b"origin"}]
    return kept if key is None else [*kept, (b"x-api-key", key.encode("utf-8", "replace"))]


def check_own(request: Request) -> None:
    """That a form was sent from a page of this server: browsers say so, and a page of another cannot lie.

    Raises:
        Forbidden: it was not.
    """
    origin = request.headers.get("origin")
    if origin is None or urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("this form was not sent from footpath's own page; open the page and send it from there")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent.

    Raises:
        TooLarge: it is no form of these pages.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise TooLarge(f"this form is over {MAX_FORM} bytes; none of footpath's is")
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def is_refusal(error: FootpathError) -> bool:
    """Whether another key would help."""
    return error.code in {"unauthorized", "forbidden"}
