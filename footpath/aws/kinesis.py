"""The journal over a Kinesis data stream: yes only when every record of the request is in.

append   A batch is a record (see `record`). Records that wait go into PutRecords requests of up to 500, in threads.
         While one is under way the next records gather, for `GATHER_SECONDS` or until a request is full; then another
         is sent beside it, up to `PUTS`. So a lone record waits for nothing, and many make large requests.
failure  What a shard is too busy for is sent again within a bound, then the request gets JournalFull. When the stream
         itself fails (not there, not allowed, not reached) appends are refused until it can be described again.

What `Journal` promises and this one does not, because a stream looks nothing up:

- half failed: of a request with several batches some can be in when it is refused. Sent again with its Idempotency-Key,
  what was in is known by its batch id, which is made of the key, and read once.
- twice: a key that comes again is answered as before, since the answer depends on the body only; its batches have the
  ids they had, and are dropped when the sink writes, and when they are read. The same key with another body is not
  refused: both are kept.
- the same action twice: `duplicates` is always 0; actions with the id of another are left out when they are read.
- forgotten: nothing is refused; what comes for a forgotten user is left out by the sinks, while their tombstone lasts.
- rejects: they are named in the answer and counted, and kept nowhere.
"""

import asyncio
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import structlog
import zstandard

from footpath.action import Entry, RejectRow
from footpath.aws import clients, record
from footpath.aws.address import StreamAddress
from footpath.aws.put import BOUND_SECONDS, MAX_BYTES, MAX_RECORDS, Blob, Outcome, Stream, put
from footpath.errors import BadSetting, FootpathError, JournalFailed, JournalFull
from footpath.journal.base import ALL_NEW, Kept, Once
from footpath.journal.refusal import Full, failing, refusal

PUTS = 8  # PutRecords under way at once: at 20 ms each that is 200,000 records a second, more than a process encodes
GATHER_SECONDS = 0.005  # between starts of PutRecords that are not full: each costs a millisecond of CPU by itself
LOOK_SECONDS = 1.0  # between looks at a stream that failed: it is taken up again within a second or two
_OVERHEAD = 2_048  # bytes that a record may have beside its actions, for filling requests

_log = structlog.get_logger()


class _Append:
    """An append whose records are not all in yet."""

    __slots__ = ("done", "error", "left", "size")

    def __init__(self, done: asyncio.Future[Kept], left: int, size: int) -> None:
        self.done = done
        self.left = left
        self.size = size
        self.error: FootpathError | None = None


class _Waiting(NamedTuple):
    owner: _Append
    entry: Entry
    batch: str
    received_at: int


class KinesisJournal:
    """A Journal over a stream. Belongs to the event loop that it is first used in."""

    def __init__(
        self,
        address: StreamAddress,
        *,
        max_waiting_bytes: int,
        committed: Callable[[int, float], object] = lambda *_: None,
        bound: float = BOUND_SECONDS,
    ) -> None:
        """Look the stream up.

        Args:
            address: of the stream.
            max_waiting_bytes: of actions that may wait in memory before appends get JournalFull.
            committed: called after each PutRecords with the records in it, and the seconds until they were in.

            bound: seconds for which a record that a shard refuses is sent again.

        Raises:
            BadSetting: there is no such stream, or it may not be used; the message says what to do.
        """
        self._max_waiting_bytes = max_waiting_bytes
        self._committed = committed
        self._bound = bound
        client = clients.client("kinesis", address.region, address.endpoint, connections=PUTS + 1)
        region = client.meta.region_name
        self._stream = Stream(
            client, address.stream, f"the stream {address.stream} in {region}",
            f"footpath setup aws --journal {address} --apply",
        )  # fmt: skip
        trouble = self._look()
        if trouble is not None:
            raise BadSetting(trouble)
        self._threads = ThreadPoolExecutor(PUTS, thread_name_prefix="kinesis")
        self._own = threading.local()
        self._queue: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._putting: set[asyncio.Future[Outcome]] = set()
        self._scheduled = False
        self._queue_bytes = 0
        self._last_start = 0.0
        self._trouble: str | None = None
        self._full = Full()  # of a group of which no shard took anything: where some did, the next may be for those
        self._mending: asyncio.Task[None] | None = None

    def append(
        self,
        entries: Sequence[Entry],
        once: Once | None = None,
        rejects: Sequence[RejectRow] = (),  # noqa: ARG002
    ) -> asyncio.Future[Kept]:
        """See `Journal.append`, and above for what is otherwise here."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Kept] = loop.create_future()
        refused = refusal(self._trouble, self._waiting_bytes, self._max_waiting_bytes)
        if refused is not None:
            done.set_exception(refused)
        elif not entries:
            done.set_result(ALL_NEW)
        else:
            self._take(_Append(done, 0, sum([len(entry.actions) for entry in entries])), entries, once)
            if not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._start)  # so that all requests that came in the same moment are in the group
        return done

    def refusal(self) -> FootpathError | None:
        """What an append will most likely be refused with just now, so that its body need not be read; None if not."""
        return self._full.now() or refusal(self._trouble, self._waiting_bytes, self._max_waiting_bytes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of actions in memory that are not in the stream yet."""
        return self._waiting_bytes

    def trouble(self) -> str | None:
        """See `Journal.trouble`."""
        return self._trouble

    async def close(self) -> None:
        """See `Journal.close`."""
        while self._queue or self._putting or self._scheduled:
            if self._putting:
                await asyncio.wait(self._putting)
            await asyncio.sleep(0)
        if self._mending is not None:
            self._mending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._mending
        await asyncio.to_thread(self._threads.shutdown)
        self._stream.client.close()

    def _take(self, owner: _Append, entries: Sequence[Entry], once: Once | None) -> None:
        received_at = time.time_ns() // 1000
        for place, entry in enumerate(entries):
            batch = secrets.token_hex(16) if once is None else record.batch_id(once.key, once.digest, place)
            if len(entry.actions) <= record.PIECE_BYTES:
                self._wait(_Waiting(owner, entry, batch, received_at))
                continue
            for number, piece in enumerate(record.cut(entry)):
                self._wait(_Waiting(owner, piece, f"{batch}-{number}", received_at))
        self._waiting_bytes += owner.size

    def _wait(self, item: _Waiting) -> None:
        self._queue.append(item)
        self._queue_bytes += len(item.entry.actions) + _OVERHEAD
        item.owner.left += 1

    def _start(self) -> None:
        """Send what is due: whatever waits when nothing is under way, full requests, and the rest after a while."""
        self._scheduled = False
        loop = asyncio.get_running_loop()
        while self._queue and len(self._putting) < PUTS:
            full = len(self._queue) >= MAX_RECORDS or self._queue_bytes >= MAX_BYTES
            wait = self._last_start + GATHER_SECONDS - loop.time()
            if self._putting and not full and wait > 0:
                self._scheduled = True
                loop.call_later(wait, self._start)
                return
            self._last_start = loop.time()
            group = self._group()
            putting = loop.run_in_executor(self._threads, self._put, group)
            self._putting.add(putting)
            putting.add_done_callback(partial(self._end, group, time.perf_counter()))

    def _group(self) -> list[_Waiting]:
        """The records of the next request, out of the queue."""
        group: list[_Waiting] = []
        size = 0
        while self._queue and len(group) < MAX_RECORDS:
            more = len(self._queue[0].entry.actions) + _OVERHEAD
            if group and size + more > MAX_BYTES:
                break
            size += more
            group.append(self._queue.popleft())
        self._queue_bytes -= size
        return group

    def _end(self, group: list[_Waiting], began: float, ended: asyncio.Future[Outcome]) -> None:
        self._putting.discard(ended)
        failure = ended.exception()
        if failure is None:
            errors, trouble = ended.result()
        else:
            _log.error("putting records failed", error=f"{type(failure).__name__}: {failure}")
            trouble = f"{type(failure).__name__}: {failure}"
            errors = [JournalFailed(f"the journal could not be written: {trouble}")] * len(group)
        if trouble is None:
            self._committed(len(group), time.perf_counter() - began)
        if isinstance(errors[0], JournalFull) and None not in errors:
            self._full.met(errors[0])
        for item, error in zip(group, errors, strict=True):
            self._settle(item.owner, error)
        if trouble is not None:
            self._fail(trouble)
        if not self._scheduled or not self._putting:
            self._start()

    def _settle(self, owner: _Append, error: FootpathError | None) -> None:
        """Note what became of a record; the last of an append gives it its answer."""
        if error is not None:
            owner.error = error
        owner.left -= 1
        if owner.left:
            return
        self._waiting_bytes -= owner.size
        if owner.done.done():
            return  # whoever waited has gone
        if owner.error is not None:
            owner.done.set_exception(owner.error)
        else:
            owner.done.set_result(ALL_NEW)

    def _fail(self, trouble: str) -> None:
        """Refuse what waits, and what comes until the stream can be described."""
        while self._queue:
            self._settle(self._queue.popleft().owner, failing(trouble))
        self._queue_bytes = 0
        if self._trouble is None:
            _log.error("journal failed", error=trouble, stream=self._stream.name)
        self._trouble = trouble
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._mend())

    async def _mend(self) -> None:
        while self._trouble is not None:
            await asyncio.sleep(LOOK_SECONDS)
            trouble = await asyncio.to_thread(self._look)
            if trouble is None:
                _log.info("journal mended", stream=self._stream.name)
            self._trouble = trouble

    # The rest runs in other threads.

    def _put(self, group: list[_Waiting]) -> Outcome:
        try:
            compressor = self._own.compressor
        except AttributeError:
            compressor = self._own.compressor = zstandard.ZstdCompressor(level=1)
        return put(
            self._stream,
            [
                Blob(record.encode(entry, batch, received_at, compressor), record.partition_key(entry.user_id))
                for _, entry, batch, received_at in group
            ],
            bound=self._bound,
        )

    def _look(self) -> str | None:
        """Why the stream cannot be used; None if it can."""
        stream = self._stream
        try:
            told = stream.client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]
        except clients.AwsError as error:
            permission = "kinesis:DescribeStreamSummary"
            return clients.sentence(error, what=stream.where, permission=permission, make=stream.make)
        status = told["StreamStatus"]
        return None if status in {"ACTIVE", "UPDATING"} else f"{stream.where} is {status}: wait until it is ACTIVE"
