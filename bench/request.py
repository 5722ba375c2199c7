"""The CPU time of one request to submitlogs between socket and journal: `python -m bench.request`.

It goes through footpath's connection, decode, checks and answer, in uvloop, on a transport that throws away what is
sent, to a journal that keeps nothing: no network and no disk, so the numbers hold on a busy machine as well. Compared
are footpath without key and limits (`bench.bare`), with limits, and with limits and a key that has a rate; where all
requests have the same head, and where no two have. Each number is the least of many rounds, taken in turn.
"""

import asyncio
import gc
import itertools
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table
from uvicorn.config import Config
from uvicorn.server import ServerState

from bench import bodies
from bench.bare import Bare, no_limits
from bench.contenders import create_key
from bench.parse_only import open_nowhere
from footpath import database
from footpath.config import Settings
from footpath.metrics.counts import Counts
from footpath.service import GC_ALLOCATIONS
from footpath.web.app import App
from footpath.web.protocol import Protocol

ROUNDS = 30
REQUESTS = {1: 1_000, 100: 100}  # of a round, by the actions of each
KINDS = ("no limits", "limits", "limits and a key")


class Nobody(asyncio.Transport):
    """A transport whose other end takes everything; it counts the good answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answered += bytes(data).startswith(b"HTTP/1.1 200 ")

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        raise RuntimeError("the connection was ended")


async def connect(folder: Path, kind: str, stack: AsyncExitStack) -> tuple[Protocol, Nobody]:
    """A connection to an application over a folder, which the stack closes."""
    settings = Settings(data=folder)
    app = App(lambda within: open_nowhere(settings, within, Counts()), settings)
    await stack.enter_async_context(app._router.router.lifespan_context(app._router))  # noqa: SLF001
    config = Config(app, log_config=None, access_log=False, ws="none", proxy_headers=False)
    config.load()
    made = (Bare if kind == KINDS[0] else Protocol)(config, ServerState(), {}, asyncio.get_running_loop())
    transport = Nobody()
    made.connection_made(transport)
    return made, transport


def requests(actions: int, key: str | None, *, distinct: bool) -> list[bytes]:
    """Whole requests as wrk sends them in `bench.ingest`; if distinct, each with a header of its own."""
    made = []
    for number, body in enumerate(bodies.bodies(actions, REQUESTS[actions])):
        headers = ["Host: 127.0.0.1:8000", "Content-Type: application/json"]
        headers += [f"Authorization: Bearer {key}"] if key else []
        headers += [f"Traceparent: 00-{number:032x}-{number:016x}-01"] if distinct else []
        head = "\r\n".join(["POST /api/submitlogs HTTP/1.1", *headers, f"Content-Length: {len(body)}", "", ""])
        made.append(head.encode() + body)
    return made


async def measure(folders: dict[str, Path], keys: dict[str, str | None]) -> dict[tuple[str, int, bool], float]:
    """Microseconds a request, by kind, actions and whether heads differ."""
    best: dict[tuple[str, int, bool], float] = {}
    async with AsyncExitStack() as stack:
        lanes = {kind: await connect(folder, kind, stack) for kind, folder in folders.items()}
        loads = {
            (kind, actions, distinct): requests(actions, keys[kind], distinct=distinct)
            for kind, actions, distinct in itertools.product(KINDS, REQUESTS, (False, True))
        }
        for _, (case, load) in itertools.product(range(ROUNDS), loads.items()):
            with no_limits() if case[0] == KINDS[0] else nullcontext():
                took = await take(*lanes[case[0]], load)
            best[case] = min(took, best.get(case, took))
    return best


async def take(made: Protocol, transport: Nobody, load: Sequence[bytes]) -> float:
    """Microseconds a request; the turns of the loop that it takes, and nothing else, are counted out."""
    made._tries = 4  # noqa: SLF001 - as if the connection was new: others before it had other heads
    transport.answered = 0
    start = time.process_time()
    for request in load:
        made.data_received(request)
        await asyncio.sleep(0)  # the journal's answer, and sending it
        await asyncio.sleep(0)
    took = time.process_time() - start
    if transport.answered != len(load):
        raise RuntimeError(f"{transport.answered} of {len(load)} requests were answered 200")
    start = time.process_time()
    for _ in load:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return (took - (time.process_time() - start)) / len(load) * 1e6


def main() -> None:
    """Print the table."""
    gc.set_threshold(GC_ALLOCATIONS)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {kind: Path(scratch) / f"{place}" for place, kind in enumerate(KINDS)}
        for folder in folders.values():
            folder.mkdir()
            database.prepare(folder)
        keys = {kind: create_key(folders[kind]) if kind == KINDS[-1] else None for kind in KINDS}
        best = uvloop.run(measure(folders, keys))
    shown = Table("a request", "heads", *KINDS, title="microseconds of CPU a request, without network and disk")
    for actions, distinct in itertools.product(REQUESTS, (False, True)):
        values = [best[kind, actions, distinct] for kind in KINDS]
        cells = [f"{value:.1f} (+{value - values[0]:.1f})" for value in values]
        shown.add_row(str(actions), "each another" if distinct else "the same", *cells)
    Console(width=110).print(shown)


if __name__ == "__main__":
    main()
