"""Who may do what over HTTP: the key of a request, the role of a route, and which pages may read an answer (CORS).

`Gate` is plain functions over headers and query, for a route however it is served. `Guard` holds it in front of an
ASGI application. A key comes as `Authorization: Bearer KEY`, as `X-API-Key: KEY`, or, for `navigator.sendBeacon`, which
can send no headers, as `?key=KEY`; the last only for writing, since addresses end up in logs and histories.

CORS: a request with a good key is answered as that key says; preflights carry no key and errors may have none, so for
those every live key counts. Writing allows credentials, because sendBeacon always sends them; footpath reads no cookie.
Without keys, pages of this machine's own development servers may write, and none may read.

Without keys, whoever asks by a name of the internet is refused: a page that anybody made can have its name point to
127.0.0.1 (DNS rebinding), and a proxy that passes such a name on lets in everybody.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from footpath.errors import FootpathError, Forbidden, Unauthorized
from footpath.keys.grant import OPEN, Grant
from footpath.keys.key import Role
from footpath.keys.ring import Ring
from footpath.metrics.counts import Counts
from footpath.web.responses import Headers, describe

ROLES: dict[str, Role] = {
    "/api/submitlogs": "write",
    "/api/retrievelogs": "read",
    "/api/sessions": "read",
    "/api/counts": "read",
    "/api/clicks": "read",
    "/api/flows": "read",
    "/api/tail": "read",
    "/metrics": "read",
}
"""What role a path needs. Every other path below /api/ needs admin; all else is open."""

PREFLIGHT_SECONDS = 7200  # how long a browser may remember a preflight: Chrome's own limit
EXPOSED = b"Idempotent-Replayed, Link, Retry-After"  # what a page may read of an answer beside what it always may

_BEARER = b"bearer "
_WANTED = frozenset((b"authorization", b"x-api-key", b"origin", b"host"))
_ORIGIN = re.compile(rb"[a-z][a-z0-9+.-]{0,30}://[A-Za-z0-9.\[\]:_-]{1,260}|null")
_TOKENS = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,2000}")


def role_of(path: str) -> Role | None:
    """The role that a path needs; None if it is open."""
    role = ROLES.get(path)
    return "admin" if role is None and path.startswith("/api/") else role


class Sent(NamedTuple):
    """The key of a request, its origin, why there is no key if there is none, and the host that was asked."""

    key: bytes | None
    origin: str | None
    trouble: str
    host: bytes


def sent(headers: Sequence[tuple[bytes, bytes]], query: bytes = b"") -> Sent:
    """What came with a request.

    Args:
        headers: names in lower case.
        query: where `key` is looked for; empty where it must not be.
    """
    keys = []
    origin = None
    host = b""
    trouble = "no key came with the request"
    for name, value in headers:
        if name not in _WANTED:
            continue
        if name == b"authorization":
            if value[:7].lower() == _BEARER:
                keys.append(value[7:].strip())
            else:  # a proxy's own password, perhaps
                trouble = "Authorization is not of the form Bearer KEY"
        elif name == b"origin":
            origin = value.decode() if _ORIGIN.fullmatch(value) else ""
        elif name == b"host":
            host = value
        else:
            keys.append(value.strip())
    if query:
        keys += [unquote_to_bytes(pair[4:]) for pair in query.split(b"&") if pair.startswith(b"key=")]
    if len(keys) == 1 or (keys and keys.count(keys[0]) == len(keys)):
        return Sent(keys[0], origin, "", host)
    if keys:
        trouble = "the request carries more than one key"
    return Sent(None, origin, trouble, host)


class Gate:
    """Lets requests in, or refuses them, over a ring that is there once the server has started."""

    def __init__(self, ring: Callable[[], Ring]) -> None:
        """`ring` gives the ring at the time of a request."""
        self._ring = ring

    def let_in(self, role: Role, headers: Sequence[tuple[bytes, bytes]], query: bytes = b"") -> Grant:
        """What the key of a request allows, which is at least the role, with room in its rate.

        Args:
            role: that the route needs.
            headers: names in lower case.
            query: as it came; only for writing it may hold the key.

        Raises:
            Unauthorized: there is no good key.
            Forbidden: the key is not for this.
            OverRate: it has sent too much.
            ReadFailed: the keys could not be read.
        """
        return self.admit(role, lambda: sent(headers, query if role == "write" else b""))

    def admit(self, role: Role, found: Callable[[], Sent], before: Grant | None = None) -> Grant:
        """The same, for what `sent` gives.

        Args:
            role: that the route needs.
            found: gives what came with the request.
            before: what the very same head was let in with for this role, if it was: unless the keys were read again
                since, only the time and the rate of its key can have changed.
        """
        ring = self._ring()
        ring.refresh()
        if before is OPEN and ring.is_open:
            return OPEN
        if before is not None and before is not OPEN and not before.is_old:
            ring.make_sure(before)
            before.make_sure()
            return before
        key, origin, trouble, host = found()
        if ring.is_open:
            if is_of_internet(host):
                raise Forbidden(
                    f"without keys footpath serves this machine alone, by its address or as localhost; as"
                    f" {host.decode('latin-1')[:120]!r} it needs one: footpath key create"
                )
            return OPEN
        if key is None:
            hint = ", X-API-Key: KEY or ?key=KEY" if role == "write" else " or X-API-Key: KEY"
            raise Unauthorized(f"{trouble}: send a {role} key as Authorization: Bearer KEY{hint}")
        grant = ring.find(key)
        grant.check(role, origin)
        grant.make_sure()
        return grant

    def allows(self, role: Role, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request would be let in, where a route is open but tells some more than others."""
        try:
            self.let_in(role, headers)
        except FootpathError:
            return False
        return True

    def cors(self, role: Role, headers: Sequence[tuple[bytes, bytes]], grant: Grant | None = None) -> Headers:
        """The CORS headers of an answer.

        Args:
            role: of the route.
            headers: of the request.
            grant: what its key allows; None where there is no good key, or there was an error.
        """
        origin = None
        for name, value in headers:
            if name == b"origin":
                origin = value
        if origin is None:
            return [] if role == "write" else [_VARY]
        if not self._shares(role, origin, grant):
            return [_VARY]
        shared = [_VARY, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED)]
        return [*shared, _CREDENTIALS] if role == "write" else shared

    def preflight(self, role: Role, headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, Headers, bytes] | None:
        """The answer to what a browser asks before it sends a request of a page; None if this is no such question.

        It holds the methods and headers that were asked for: what they may do is decided when the request comes.

        Raises:
            ReadFailed: the keys could not be read.
        """
        asked = dict(headers)
        origin, method = asked.get(b"origin"), asked.get(b"access-control-request-method")
        if origin is None or method is None:
            return None
        self._ring().refresh()
        vary = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        wanted = asked.get(b"access-control-request-headers", b"")
        if not self._shares(role, origin, None) or not _TOKENS.fullmatch(method):
            error = Forbidden("no live key lets pages of this origin in; see footpath key create --origin")
            status, told, content = describe(error)
            return status, [*told, vary], content
        answer = [
            vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", method),
            (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        ]
        if _TOKENS.fullmatch(wanted):
            answer.append((b"access-control-allow-headers", wanted))
        if role == "write":
            answer.append(_CREDENTIALS)
        return 204, answer, b""

    def _shares(self, role: Role, origin: bytes, grant: Grant | None) -> bool:
        if not _ORIGIN.fullmatch(origin):
            return False
        ring = self._ring()
        if ring.is_open:
            return role == "write" and _is_here(origin.decode())
        return (ring if grant is None else grant).shares(role, origin.decode())


@lru_cache(256)
def is_of_internet(host: bytes) -> bool:
    """Whether a Host header is a name that somebody can have in DNS: with a dot, and neither an address nor local."""
    name = host.decode("latin-1").lower()
    name = name.partition("]")[0].lstrip("[") if name.startswith("[") else name.partition(":")[0]
    name = name.rstrip(".")
    if "." not in name or name.endswith(".localhost"):
        return False
    try:
        ip_address(name)
    except ValueError:
        return True
    return False


_VARY = (b"vary", b"Origin")
_CREDENTIALS = (b"access-control-allow-credentials", b"true")


def _is_here(origin: str) -> bool:
    """Whether it is the origin of a page that this machine serves."""
    try:
        host = urlsplit(origin).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """An ASGI application in front of another: no request passes without the role that its path needs."""

    def __init__(self, app: ASGIApp, gate: Gate, counts: Counts) -> None:
        """Guard an application, and count whom it does not let in."""
        self._app = app
        self._gate = gate
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        role = role_of(scope["path"]) if scope["type"] == "http" else None
        if role is None:
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        try:
            if scope["method"] == "OPTIONS" and (answer := self._gate.preflight(role, headers)) is not None:
                await _answer(send, *answer)
                return
            grant = self._gate.let_in(role, headers, scope["query_string"])
        except FootpathError as error:
            self._counts.refused(error.code)
            status, told, content = describe(error)
            await _answer(send, status, [*told, *self._gate.cors(role, headers)], content)
            return
        shared = self._gate.cors(role, headers, grant)

        async def send_shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *shared]
            await send(message)

        await self._app(scope, receive, send_shared)


async def _answer(send: Send, status: int, headers: Headers, content: bytes) -> None:
    if status != 204:  # RFC 9110, 8.6
        headers = [*headers, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
