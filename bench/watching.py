"""Clients that follow what comes in, many in one process: `/api/tail` on a connection each, counted as it arrives.

Runs as a process of its own, `python -m bench.watching`, and is asked over its standard input: first an order, then a
line each time when a look is wanted; the end of the input ends it. `Watchers` is the other side. Counting is cheap, so
that a thousand cost the load's core little; of some tails each event's id is kept, to hold them against a read.
"""

import asyncio
import json
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Self, cast

import uvloop

from bench.machine import ROOT

MARK = b"the-last-one"  # a session of this id is the end of what a tail waits for
EVENT = b"event: action"
_CARRY = max(len(MARK), len(EVENT)) - 1  # of one piece into the next, so that none is missed where they meet
_ID = re.compile(rb"event: action\nid: (\d+)\n")


@dataclass(frozen=True)
class Look:
    """What has arrived so far: of each tail its actions and marks, and the seqs of those that keep them."""

    actions: list[int]
    marks: list[int]
    seqs: dict[str, list[int]]
    lost: int
    cpu_seconds: float


class Tail(asyncio.Protocol):
    """One connection."""

    def __init__(self, path: str, *, keeps: bool) -> None:
        self.path = path
        self.seqs: list[int] | None = [] if keeps else None
        self.actions = self.marks = 0
        self.is_open = asyncio.Event()
        self.is_lost = False
        self._raw = b""  # what is no whole chunk yet
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        head = f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        cast("asyncio.Transport", transport).write(head.encode())

    def data_received(self, data: bytes) -> None:
        raw = self._raw + data
        if not self.is_open.is_set():
            head, end, raw = raw.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"[: len(head)]):
                raise RuntimeError(f"a tail was answered {head[:200]!r}")
            if not end:
                self._raw = head
                return
            self.is_open.set()
        pieces, self._raw = whole_chunks(raw)
        text = self._left + b"".join(pieces)
        self.actions += text.count(EVENT)
        self.marks += text.count(MARK)
        if self.seqs is None:
            self._left = text[-_CARRY:]
            return
        *events, self._left = text.split(b"\n\n")
        self.seqs += [int(found[1]) for event in events if (found := _ID.search(event + b"\n"))]
        self.actions -= self._left.count(EVENT)  # it is counted when the rest of it is there
        self.marks -= self._left.count(MARK)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True


def whole_chunks(raw: bytes) -> tuple[list[bytes], bytes]:
    """The chunks (RFC 9112, 7.1) that are whole, and what is left: an event may begin in one and end in the next."""
    pieces = []
    at = 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        start = end + 2
        stop = start + int(raw[at:end], 16)
        if len(raw) < stop + 2:
            break
        pieces.append(raw[start:stop])
        at = stop + 2
    return pieces, raw[at:]


def _itself(tail: Tail) -> Tail:
    return tail


async def watch() -> None:
    """Take the order, and answer each further line."""
    loop = asyncio.get_running_loop()
    order = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    tails = [Tail(path, keeps=place in order["kept"]) for place, path in enumerate(order["paths"])]
    for tail in tails:
        await loop.create_connection(partial(_itself, tail), "127.0.0.1", order["port"])
    await asyncio.gather(*[tail.is_open.wait() for tail in tails])
    print("open", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        look = {
            "actions": [tail.actions for tail in tails],
            "marks": [tail.marks for tail in tails],
            "seqs": {place: tail.seqs for place, tail in enumerate(tails) if tail.seqs is not None},
            "lost": sum(tail.is_lost for tail in tails),
            "cpu_seconds": used.ru_utime + used.ru_stime,
        }
        print(json.dumps(look), flush=True)


class Watchers(AbstractContextManager["Watchers"]):
    """So many tails at work in their process."""

    def __init__(self, port: int, paths: Sequence[str], kept: Sequence[int], core: int) -> None:
        """Follow each of the paths from a process on a core; keep the seqs of some, by their place."""
        self._process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), sys.executable, "-m", "bench.watching"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self._say(json.dumps({"port": port, "paths": list(paths), "kept": list(kept)}))
        self._answer()

    def look(self) -> Look:
        """What has arrived so far."""
        self._say("look")
        told: dict[str, Any] = json.loads(self._answer())
        return Look(**told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        cast("IO[str]", self._process.stdin).close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()

    def _say(self, line: str) -> None:
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def _answer(self) -> str:
        line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"those who follow ended with {self._process.wait()}")
        return line


if __name__ == "__main__":
    uvloop.run(watch())
