"""POST /api/submitlogs: headers and body -> checked -> journal -> answer.

The answer "submitted" is sent when the journal says that every accepted action is durable, never before.
Leaves out how a request comes in and an answer goes out: that is `taking` and `protocol`.
"""

import asyncio
import hashlib
from collections.abc import Callable

import structlog
from msgspec import Struct
from msgspec.json import encode

from footpath import decode
from footpath.action import MAX_BODY, Checked, Reject
from footpath.errors import BadKey, FootpathError
from footpath.journal.base import Journal, Once
from footpath.keys.grant import Grant
from footpath.web.responses import INTERNAL, JSON, PLAIN, Headers, describe

MAX_KEY = 255  # characters of an Idempotency-Key: what Stripe takes, whose clients set the custom
REPLAYED = (b"idempotent-replayed", b"true")  # beside an answer that was kept with its key; Stripe's name for it

Answer = Callable[[int, Headers, bytes], None]
"""Takes status, headers and content of an answer."""

_KEY = b"idempotency-key"
_PLAIN = b'{"message":"submitted","accepted":%d,"duplicates":0,"rejected":[]}'
_log = structlog.get_logger()


class Submitted(Struct):
    """The answer when every accepted action is durable; what was sent is the sum of the other three."""

    message: str
    accepted: int
    duplicates: int
    rejected: list[Reject]


class Submit:
    """The route, over a journal that is there once the server has started."""

    def __init__(self, journal: Callable[[], Journal]) -> None:
        """`journal` gives the journal at the time of a request."""
        self._journal = journal

    def take(self, grant: Grant, headers: dict[bytes, bytes], body: bytes, answer: Answer) -> None:
        """Take one whole request that `grant` let in; `answer` is called once, now or later in this event loop."""
        try:
            key = _key(headers[_KEY]) if _KEY in headers else None
            checked = decode.read(body, headers.get(b"content-encoding", b"").decode("latin-1"))
            grant.charge(max(1, checked.received))
            fresh = said(checked)
            once = None if key is None else Once(key, hashlib.sha256(body).digest(), fresh)
            kept = self._journal().append(checked.entries, once)
        except FootpathError as error:
            answer(*describe(error))
        except Exception:  # noqa: BLE001 - it is logged, and the client is told
            _log.exception("a request met a fault")
            answer(*INTERNAL)
        else:
            kept.add_done_callback(lambda done: _finish(done, fresh, answer))


def _finish(done: asyncio.Future[bytes | None], fresh: bytes, answer: Answer) -> None:
    error = done.exception()
    if error is None:
        earlier = done.result()
        if earlier is None:
            answer(200, PLAIN, fresh)
        else:
            answer(200, [JSON, REPLAYED], earlier)
    elif isinstance(error, FootpathError):
        answer(*describe(error))
    else:
        _log.error("a request met a fault", exc_info=error)
        answer(*INTERNAL)


def said(checked: Checked) -> bytes:
    """The answer to a request whose accepted actions are durable."""
    if not checked.rejects:
        return _PLAIN % checked.received
    return encode(Submitted("submitted", checked.accepted, 0, checked.rejects))


def _key(value: bytes) -> str:
    key = value.decode("latin-1")
    if not 1 <= len(key) <= MAX_KEY:
        raise BadKey(f"Idempotency-Key is {len(key)} characters; use 1 to {MAX_KEY}")
    return key


def too_large(size: int) -> str:
    """What to say of a body of at least `size` bytes."""
    return f"the body is over {MAX_BODY} bytes ({size}); send fewer actions at a time, or gzip them"
