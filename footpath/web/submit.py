"""POST /api/submitlogs, as plain ASGI: every other layer would cost more than decoding and checking an action does.

The answer "submitted" is sent when the journal says that every accepted action is durable, never before.
"""

import hashlib
from collections.abc import Callable

from msgspec import Struct
from msgspec.json import encode
from starlette.types import Receive, Scope, Send

from footpath import decode
from footpath.action import MAX_BODY, Checked, Reject
from footpath.errors import BadKey, FootpathError, TooLarge
from footpath.journal.base import Journal, Once
from footpath.web.responses import JSON, answer, describe

MAX_KEY = 255  # characters of an Idempotency-Key: what Stripe takes, whose clients set the custom
REPLAYED = (b"idempotent-replayed", b"true")  # beside an answer that was kept with its key; Stripe's name for it

_PLAIN = b'{"message":"submitted","accepted":%d,"duplicates":0,"rejected":[]}'


class Submitted(Struct):
    """The answer when every accepted action is durable; what was sent is the sum of the other three."""

    message: str
    accepted: int
    duplicates: int
    rejected: list[Reject]


class ClientGone(Exception):
    """The client hung up before its body was complete; there is nobody to answer."""


class Submit:
    """The route, over a journal that is there once the server has started."""

    def __init__(self, journal: Callable[[], Journal]) -> None:
        """`journal` gives the journal at the time of a request."""
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        try:
            encoding, key = _headers(scope)
            body = await _body(receive)
            checked = decode.read(body, encoding)
            fresh = said(checked)
            once = Once(key, hashlib.sha256(body).digest(), fresh) if key else None
            earlier = await self._journal().append(checked.entries, once)
        except FootpathError as error:
            status, headers, content = describe(error)
            if isinstance(error, TooLarge):
                headers.append((b"connection", b"close"))  # the rest of the body is not read
            await answer(send, status, headers, content)
        except ClientGone:
            return
        else:
            if earlier is None:
                await answer(send, 200, [JSON], fresh)
            else:
                await answer(send, 200, [JSON, REPLAYED], earlier)


def said(checked: Checked) -> bytes:
    """The answer to a request whose accepted actions are durable."""
    if not checked.rejects:
        return _PLAIN % checked.received
    return encode(Submitted("submitted", checked.accepted, 0, checked.rejects))


def _headers(scope: Scope) -> tuple[str, str]:
    """The content encoding and the Idempotency-Key, empty where there is none."""
    encoding = key = ""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if int(value) > MAX_BODY:
                raise TooLarge(_too_large(int(value)))
        elif name == b"content-encoding":
            encoding = value.decode("latin-1")
        elif name == b"idempotency-key":
            key = _key(value)
    return encoding, key


def _key(value: bytes) -> str:
    key = value.decode("latin-1")
    if not 1 <= len(key) <= MAX_KEY:
        raise BadKey(f"Idempotency-Key is {len(key)} characters; use 1 to {MAX_KEY}")
    return key


def _too_large(size: int) -> str:
    return f"the body is over {MAX_BODY} bytes ({size}); send fewer actions at a time, or gzip them"


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and message["type"] == "http.request":
        return body
    pieces = [body]
    size = len(body)
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()
        piece: bytes = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY:
            raise TooLarge(_too_large(size))
