"""Where a request ends, in the cases that the HTTP parser leaves open and RFC 9112 does not.

What two machines read differently is how a request is smuggled past the one in front. llhttp, which httptools is made
of, refuses most of that (both lengths, bare line feeds, folded headers, bad chunks); `fault` refuses the rest.

An offer of another protocol (`Upgrade`) is never taken, so its request is one like any other. llhttp takes what follows
the head of such a request for the other protocol, httptools then for the next request: `Parser` reads the body there.
"""

from array import array
from typing import Protocol
from urllib.parse import unquote_to_bytes

from httptools import HttpParserUpgrade, HttpRequestParser

from footpath.web.responses import Headers


class Receiver(Protocol):
    """What a parser tells what it finds, as far as `Parser` does so itself."""

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        ...

    def on_message_complete(self) -> None:
        """End a request."""
        ...


class Parser(HttpRequestParser):
    """httptools' parser, to which a request that offers an upgrade is one like any other.

    `left` is set by the receiver while the head of such a request ends: the length of its body. It is not over before
    that has come, whatever `on_message_complete` says meanwhile.
    """

    def __init__(self, receiver: Receiver) -> None:
        """Tell `receiver` what is found."""
        super().__init__(receiver)
        self._receiver = receiver
        self.left = 0

    def feed_data(self, data: "bytes | bytearray | memoryview[int] | array[int]") -> None:
        """Read on."""
        rest = memoryview(data)
        while rest:
            if self.left:
                piece, rest = rest[: self.left], rest[self.left :]
                self.left -= len(piece)
                self._receiver.on_body(bytes(piece))
                if not self.left:
                    self._receiver.on_message_complete()
                continue
            try:
                super().feed_data(rest)
            except HttpParserUpgrade as offered:
                rest = rest[offered.args[0] :]
            else:
                return

    def should_upgrade(self) -> bool:
        """Whether to change to another protocol: never."""
        return False

    def is_offered(self) -> bool:
        """Whether the request whose head has ended offers another protocol."""
        return bool(super().should_upgrade())


def fault(version: str, headers: Headers, named: dict[bytes, bytes], *, offers_upgrade: bool) -> str | None:
    """Why a request cannot be taken as its head says; None if it can.

    Args:
        version: of HTTP, like 1.1.
        headers: with names in lower case.
        named: the same, by name.
        offers_upgrade: whether the request offers another protocol.
    """
    if version == "1.1" and len(named) == len(headers) and b"host" in named and b"transfer-encoding" not in named:
        return None
    names = [name for name, _ in headers]
    hosts, codings = names.count(b"host"), names.count(b"transfer-encoding")
    if version == "1.1" and hosts == 1 and not codings:
        return None
    coding = headers[names.index(b"transfer-encoding")][1] if codings else b""
    faults = (  # of RFC 9112: 2.3, 3.2, 6.1, 6.1 (it calls the framing faulty), and what `Parser` cannot follow
        (version not in {"1.1", "1.0"}, f"HTTP/{version} is not spoken here; send HTTP/1.1"),
        (hosts > 1 or (not hosts and version == "1.1"), f"there are {hosts} Host headers; send one"),
        (codings > 1 or (codings and coding.strip().lower() != b"chunked"), "the only transfer coding here is chunked"),
        (codings and version == "1.0", "HTTP/1.0 knows no transfer coding; send a Content-Length instead"),
        (codings and offers_upgrade, "the body comes in chunks and an upgrade is offered; do one of them"),
    )
    return next((told for wrong, told in faults if wrong), None)


def plain(path: bytes) -> bytes:
    """A path of a request line without `http://host` in front (RFC 9112, 3.2.2) and without percent-encoding."""
    if not path.startswith(b"/"):
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return unquote_to_bytes(path)
