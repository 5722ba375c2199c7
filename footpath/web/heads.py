"""Heads of requests to submitlogs, and how a connection knows one again by its bytes.

A client sends the same head again and again; only the length of the body moves. A head that came whole, passed every
check and was let in is kept, and the next one of the same bytes needs neither parser nor checks: they look at nothing
else. What can change meanwhile is asked at each request all the same: whether the key is still good and what is left
of its rate, and how much is under way.

exact     A head is known only if all of its bytes but the digits of the length are those of the head before, which the
          parser split into just as many headers as it has lines. So nothing is hidden in it: a second length, a
          transfer coding or a folded line would be a line of its own.
bounds    One head of at most `MAX_BYTES` a connection, from its second request on, and `TRIES` times a new one: where
          each head is another, as behind a proxy that adds an id, looking at them twice would only cost. Who is not let
          in has none kept.
"""

from footpath.action import MAX_BODY
from footpath.keys.grant import Grant
from footpath.web.auth import Sent, sent
from footpath.web.responses import Headers

MAX_BYTES = 2_048  # of a head that is kept: a browser sends 500 to 1,000, with cookies more
TRIES = 4
_END = b"\r\n\r\n"
_LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")  # as HTTP/1.1 clients write it
_DIGITS = len(str(MAX_BODY))
_LEFT_OUT = frozenset((b"expect", b"idempotency-key", b"transfer-encoding", b"upgrade"))
"""Heads with one of these are not kept: they say more than what a body is, or are never the same again."""


class Head:
    """What a request to submitlogs says of itself.

    `named` are its headers by name in lower case, `grant` is what it was let in with before, if it was.
    """

    __slots__ = ("_sent", "grant", "headers", "named", "query")

    def __init__(self, query: bytes, headers: Headers, named: dict[bytes, bytes]) -> None:
        """Keep it."""
        self.query = query
        self.headers = headers
        self.named = named
        self.grant: Grant | None = None
        self._sent: Sent | None = None

    def sent(self) -> Sent:
        """See `auth.sent`."""
        if self._sent is None:
            self._sent = sent(self.headers, self.query)
        return self._sent


class Known:
    """A head that was let in, and how it is known again."""

    __slots__ = ("_after", "_before", "_start", "head")

    def __init__(self, before: bytes, after: bytes, head: Head) -> None:
        """`before` and `after` are its bytes around the digits of its length, `head` is without that."""
        self._before = before
        self._after = after
        self._start = len(before)
        self.head = head

    def again(self, data: bytes) -> tuple[int, bytes] | None:
        """If data begins with this head: the length of the body, and what has come of it and behind it. None if not."""
        if not data.startswith(self._before):
            return None
        start = self._start
        stop = data.find(b"\r", start, start + _DIGITS + 1)
        if stop < 0 or not data.startswith(self._after, stop):
            return None
        digits = data[start:stop]
        if not digits.isdigit() or not 0 < (length := int(digits)) <= MAX_BODY:
            return None
        return length, data[stop + len(self._after) :]


def known(data: bytes, head: Head) -> Known | None:
    """What knows a head again; None if it is better read anew each time.

    Args:
        data: begins with the head.
        head: what the parser found of it, and every check passed.
    """
    end = data.find(_END, 0, MAX_BYTES)
    start = max([data.find(name, 0, end) for name in _LENGTHS]) + len(_LENGTHS[0])
    stop = data.find(b"\r", start, end + 1)
    if end < 0 or start < len(_LENGTHS[0]) or stop < 0 or not _LEFT_OUT.isdisjoint(head.named):
        return None
    headers = [header for header in head.headers if header[0] != b"content-length"]
    lines = len(head.headers) + 1
    ends = {data.count(mark, 0, end + 2) for mark in (b"\r\n", b"\r", b"\n")}
    if ends != {lines} or len(headers) != lines - 2:
        return None
    named = {name: value for name, value in head.named.items() if name != b"content-length"}
    return Known(data[:start], data[stop : end + len(_END)], Head(head.query, headers, named))
