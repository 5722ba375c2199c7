"""The shards of a stream, and reading one of them.

A shard that was split or merged ends, and its children go on: they are read when all their parents are in the table to
the end, whoever put them there, so that a user's actions come in the order of the stream. A parent that has left the
stream with its retention holds nothing back.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from footpath.aws import clients
from footpath.aws.positions import State
from footpath.aws.record import inflated_size

READ_RECORDS = 5_000  # a call: with five calls a second more than a shard takes in
CALL_SECONDS = 0.22  # between the calls on a shard: five a second are allowed, to all its readers together


class Shard(NamedTuple):
    """A shard: its id, and those that it goes on from."""

    id: str
    parents: tuple[str, ...] = ()


class Raw(NamedTuple):
    """A record as the stream holds it."""

    number: str
    data: bytes
    arrived: datetime


def shards_of(client: Any, stream: str) -> list[Shard]:
    """Every shard that still holds something, in the order of their ids."""
    found: list[Shard] = []
    asked: dict[str, Any] = {"StreamName": stream}
    while True:
        answer = client.list_shards(**asked)
        for shard in answer["Shards"]:
            parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
            found.append(Shard(shard["ShardId"], tuple(parent for parent in parents if parent)))
        if not answer.get("NextToken"):
            return sorted(found)
        asked = {"NextToken": answer["NextToken"]}


def readable(shards: Sequence[Shard], states: Mapping[str, State]) -> list[str]:
    """The shards that are to be read now: not in the table to their end, and all parents are, or have gone."""
    there = {shard.id for shard in shards}
    done = {shard for shard, state in states.items() if state.closed is not None}
    return [
        shard.id
        for shard in shards
        if shard.id not in done and all(parent in done or parent not in there for parent in shard.parents)
    ]


def children(shards: Sequence[Shard], parent: str) -> list[str]:
    """The shards that go on from one."""
    return [shard.id for shard in shards if parent in shard.parents]


def dealt(shards: Sequence[str], sinks: Sequence[str], me: str) -> list[str]:
    """The shards that fall to one of several sinks, dealt out in turn: all see the same table, and agree.

    Where they do not agree for a moment, two read the same shard, and the commit of one of them is refused.
    """
    everyone = sorted({*sinks, me})
    return list(shards)[everyone.index(me) :: len(everyone)]


class Reader:
    """Reads a shard on from a position.

    `position` is the number of the last record that was taken. `complete` is the time up to which everything that was
    put into the shard has been taken. `ended` says that the shard is closed and all of it was taken.
    """

    def __init__(self, client: Any, stream: str, shard: str, position: str | None) -> None:
        """Begin after `position`; at the oldest record that is there when that is None."""
        self.shard = shard
        self.position = position
        self.complete: datetime | None = None
        self.behind_seconds = 0.0
        self._client = client
        self._stream = stream
        self._iterator: str | None = None
        self._closed = False
        self._fetched: deque[Raw] = deque()
        self._called = 0.0
        self._tip: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether there is nothing left, and never will be."""
        return self._closed and not self._fetched

    @property
    def at_tip(self) -> bool:
        """Whether the last call gave all that there was."""
        return not self._fetched and self._tip is not None and self.behind_seconds == 0

    @property
    def wait(self) -> float:
        """Seconds until the shard may be asked again."""
        return 0.0 if self._fetched else max(0.0, self._called + CALL_SECONDS - time.monotonic())

    def take(self, budget: int) -> list[Raw]:
        """Records of `budget` bytes (before zstd) and one more at most; one call to the stream where none is held.

        What a call gave beyond that is held, as it came, for the next time.
        """
        if not self._fetched and not self._closed:
            self._fetch()
        taken = []
        while self._fetched and budget > 0:
            raw = self._fetched.popleft()
            budget -= inflated_size(raw.data)
            taken.append(raw)
            self.position = raw.number
        if not self._fetched:
            self.complete = self._tip
        elif taken:
            self.complete = max(filter(None, (self.complete, taken[-1].arrived)), default=None)
        return taken

    def _fetch(self) -> None:
        self._called = time.monotonic()
        try:
            if self._iterator is None:
                self._iterator = self._start()
            asked = datetime.now(UTC)
            answer = self._client.get_records(ShardIterator=self._iterator, Limit=READ_RECORDS)
        except clients.AwsError as error:
            if clients.code(error) == "ExpiredIteratorException":  # it was held for longer than five minutes
                self._iterator = None
                return
            if clients.passes(error):
                return
            raise
        for record in answer["Records"]:
            arrived = record["ApproximateArrivalTimestamp"]
            self._fetched.append(Raw(record["SequenceNumber"], bytes(record["Data"]), arrived))
        self._iterator = answer.get("NextShardIterator")
        self._closed = self._iterator is None
        self.behind_seconds = answer.get("MillisBehindLatest", 0) / 1000
        self._tip = asked - timedelta(seconds=self.behind_seconds)

    def _start(self) -> str:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if self.position is not None:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self.position}
        answer = self._client.get_shard_iterator(StreamName=self._stream, ShardId=self.shard, **where)
        return str(answer["ShardIterator"])
