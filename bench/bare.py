"""footpath without keys and without limits, to see what those cost: `python -m bench.bare DATA PORT`.

What it does on the way of a request to submitlogs is footpath's own: uvicorn's protocol with the short way past ASGI,
heads that are known again, the joined writes, decode, the check of each action's type, time and properties, the
journal, the keeper, and counting. Left out are

- the key: who asks is not looked at, and no rate is charged;
- the head: its size, its number of headers, what RFC 9112 says beyond the parser;
- the body: its size, and the bytes of all bodies that are under way;
- time and number: the clock of heads, bodies and idle connections, the look at all connections, how many there are;
- the action: its size, and how deep it is nested.

What costs nothing of its own stays: the decoder's bounds of ids, and the bound of actions that wait for a commit.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from footpath import service, validate
from footpath.config import Settings
from footpath.keys.grant import OPEN
from footpath.web import protocol
from footpath.web.framing import Parser
from footpath.web.heads import Head
from footpath.web.intake import SUBMIT_PATH, Intake
from footpath.web.joining import Joining
from footpath.web.taking import NOBODY_WAITS, Send, Taking


class Ungated(Taking):
    """A request to submitlogs that is taken as it comes."""

    __slots__ = ()

    def __init__(self, send: Send, intake: Intake, head: Head, _length: int, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = self._whole = self._turn = False
        self.message_event = NOBODY_WAITS
        self._send = send
        self._intake = intake
        self._head = head
        self._first = b""
        self._more = self._refusal = self._barred = None
        self._held = self._size = 0
        self._grant = OPEN

    def more(self, piece: bytes) -> None:
        if not self._first:
            self._first = piece
        elif self._more is None:
            self._more = bytearray(piece)
        else:
            self._more += piece

    def _release(self) -> None:
        self._first, self._more = b"", None


class Bare(protocol.Protocol):
    """A connection that is bounded by nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._extensions = {}
        self._intake = self.app.intake
        self.parser = Parser(self)
        HttpToolsProtocol.connection_made(self, Joining(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._piece = None
        if not self._receiving:
            if self._known is not None and (found := self._known.again(data)):
                data = self._take_again(self._known.head, *found)
                if not data:
                    return
            else:
                self._piece = data
        HttpToolsProtocol.data_received(self, data)

    def on_message_begin(self) -> None:
        self._receiving = self._in_head = True
        self._taking = None
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, url = self.headers, self.url
        piece, self._piece = self._piece, None
        if self.parser.get_method() == b"POST":
            path, _, query = self.url.partition(b"?")
            if path == SUBMIT_PATH:
                self._take(Head(query, headers, dict(headers)), piece, keep_alive=self.parser.should_keep_alive())
                return
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.headers = url, headers
        self.scope["headers"] = headers
        HttpToolsProtocol.on_headers_complete(self)

    def on_message_complete(self) -> None:
        if not self.parser.left:
            self._receiving = False
            if self._taking is not None:
                self._taking.end()
            else:
                HttpToolsProtocol.on_message_complete(self)


def yes(*_: object) -> bool:
    """In the place of what looks at a batch."""
    return True


@contextmanager
def no_limits() -> Iterator[None]:
    """Take requests as they come, and actions of any size and depth, also where `Bare` itself does not decide."""
    with patch.object(protocol, "Taking", Ungated), patch.multiple(validate, _are_small=yes, _are_shallow=yes):
        yield


def main() -> None:
    """Serve the folder on the port that the arguments name."""
    with no_limits(), patch.object(service, "Protocol", Bare):
        service.serve(Settings(data=Path(sys.argv[1]), port=int(sys.argv[2])))


if __name__ == "__main__":
    main()
