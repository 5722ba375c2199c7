"""uvicorn's HTTP protocol with one system call an answer instead of two, a limit to heads, and errors in our one shape.

uvicorn writes the head and the body of an answer one by one, and uvloop sends each at once: a fifth of the time of a
one-action request went there. Here what is written in one turn of the event loop is sent together at its end.

It keeps a request's line and headers however long they are; here a connection whose head does not end is refused.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from footpath.web import responses

CUT = "footpath.cut"  # in a scope's extensions: a function that ends the connection at once, unsent bytes and all
MAX_HEAD = 64 * 1024  # bytes of a request's line and headers, beyond the piece they begin in; h11's limit, too


class _Joining:
    """A transport that sends what is written to it in one turn of the event loop as one piece."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            if not self._transport.is_closing():  # the client may have gone since; uvloop raises then
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, behind a joining transport."""
        self._extensions: dict[str, Any] = {CUT: transport.abort}
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take a piece of what the client sends."""
        went_on = self._in_head
        super().data_received(data)
        if went_on and self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                told = f"the request line and headers are over {MAX_HEAD} bytes; send less"
                self._refuse(b"431 Request Header Fields Too Large", "head_too_large", told)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        self._head = 0
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        told = "this is not an HTTP/1.1 request" if msg.startswith("Invalid HTTP") else msg
        self._refuse(b"400 Bad Request", "not_http", told)

    def _refuse(self, status: bytes, code: str, message: str) -> None:
        content = responses.body(code, message)
        head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, len(content)) + content)
        self.transport.close()
