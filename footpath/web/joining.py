"""A transport in front of another: what is written in one turn of the event loop is sent as one piece, at its end.

uvicorn writes the head and the body of an answer one by one, and uvloop sends each at once: a fifth of the time of a
one-action request went there.
"""

import asyncio
from typing import Any


class Joining:
    """The transport of one connection."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Send through `transport`."""
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write a piece."""
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)

    def write_whole(self, data: bytes) -> None:
        """Write an answer that has no second piece."""
        if self._pieces:
            self.write(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what was written, and close."""
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
