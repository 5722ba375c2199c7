"""POST /api/submitlogs: headers and body -> checked -> journal -> answer.

The answer "submitted" is sent when the journal says that every accepted action is durable, never before.
Leaves out how a request comes in and an answer goes out: that is `taking` and `protocol`.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable

import structlog
from msgspec import Struct
from msgspec.json import decode as decode_json
from msgspec.json import encode

from footpath import decode
from footpath.action import MAX_BODY, Checked, Reject
from footpath.errors import BadKey, FootpathError
from footpath.journal.base import ALL_NEW, Journal, Kept, Once
from footpath.keys.grant import Grant
from footpath.metrics.counts import SUBMIT, Counts
from footpath.validate import refuse_forgotten
from footpath.web.responses import INTERNAL, JSON, PLAIN, Headers, describe

MAX_KEY = 255  # characters of an Idempotency-Key: what Stripe takes, whose clients set the custom
REPLAYED = (b"idempotent-replayed", b"true")  # beside an answer that was kept with its key; Stripe's name for it

Answer = Callable[[int, Headers, bytes], None]
"""Takes status, headers and content of an answer."""

_KEY = b"idempotency-key"
_PLAIN = b'{"message":"submitted","accepted":%d,"duplicates":%d,"rejected":[]}'
_log = structlog.get_logger()


class Submitted(Struct):
    """The answer when every accepted action is durable; what was sent is the sum of the other three."""

    message: str
    accepted: int
    duplicates: int
    rejected: list[Reject]


class Submit:
    """The route, over a journal that is there once the server has started."""

    def __init__(self, journal: Callable[[], Journal], counts: Counts) -> None:
        """`journal` gives the journal at the time of a request; what happens is counted in `counts`."""
        self._journal = journal
        self._counts = counts

    def take(self, grant: Grant, headers: dict[bytes, bytes], body: bytes, answer: Answer) -> None:
        """Take one whole request that `grant` let in; `answer` is called once, now or later in this event loop."""
        began = time.perf_counter()
        try:
            key = _key(headers[_KEY]) if _KEY in headers else None
            checked = decode.read(body, headers.get(b"content-encoding", b"").decode("latin-1"))
            grant.charge(max(1, checked.received))
            once = None if key is None else Once(key, hashlib.sha256(body).digest(), remembered)
            kept = self._journal().append(checked.entries, once, checked.reject_rows)
        except FootpathError as error:
            self.refuse(error, answer)
        except Exception:  # noqa: BLE001 - it is logged, and the client is told
            _log.exception("a request met a fault")
            self._fail(answer)
        else:
            size = len(body)
            kept.add_done_callback(lambda done: self._finish(done, checked, size, began, answer))

    def refuse(self, error: FootpathError, answer: Answer) -> None:
        """Answer a request that cannot be served."""
        described = describe(error)
        self._counts.answered(SUBMIT, described[0])
        self._counts.refused(error.code)
        answer(*described)

    def _fail(self, answer: Answer) -> None:
        self._counts.answered(SUBMIT, INTERNAL[0])
        self._counts.refused("internal")
        answer(*INTERNAL)

    def _finish(self, done: asyncio.Future[Kept], checked: Checked, size: int, began: float, answer: Answer) -> None:
        error = done.exception()
        if error is None:
            kept = done.result()
            found = kept if kept.earlier is None else recalled(kept.earlier)
            checked = refuse_forgotten(checked, found.refused)
            if kept.earlier is None:
                answer(200, PLAIN, said(checked, found))
                duplicates = found.duplicates
            else:
                answer(200, [JSON, REPLAYED], said(checked, found))
                duplicates = checked.accepted
            accepted = checked.accepted - duplicates
            seconds = time.perf_counter() - began
            self._counts.submitted(checked.received, accepted, duplicates, checked.rejects, size, seconds)
        elif isinstance(error, FootpathError):
            self.refuse(error, answer)
        else:
            _log.error("a request met a fault", exc_info=error)
            self._fail(answer)


def remembered(kept: Kept) -> bytes:
    """What is kept of an answer with its key: what the checks do not give again for the same body.

    A whole answer may quote what a user sent, who can be forgotten while the key is not.
    """
    return b"" if kept == ALL_NEW else encode((kept.duplicates, sorted(kept.refused)))


def recalled(earlier: bytes) -> Kept:
    """What `remembered` was given."""
    if not earlier:
        return ALL_NEW
    duplicates, refused = decode_json(earlier, type=tuple[int, list[int]])
    return Kept(None, duplicates, frozenset(refused))


def said(checked: Checked, kept: Kept) -> bytes:
    """The answer to a request whose accepted actions and rejects are durable, for what was found with them."""
    accepted = checked.accepted - kept.duplicates
    if not checked.rejects:
        return _PLAIN % (accepted, kept.duplicates)
    return encode(Submitted("submitted", accepted, kept.duplicates, checked.rejects))


def _key(value: bytes) -> str:
    key = value.decode("latin-1")
    if not 1 <= len(key) <= MAX_KEY:
        raise BadKey(f"Idempotency-Key is {len(key)} characters; use 1 to {MAX_KEY}")
    return key


def too_large(size: int) -> str:
    """What to say of a body of at least `size` bytes."""
    return f"the body is over {MAX_BODY} bytes ({size}); send fewer actions at a time, or gzip them"
