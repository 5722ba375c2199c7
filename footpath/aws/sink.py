"""The sink: from the shards of a stream into the Iceberg table, each record once.

A round: the table is loaded, and with it how far each shard is; the shards that fall to this sink are read on from
there until the interval is over or the chunk is full; the chunk becomes sorted files; one transaction adds the files
and moves the positions (`commit`). Killed anywhere, nothing is lost or twice: either the transaction happened or it
did not, and files of one that did not are in no snapshot (Trino's `remove_orphan_files` removes them).

Any number of sinks may run. Each says in the table that it is at work, and they deal the shards out among those that
do; where two read the same shard for a moment, the second commit is refused.

Told to stop, a sink commits what it holds, and ends.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from footpath.aws import positions
from footpath.aws.chunk import Chunk, Recent
from footpath.aws.columns import Columns, Written
from footpath.aws.commit import Ended, Wanted, commit, upload
from footpath.aws.positions import State
from footpath.aws.shards import Reader, Shard, children, dealt, readable, shards_of

IDLE_SECONDS = 0.05
ALIVE_INTERVALS = 3  # for which a sink counts as at work after it said so: one commit may be slow
ALARM_SHARE = 0.5  # of the retention: as much time is left to put right what holds the sink up

_log = structlog.get_logger()


class Source(NamedTuple):
    """The stream to read: its client, name and retention in seconds."""

    client: Any
    stream: str
    retention: float


class Limits(NamedTuple):
    """How long a round gathers, in seconds, and how many bytes of actions (as JSON) it takes at most."""

    interval: float
    chunk_bytes: int


class Round(NamedTuple):
    """What a round did. `lag` is how many seconds the table is behind the stream, over all shards that were read."""

    records: int = 0
    actions: int = 0
    duplicates: int = 0
    unreadable: int = 0
    files: int = 0
    ended: int = 0
    lag: float = 0.0
    moved: bool = False

    def then(self, other: "Round") -> "Round":
        """Both together."""
        return Round(
            self.records + other.records,
            self.actions + other.actions,
            self.duplicates + other.duplicates,
            self.unreadable + other.unreadable,
            self.files + other.files,
            self.ended + other.ended,
            other.lag,
            other.moved,
        )


class Sink:
    """Reads the shards that fall to it. Belongs to one thread; `stop` may be set by any."""

    def __init__(
        self,
        source: Source,
        load: Callable[[], Table],
        columns: Columns,
        limits: Limits,
        name: str,
        stop: threading.Event,
    ) -> None:
        """Prepare.

        Args:
            source: the stream.
            load: gives the table as it is at that moment.
            columns: where a chunk is gathered.
            limits: of a round.
            name: of this sink among others, never used before.
            stop: set when it is to end.
        """
        self._source = source
        self._load = load
        self._columns = columns
        self._limits = limits
        self._name = name
        self._stop = stop
        self._readers: dict[str, Reader] = {}
        self._chunk: Chunk | None = None
        self._recent = Recent()

    @property
    def retention(self) -> float:
        """Seconds that the stream keeps a record."""
        return self._source.retention

    def held(self) -> int:
        """How many records were read and are not in the table yet."""
        return 0 if self._chunk is None else self._chunk.records

    def shards(self) -> int:
        """How many shards it reads."""
        return len(self._readers)

    def drain(self) -> Round:
        """Read every shard to its tip, alone, in as many rounds as that takes; all of it together."""
        total = Round()
        while not self._stop.is_set():
            one = self._round(once=True)
            total = total.then(one)
            if not one.records and not one.ended:
                break
        return total

    def run(self) -> Iterable[Round]:
        """Go on until told to stop; what each round did."""
        alive = self._alive(datetime.now(UTC))
        commit(self._load, Wanted([], positions.Changes(alive), {}), stop=self._stop)
        while not self._stop.is_set():
            yield self._round(once=False)
        self._leave()

    def _round(self, *, once: bool) -> Round:
        table = self._load()
        properties = table.metadata.properties
        states = positions.states(properties, self._source.stream)
        shards = shards_of(self._source.client, self._source.stream)
        now = datetime.now(UTC)
        mine = readable(shards, states)
        if not once:
            mine = dealt(mine, positions.alive(properties, now), self._name)
        self._readers = {shard: self._reader(shard, states) for shard in mine}
        chunk = self._chunk = Chunk(self._columns, self._recent)
        counts = {shard: _given(shard, shards, states) for shard in mine}
        self._gather(chunk, counts, once=once)
        done = self._commit(table, chunk, counts, states, shards, once=once)
        self._chunk = None
        return done

    def _reader(self, shard: str, states: dict[str, State]) -> Reader:
        """The reader that is where the table is, else one that goes on from there."""
        position = states.get(shard, State()).position
        held = self._readers.get(shard)
        if held is not None and held.position == position and not held.ended:
            return held
        return Reader(self._source.client, self._source.stream, shard, position)

    def _gather(self, chunk: Chunk, counts: dict[str, int], *, once: bool) -> None:
        until = time.monotonic() + self._limits.interval
        while not self._stop.is_set() and chunk.bytes < self._limits.chunk_bytes:
            reading = [reader for reader in self._readers.values() if not reader.ended]
            if once and all(reader.at_tip for reader in reading):
                return
            if not once and (time.monotonic() >= until or len(reading) < len(self._readers)):
                return  # a shard that has ended lets its children begin
            took = 0
            for reader in reading:
                budget = self._limits.chunk_bytes - chunk.bytes
                if reader.wait > 0 or budget <= 0:
                    continue
                raws = reader.take(budget)
                counts[reader.shard] = chunk.add(reader.shard, raws, counts[reader.shard])
                took += len(raws)
            if not took:
                soonest = min((reader.wait for reader in reading), default=self._limits.interval)
                self._stop.wait(max(IDLE_SECONDS, min(soonest, until - time.monotonic())))

    def _commit(
        self,
        table: Table,
        chunk: Chunk,
        counts: dict[str, int],
        states: dict[str, State],
        shards: list[Shard],
        *,
        once: bool,
    ) -> Round:
        now = datetime.now(UTC)
        put: dict[str, str] = {}
        drop: set[str] = set()
        expected: dict[str, str | None] = {}
        for shard, reader in self._readers.items():
            before = states.get(shard, State())
            after = State(reader.position, counts[shard], reader.complete or before.complete)
            name = positions.position_name(self._source.stream, shard)
            if reader.ended:
                for child in children(shards, shard):
                    if child not in states and after.complete is not None:
                        put |= positions.complete(self._source.stream, child, after.complete)
                after = after._replace(complete=None, closed=now)
            if reader.ended or reader.position != before.position:
                changed = positions.changes(self._source.stream, shard, after)
                put |= changed.put
                drop |= changed.drop
                expected[name] = before.position
            elif after.complete is not None and after.complete != before.complete:
                put |= positions.complete(self._source.stream, shard, after.complete)
        drop |= positions.left(table.metadata.properties, self._source.stream, {shard.id for shard in shards})
        if not once:
            put |= self._alive(now)
            drop |= positions.gone(table.metadata.properties, now)
        return self._write(table, chunk, Wanted([], positions.Changes(put, frozenset(drop - put.keys())), expected))

    def _write(self, table: Table, chunk: Chunk, wanted: Wanted) -> Round:
        """Put the files, commit, and say what was done."""
        for bad in chunk.settle():
            location = f"{table.location()}/unreadable/{self._source.stream}/{bad.name}"
            with table.io.new_output(location).create(overwrite=True) as stream:
                stream.write(bad.data)
            _log.error("a record holds no actions; it is set aside", kept=location, why=bad.why)
        ended = Ended.FORGET
        files: list[DataFile] = []
        while ended is Ended.FORGET:
            without = positions.forgotten(table.metadata.properties, datetime.now(UTC))
            files = self._upload(table, chunk.write(without))
            ended, table = commit(self._load, wanted._replace(files=files, without=without), stop=self._stop)
            if ended is not Ended.LANDED:
                for file in files:
                    table.io.delete(file.file_path)
        readers = list(self._readers.values())
        if ended is Ended.MOVED:
            self._readers = {}
            _log.info("another sink has these records; they are dropped here", records=chunk.records)
            return Round(moved=True)
        self._recent.add(chunk.ids)
        lag = self._lag(readers)
        return Round(
            chunk.records, chunk.actions, chunk.duplicates, len(chunk.unreadable), len(files),
            sum(reader.ended for reader in readers), lag,
        )  # fmt: skip

    @staticmethod
    def _upload(table: Table, written: list[Written]) -> list[DataFile]:
        files = []
        for one in written:
            files.append(upload(table, one))
            one.path.unlink()
        return files

    def _lag(self, readers: list[Reader]) -> float:
        now = datetime.now(UTC)
        lag = max([(now - reader.complete).total_seconds() for reader in readers if reader.complete], default=0.0)
        if lag > self._source.retention * ALARM_SHARE:
            _log.error(
                "the sink is far behind: what it has not read leaves the stream for ever; start more sinks, or keep it"
                " longer with `aws kinesis increase-stream-retention-period`",
                lag_hours=round(lag / 3600, 1),
                retention_hours=round(self._source.retention / 3600, 1),
            )
        return lag

    def _alive(self, now: datetime) -> dict[str, str]:
        """What makes the table say that this sink is at work."""
        until = now + timedelta(seconds=ALIVE_INTERVALS * max(self._limits.interval, 10))
        return {positions.SINK + self._name: positions.told(until)}

    def _leave(self) -> None:
        """Say that this sink is at work no more, so that the others take its shards at once."""
        name = positions.SINK + self._name
        wanted = Wanted([], positions.Changes({}, frozenset([name])), {})
        commit(self._load, wanted, stop=threading.Event(), bound=10)


def _given(shard: str, shards: Sequence[Shard], states: Mapping[str, State]) -> int:
    """The count that a shard goes on from: its own, and before its first record the highest of its parents.

    So a batch that comes again after its shard was split has the higher seq.
    """
    parents = next((one.parents for one in shards if one.id == shard), ())
    known = [states[one] for one in (shard, *parents) if one in states]
    return max((state.given for state in known), default=0)


def source_of(client: Any, stream: str) -> Source:
    """The stream, looked up.

    Raises:
        AwsError: it cannot be described.
    """
    told = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    return Source(client, stream, told["RetentionPeriodHours"] * 3600.0)
