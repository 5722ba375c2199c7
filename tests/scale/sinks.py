"""Three sinks that compete for one stream and are killed again and again, and what is put into it meanwhile."""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from footpath.aws.address import StreamAddress, TableAddress
from footpath.aws.kinesis import KinesisJournal
from footpath.decode import read
from tests.crash.oracle import Notes, digest
from tests.scale.dying import ANY_MOMENT
from tests.scale.servers import Trino
from tests.scale.sql import rows

SINKS = 3
LIFE_SECONDS = 10.0  # in which a sink comes to most of its steps several times
TOGETHER = 20  # batches that are put at once
FIRST = "after UpdateTable"  # the step to die at first: the table has the records, and the sink does not know
TIME = "2026-11-25T10:00:00+00:00"
MOVED = b"another sink has these records"


class Ends:
    """How often sinks died at which step. Any thread may ask and tell."""

    def __init__(self, rng: random.Random) -> None:
        """Nobody has lived yet."""
        self._rng = rng
        self._lock = threading.Lock()
        self._met: set[str] = {ANY_MOMENT, FIRST}
        self.deaths: Counter[str] = Counter()
        self.lives = 0

    def next_life(self) -> dict[str, Any]:
        """A life that ends at the step at which the fewest have died; one in eight has no end of its own."""
        with self._lock:
            fewest = min(self.deaths[step] for step in self._met)
            step = self._rng.choice([step for step in sorted(self._met) if self.deaths[step] == fewest])
            if not self.deaths[FIRST]:
                step = FIRST
            return {
                "step": "none" if self._rng.random() < 1 / 8 else step,
                "number": self._rng.choice([1, 1, 1, 2, 3]) if self.deaths[step] else 1,
                "once": self._rng.random() < 2 / 3,
            }

    def tell(self, end: dict[str, Any]) -> None:
        """A life has ended."""
        with self._lock:
            self.lives += 1
            self._met.update(end["steps"])
            if end["died"] is not None:
                assert end["status"] == -9, end
                self.deaths[end["died"]] += 1


class Fight:
    """Three sinks, each living again and again, from a stream into a table, until the block ends."""

    def __init__(
        self, stream: StreamAddress, table: TableAddress, ends: Ends, log: Path, *, kill: bool, control: bool = False
    ) -> None:
        """Prepare: without `kill` every life is `sink --once`; with `control` pyiceberg's own retries are on."""
        self._where = ["--journal", str(stream), "--table", str(table), "--interval", "1", "--log", "json"]
        self._ends = ends
        self._log = log
        self._kill = kill
        self._control = control
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(SINKS)

    def __enter__(self) -> Self:
        """Let them begin."""
        self._fighters = [self._threads.submit(self._fighter) for _ in range(SINKS)]
        return self

    def __exit__(self, *_: object) -> None:
        """Let each come to the end of its life; raises what went wrong with any."""
        self._over.set()
        self._threads.shutdown()
        for fighter in self._fighters:
            fighter.result()

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        for fighter in self._fighters:
            if fighter.done():
                fighter.result()

    def _fighter(self) -> None:
        command = [sys.executable, "-m", "tests.scale.dying"]
        with (
            self._log.open("ab") as log,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            while not self._over.is_set():
                life = self._ends.next_life() if self._kill else {"step": "none", "number": 1, "once": True}
                life["arguments"] = [*self._where, *(["--once"] if life.pop("once") else [])]
                life |= {"seconds": LIFE_SECONDS, "control": self._control}
                process.stdin.write(json.dumps(life).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
                assert line, f"dying.py has ended; see {self._log}"
                end = json.loads(line)
                # A --once that is told to stop has no end in order: it may take as long as its stream is written to.
                assert end["status"] in {0, -9, -15}, f"{life} ended with {end}; see {self._log}"
                self._ends.tell(end)
            process.stdin.close()


def put(stream: StreamAddress, notes: Notes, numbers: range, seconds: float) -> None:
    """Put batches of one to four actions through the Kinesis journal, evenly over some seconds, and note them."""

    async def one(journal: KinesisJournal, number: int) -> None:
        user, session = f"user {number % 97}", f"session {number % 7}"
        actions = [
            {"time": TIME, "type": "VIEW", "properties": {"name": f"{number}-{place}"}}
            for place in range(number % 4 + 1)
        ]
        digests = [digest(user, session, action) for action in actions]
        notes.offer(digests)
        body = json.dumps({"userId": user, "sessionId": session, "actions": actions}).encode()
        await journal.append(read(body).entries)
        notes.acknowledge(str(number), user, digests)

    async def everything() -> None:
        journal = KinesisJournal(stream, max_waiting_bytes=1 << 24)
        began = time.monotonic()
        for start in range(numbers.start, numbers.stop, TOGETHER):
            due = began + seconds * (start - numbers.start) / len(numbers)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(
                *[one(journal, number) for number in range(start, min(start + TOGETHER, numbers.stop))]
            )
        await journal.close()

    asyncio.run(everything())


def drain(stream: StreamAddress, table: TableAddress) -> None:
    """Bring what is left in the stream into the table, undisturbed."""
    command = [sys.executable, "-m", "footpath", "sink", "--journal", str(stream), "--table", str(table), "--once"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def found(trino: Trino, table: TableAddress) -> bytes:
    """Everything that is in the table, as another engine reads it, in the lines that an oracle judges."""
    when = "format_datetime(time AT TIME ZONE 'UTC', 'yyyy-MM-dd''T''HH:mm:ss''+00:00''')"
    sql = f"SELECT user_id, session_id, {when}, type, properties, seq FROM {table.namespace}.{table.table}"
    return b"\n".join(
        json.dumps(
            {
                "userId": user,
                "sessionId": session,
                "time": when,
                "type": kind,
                "properties": json.loads(properties),
                "seq": seq,
            }
        ).encode()
        for user, session, when, kind, properties, seq in rows(trino, sql)
    )
