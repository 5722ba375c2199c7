"""A connection: uvicorn's HTTP protocol, with a short way for `submitlogs`, limits, and errors in our one shape.

- A POST to `submitlogs` is gathered and answered by a `Taking`; every other request goes uvicorn's way to the ASGI
  application. Both stand in the same queue, so pipelined requests are answered in order.
- A head that was let in is known again by its bytes, without the parser (see `heads`).
- What is written in one turn of the event loop is sent together at its end (see `joining`).
- uvicorn waits for ever for a head or a body, keeps heads of any size, and takes any number of connections. Here
  `look` ends those that are too slow (see `intake`), and too large a head is refused.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from footpath.action import MAX_BODY
from footpath.web import responses
from footpath.web.framing import Parser, fault, plain
from footpath.web.heads import TRIES, Head, Known, known
from footpath.web.intake import BODY_RATE, LOOK_SECONDS, Intake, Limits
from footpath.web.joining import Joining
from footpath.web.responses import PLAIN, Headers
from footpath.web.taking import Taking

ENDING = "footpath.ending"  # in the same: takes a function that is called when the server begins to stop
CUT = "footpath.cut"  # in a scope's extensions: a function that ends the connection at once, unsent bytes and all
MAX_HEAD = 32 * 1024  # bytes of a request's line and headers: nginx takes 32 KB (4 of 8k), h11 64, and nobody sends 16
MAX_COMING = 4 * MAX_BODY  # bytes after a head: a body in chunks of two bytes; extensions and trailers count as well
MAX_HEADERS = 100  # http.client's limit and Apache's; a browser sends twenty


class Protocol(HttpToolsProtocol):
    """One connection."""

    _taking: Taking | None = None  # of the request that is being received, if it is one to submitlogs
    _when_ending: Callable[[], object] | None = None  # of the latest answer that wants to know
    _receiving = False
    _in_head = False
    parser: Parser
    _known: Known | None = None  # the last head that was kept
    _tries = TRIES
    _piece: bytes | None = None  # what came last, if it begins with a head, until that is read
    _piece_size = 0
    _is_behind = False  # whether a request has ended in the piece that came last
    _received = 0  # bytes since the head began, or since the body did
    _since = 0.0  # when the present state began, by the clock of `intake`

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, behind a joining transport."""
        self._extensions: dict[str, Any] = {CUT: transport.abort, ENDING: self._at_ending}
        self._intake: Intake = self.app.intake
        self._intake.watch(self.connections, self.loop)
        self._since = self._intake.now
        self.parser = Parser(self)
        super().connection_made(Joining(transport, self.loop))  # type: ignore[arg-type]
        self._intake.connections = len(self.connections)
        if len(self.connections) > self._intake.limits.connections:
            told = f"there are {self._intake.limits.connections} connections open; connect again in a moment"
            self._refuse(503, "busy", told, (b"retry-after", responses.RETRY_AFTER))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what has not been answered."""
        for cycle in (self.cycle, *[waiting for waiting, _ in self.pipeline]):
            if isinstance(cycle, Taking):
                cycle.gone()
        super().connection_lost(exc)
        self._intake.connections = len(self.connections)

    def shutdown(self) -> None:
        """Begin to stop: an answer that has no end of its own is told."""
        super().shutdown()
        if self._when_ending is not None and not self.cycle.response_complete:
            self._when_ending()

    def data_received(self, data: bytes) -> None:
        """Take a piece of what the client sends."""
        self._piece = None
        if not self._receiving:
            if self._known is not None and (found := self._known.again(data)) and not self.transport.is_closing():
                data = self._take_again(self._known.head, *found)
                if not data:
                    return
            else:
                self._piece = data
        went_on = self._in_head
        self._is_behind = False
        self._piece_size = len(data)
        self._received += len(data)
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            if not went_on:
                self._received = self._head_size() if self._is_behind else len(data)
            if self._received > MAX_HEAD:
                self._refuse_head()
        elif self._receiving and self._received > MAX_COMING and not self.transport.is_closing():
            self._refuse(413, "too_large", f"the body is over {MAX_COMING} bytes with what comes beside it; send less")

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._receiving = self._in_head = True
        self._taking = None
        self._since = self._intake.now
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after a body are of no use here, and of any number."""
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """End a head: here it is known which way the request goes."""
        headers, url = self.headers, self.url
        piece, self._piece = self._piece, None
        could_be_large = self._received > MAX_HEAD or self._piece_size > MAX_HEAD
        if len(headers) > MAX_HEADERS or (could_be_large and self._head_size() > MAX_HEAD):
            self._refuse_head()
            return
        named = dict(headers)
        method = self.parser.get_method()
        offered = (method != b"POST" or b"upgrade" in named) and self.parser.is_offered()  # CONNECT offers without
        version = self.parser.get_http_version()
        told = fault(version, headers, named, offers_upgrade=offered)
        if told is not None:
            self.send_400_response(told)
        if self.transport.is_closing():
            return
        self._in_head = False
        self._received = 0
        keep_alive = self.parser.should_keep_alive()
        if not keep_alive:
            self._known, self._tries = None, 0  # the parser takes no request behind this one, so nobody may
        if offered:
            self.parser.left = sum([int(value) for name, value in headers if name == b"content-length"])
        if method == b"POST":
            path, _, query = url.partition(b"?")
            if path in self._intake.paths or plain(path) in self._intake.paths:
                self._take(Head(query, headers, named), piece, keep_alive=keep_alive and version == "1.1")
                return
        expects = self.expect_100_continue
        super().on_message_begin()  # what an ASGI application wants to know of it
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._taking is not None:
            self._taking.more(body)
        elif self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if self.parser.left:
            return
        self._receiving = False
        self._is_behind = True
        self._since = self._intake.now
        if self._taking is not None:
            self._taking.end()
        elif self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give the next request its turn."""
        self._since = self._intake.now
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused and not self.flow.write_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def pause_writing(self) -> None:
        """Read no further requests from a client that does not take its answers."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """Go on with a client that takes its answers again."""
        super().resume_writing()
        self.flow.resume_reading()

    def look(self, now: float, limits: Limits) -> None:
        """See `intake.Connection`."""
        waited = now - self._since - LOOK_SECONDS  # `_since` may lie so much too early: never cut before the time
        if waited > limits.shortest:
            allowed, end = self._patience(limits)
            if waited > allowed:
                end()

    def unsent(self) -> int:
        """See `intake.Connection`. An answer that has no end is given piece by piece, and there are `tails` at most."""
        is_endless = self._when_ending is not None and not self.cycle.response_complete
        return 0 if is_endless else int(self.transport.get_write_buffer_size())

    def _patience(self, limits: Limits) -> tuple[float, Callable[[], object]]:
        """How long it may be in its state, and what happens then."""
        idle = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]
        if self.transport.is_closing() or (idle and self.transport.get_write_buffer_size()):
            return limits.stalled_seconds, self.transport.abort
        if self._in_head:
            told = f"the head of the request took over {limits.head_seconds:g} s"
            return limits.head_seconds, partial(self._refuse, 408, "too_slow", told)
        if self._receiving and not self.flow.read_paused:
            told = f"the body took over {limits.body_seconds:g} s, and a second more a KB"
            allowed = limits.body_seconds + self._received / BODY_RATE
            return allowed, partial(self._refuse, 408, "too_slow", told)
        return (limits.idle_seconds, self.transport.close) if idle else (math.inf, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        if not self.transport.is_closing():
            self._refuse(400, "not_http", "this is not an HTTP/1.1 request" if msg.startswith("Invalid HTTP") else msg)

    def _at_ending(self, call: Callable[[], object]) -> None:
        self._when_ending = call

    def _start_asgi_task(self, cycle: RequestResponseCycle | Taking, app: ASGI3Application) -> None:
        if isinstance(cycle, Taking):
            cycle.begin()
        else:
            super()._start_asgi_task(cycle, app)

    def _take(self, head: Head, piece: bytes | None, *, keep_alive: bool) -> None:
        """Begin a request to submitlogs; if its head stood at the beginning of a piece, it may be kept."""
        is_first = self.cycle is None
        taking = self._begin_taking(head, int(head.named.get(b"content-length", 0)), keep_alive=keep_alive)
        if piece is not None and self._tries and keep_alive and not is_first and taking.let_in:
            self._tries -= 1
            self._known = known(piece, head)

    def _take_again(self, head: Head, length: int, data: bytes) -> bytes:
        """Begin a request to submitlogs whose head is known; what is left of the data for the parser."""
        self._since = self._intake.now
        self.expect_100_continue = False
        taking = self._begin_taking(head, length, keep_alive=True)
        if len(data) == length:
            taking.all(data)
            return b""
        self._receiving = True
        self._received = 0
        self.parser.left = length
        return data

    def _begin_taking(self, head: Head, length: int, *, keep_alive: bool) -> Taking:
        before = self.cycle
        self._taking = taking = Taking(self._answer, self._intake, head, length, keep_alive=keep_alive)
        self.cycle = taking  # type: ignore[assignment]
        if self.expect_100_continue and not taking.refused:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if before is None or before.response_complete:  # type: ignore[redundant-expr]
            taking.begin()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((taking, self.app))  # type: ignore[arg-type]
        return taking

    def _answer(self, taking: Taking, status: int, headers: Headers, content: bytes) -> None:
        """Send the answer to a request to submitlogs."""
        taking.response_complete = True
        if self.transport.is_closing():
            return
        every = self._intake.every(self.server_state.default_headers)
        if headers is PLAIN and taking.keep_alive:
            whole = b"HTTP/1.1 200 OK\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            self.transport.write_whole(whole % (every, len(content), content))  # type: ignore[attr-defined]
        else:
            lines = [STATUS_LINE[status], every]
            lines += [b"%s: %s\r\n" % header for header in headers]
            if not taking.keep_alive:
                lines.append(b"connection: close\r\n")
            lines += (b"content-length: %d\r\n\r\n" % len(content), content)
            self.transport.write_whole(b"".join(lines))  # type: ignore[attr-defined]
            if not taking.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def _head_size(self) -> int:
        """The bytes of the head that have been split so far, or some fewer."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def _refuse_head(self) -> None:
        told = f"the request line and headers are over {MAX_HEAD} bytes or {MAX_HEADERS} headers; send less"
        self._refuse(431, "head_too_large", told)

    def _refuse(self, status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer what cannot be read on from, and close; only close where that would be taken for an earlier answer."""
        behind = self.pipeline or not (self.cycle is None or self.cycle.response_complete)  # type: ignore[redundant-expr]
        begun = behind and getattr(self.cycle, "response_started", False)  # a stream, which this would stand in
        if begun or (behind and (self.pipeline or self._in_head or not self._receiving)):
            self.transport.close()
            return
        self._intake.counts.answered("other", status)
        self._intake.counts.refused(code)
        content = responses.body(code, message)
        lines = [STATUS_LINE[status], b"content-type: application/json\r\nconnection: close\r\n"]
        lines += [b"%s: %s\r\n" % header for header in headers]
        lines += [b"content-length: %d\r\n\r\n" % len(content), content]
        self.transport.write(b"".join(lines))
        self.transport.close()
