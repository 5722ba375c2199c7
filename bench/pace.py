"""An open-loop load: requests go out at a constant rate whatever the server does, each timed from when it was due.

A closed loop (wrk) waits for a slow answer before it asks again, and so leaves out what users would have waited
meanwhile ("coordinated omission"). Here request i is due at start + i / rate. When no connection is free it waits, and
that wait counts. `late` is the generator's own share: how long after its due time a request went out though a
connection was free.

Runs as a process of its own: `python -m bench.pace` (see sustained).
"""

import asyncio
import gc
import json
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from bench.requests import requests

TICK = 0.001  # s: uvloop's timers are no finer
DRAIN_WITHIN = 60.0  # s, for answers after the last request
RECONNECT = 0.05  # s
ANSWER_ENDS = b"\r\n\r\n"


@dataclass(frozen=True)
class Order:
    """What to send."""

    port: int
    rate: float  # requests a second
    seconds: float
    actions: int
    connections: int
    reconnect: bool = False  # open another connection for each that the server closes
    abandon: bool = False  # at the end, what was due and has had no connection: else it is sent all the same


@dataclass
class Seen:
    """What came back. Latencies are in the order of the requests, in ms; -1 when no 200 came."""

    latency: "array[float]"
    late: "array[float]"
    served: "array[float]"  # like latency, but from when the request was sent
    statuses: dict[int, int] = field(default_factory=dict)
    lost: int = 0  # connections that the server closed
    hinted: int = 0  # answers with Retry-After
    within: int = 0  # 200s that came before the last request was due
    waiting_at_most: int = 0  # requests that were due and had no connection
    cpu: float = 0.0  # cores that the generator used


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.number: int | None = None  # of the request under way
        self.sent = 0.0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry
        self.load.idle(self)

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        head = self.received.find(ANSWER_ENDS)
        if head < 0:
            return
        named = self.received[:head].lower().partition(b"content-length:")[2]
        if len(self.received) < head + len(ANSWER_ENDS) + int(named.partition(b"\r\n")[0]):
            return
        status = int(self.received[9:12])
        kept = status < 400 or self.stays(self.received[:head].lower())
        self.received = b""
        if self.number is not None:
            self.load.answered(self.number, status, self.sent)
            self.number = None
            if kept:
                self.load.idle(self)

    def stays(self, head: bytes) -> bool:
        """Look at the head of a refusal: whether the connection goes on after it."""
        self.load.seen.hinted += b"\r\nretry-after:" in head
        return b"\r\nconnection: close" not in head

    def connection_lost(self, _error: Exception | None) -> None:
        self.load.lost(self)


class Load:
    """The schedule, the connections, and what was seen."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.count = int(order.rate * order.seconds)
        self.seen = Seen(array("f", [-1.0]) * self.count, array("f"), array("f"))
        self.bodies = requests(order.actions, order.rate)
        self.free: list[Connection] = []
        self.waiting: deque[int] = deque()
        self.open = 0
        self.connecting: set[asyncio.Task[None]] = set()
        self.answers = 0
        self.started = 0.0

    async def run(self) -> Seen:
        """Send all, then wait for the last answers."""
        for _ in range(self.order.connections):
            await self.connect()
        self.started, cpu = time.perf_counter(), time.process_time()
        due = 0
        while due < self.count:
            now = time.perf_counter() - self.started
            until = min(self.count, int(now * self.order.rate) + 1)
            for number in range(due, until):
                if self.free:
                    self.seen.late.append((now - number / self.order.rate) * 1000)
                    self.send(self.free.pop(), number)
                else:
                    self.waiting.append(number)
            due = until
            self.seen.waiting_at_most = max(self.seen.waiting_at_most, len(self.waiting))
            await asyncio.sleep(TICK)
        self.seen.cpu = (time.process_time() - cpu) / (time.perf_counter() - self.started)
        self.seen.within = self.seen.statuses.get(200, 0)
        if self.order.abandon:
            self.answers += len(self.waiting)
            self.waiting.clear()
        give_up = time.perf_counter() + DRAIN_WITHIN
        # An event would cost the measured loop a check an answer.
        while self.answers < self.count and self.open and time.perf_counter() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(TICK)
        return self.seen

    async def connect(self) -> None:
        """Open one more connection; try again while the server takes none."""
        while True:
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self), "127.0.0.1", self.order.port
                )
            except OSError:
                await asyncio.sleep(RECONNECT)
            else:
                self.open += 1
                return

    def send(self, connection: Connection, number: int) -> None:
        connection.number = number
        connection.sent = time.perf_counter()
        connection.transport.write(next(self.bodies))

    def idle(self, connection: Connection) -> None:
        if self.waiting:
            self.send(connection, self.waiting.popleft())
        else:
            self.free.append(connection)

    def answered(self, number: int, status: int, sent: float) -> None:
        self.answers += 1
        self.seen.statuses[status] = self.seen.statuses.get(status, 0) + 1
        if status == 200:
            now = time.perf_counter()
            self.seen.latency[number] = (now - self.started - number / self.order.rate) * 1000
            self.seen.served.append((now - sent) * 1000)

    def lost(self, connection: Connection) -> None:
        self.seen.lost += 1
        self.open -= 1
        if self.order.reconnect:
            task = asyncio.get_running_loop().create_task(self.connect())
            self.connecting.add(task)
            task.add_done_callback(self.connecting.discard)
        if connection.number is not None:
            self.answers += 1
        elif connection in self.free:
            self.free.remove(connection)


def main() -> None:
    """Order as JSON on standard input; answer as JSON into the file named by the one argument."""
    order = Order(**json.load(sys.stdin))
    load = Load(order)
    gc.freeze()
    gc.disable()  # a collection would stop the clock for all connections; a run makes no cycles worth collecting
    seen = uvloop.run(load.run())
    answer = asdict(seen) | {"latency": list(seen.latency), "late": list(seen.late), "served": list(seen.served)}
    Path(sys.argv[1]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
