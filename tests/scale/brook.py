"""A stream and a table of a test's own, what is put into the one, and what is found in the other."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import boto3
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from footpath.action import Entry
from footpath.aws import sinking
from footpath.aws.address import StreamAddress, TableAddress
from footpath.aws.kinesis import KinesisJournal
from footpath.aws.setup import stream_steps, table_steps, take
from footpath.aws.sink import Limits, Round
from footpath.aws.table import catalog_of, open_table
from footpath.decode import read
from footpath.journal.base import ALL_NEW

COMMAND_SECONDS = 120
Named = tuple[str, str, int, int]


class Brook(NamedTuple):
    """Addresses of a stream and of the table that it is brought into."""

    stream: StreamAddress
    address: TableAddress

    @property
    def client(self) -> Any:
        """A client of the stream's Kinesis."""
        return _client(self.stream.endpoint)

    def table(self) -> Table:
        """The table as it is now."""
        return open_table(_catalog(self.address), self.address)

    def shards(self) -> list[str]:
        """The ids of all shards."""
        listed = self.client.list_shards(StreamName=self.stream.stream)["Shards"]
        return sorted(shard["ShardId"] for shard in listed)

    def rows(self) -> list[dict[str, Any]]:
        """Every row of the table."""
        found: list[dict[str, Any]] = self.table().scan().to_arrow().to_pylist()
        return found

    def found(self) -> list[Named]:
        """Every row by user, session, and what `batch` made of it, in order."""
        named = [(row["user_id"], row["session_id"], json.loads(row["properties"])) for row in self.rows()]
        return sorted((user, session, kept["batch"], kept["n"]) for user, session, kept in named)

    def put(self, entries: Sequence[Entry]) -> None:
        """Append through the journal, each entry as a request of its own."""

        async def work() -> None:
            journal = KinesisJournal(self.stream, max_waiting_bytes=1 << 30)
            assert set(await asyncio.gather(*[journal.append([entry]) for entry in entries])) <= {ALL_NEW}
            await journal.close()

        asyncio.run(work())

    def sink(self) -> Round:
        """Do what `footpath sink --once` does; what it says of it."""
        return sinking.once(sinking.Plan(self.stream, self.address, Limits(60, 64 << 20), "256MB"))

    def sink_words(self) -> list[str]:
        """The command that reads this stream into this table."""
        return ["sink", "--journal", str(self.stream), "--table", str(self.address), "--log", "json"]


@lru_cache
def _catalog(address: TableAddress) -> Catalog:
    return catalog_of(address)


@lru_cache
def _client(endpoint: str) -> Any:
    return boto3.client("kinesis", endpoint_url=endpoint)


def footpath(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of footpath's to its end, which must be with this code."""
    command = [sys.executable, "-m", "footpath", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS, env=os.environ)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def brook(kinesis: str, glue: str, s3: str, bucket: str, *, shards: int = 2) -> Iterator[Brook]:
    """An empty stream and an empty table, made as `footpath setup aws` does."""
    name = f"t{uuid.uuid4().hex}"
    made = Brook(
        StreamAddress(name, None, kinesis),
        TableAddress("glue", "lake", name, None, glue, s3, f"s3://{bucket}/lake"),
    )
    for step in [*stream_steps(made.stream, shards=shards, retention_hours=24), *table_steps(made.address)]:
        take(step, apply=True)
    yield made
    made.client.delete_stream(StreamName=name)


def batch(number: int, user: str = "ANNA", session: str = "s", actions: int = 1, **more: Any) -> Entry:
    """A batch whose actions say which it is: a minute after each other, a day after each hundred batches."""
    made = [
        {
            "time": f"2026-03-{1 + number // 100:02}T{number % 24:02}:{n % 60:02}:28.123456-06:00",
            "type": "CLICK",
            "properties": {"batch": number, "n": n, "locationX": 52},
            **more,
        }
        for n in range(actions)
    ]
    (entry,) = read(json.dumps({"userId": user, "sessionId": session, "actions": made}).encode()).entries
    return entry


def names(entries: Sequence[Entry]) -> list[Named]:
    """What `Brook.found` gives of these."""
    return sorted(
        (entry.user_id, entry.session_id, kept["properties"]["batch"], kept["properties"]["n"])
        for entry in entries
        for kept in json.loads(entry.actions)
    )
