"""One group of records into the stream: PutRecords until all are in, or the bound is reached.

PutRecords may take some of its records and refuse others; only those are sent again, after a pause that doubles, of
random length up to that (full jitter: many servers that were throttled in one moment must not come back in one). When
nothing answered it is not known what was taken: all is sent again, and the batch ids tell the second ones.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from footpath.aws import clients
from footpath.errors import FootpathError, JournalFailed, JournalFull

MAX_RECORDS = 500  # of a PutRecords request: Kinesis' own limit
MAX_BYTES = 5 * (1 << 20) - 65_536  # of one: it may be 10 MiB, older endpoints take 5, and larger ones gain nothing
FIRST_PAUSE = 0.05  # s
LONGEST_PAUSE = 2.0  # s: a shard's limits are by the second
BOUND_SECONDS = 10.0  # of tries: below the time-outs of clients, above those of a shard that is being split


class Blob(NamedTuple):
    """A record as it is put."""

    data: bytes
    key: str


class Outcome(NamedTuple):
    """What became of a group: an error or None for each record, and why the stream as a whole fails if it does."""

    errors: list[FootpathError | None]
    trouble: str | None = None


class Stream(NamedTuple):
    """A stream to put into: its client, name, and where it is for messages."""

    client: Any
    name: str
    where: str
    make: str


def put(
    stream: Stream,
    blobs: Sequence[Blob],
    *,
    bound: float = BOUND_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Outcome:
    """Put up to `MAX_RECORDS` records, of `MAX_BYTES` together, and return when each is in or given up."""
    errors: list[FootpathError | None] = [None] * len(blobs)
    left = list(range(len(blobs)))
    until = clock() + bound
    pause = FIRST_PAUSE
    while True:
        trouble: str | None = None
        try:
            answer = stream.client.put_records(
                StreamName=stream.name,
                Records=[{"Data": blobs[place].data, "PartitionKey": blobs[place].key} for place in left],
            )
        except clients.AwsError as error:
            told = clients.sentence(error, what=stream.where, permission="kinesis:PutRecords", make=stream.make)
            throttled = clients.code(error) in clients.THROTTLED
            trouble = None if throttled else told
            refusal = _refusal(stream, clients.code(error), told)
            passes = clients.passes(error)
            for place in left:
                errors[place] = refusal
        else:
            passes = True
            refused = []
            for place, result in zip(left, answer["Records"], strict=True):
                named = result.get("ErrorCode")
                errors[place] = None if named is None else _refusal(stream, named, result.get("ErrorMessage", named))
                if named is not None:
                    refused.append(place)
            left = refused
        if not left or not passes:
            return Outcome(errors, trouble)
        wait = random.uniform(0, pause)  # noqa: S311 - it only spreads the tries
        if clock() + wait >= until:
            return Outcome(errors, trouble)
        sleep(wait)
        pause = min(LONGEST_PAUSE, pause * 2)


def _refusal(stream: Stream, named: str, told: str) -> FootpathError:
    if named in clients.THROTTLED:
        return JournalFull(f"{stream.where} takes no more just now ({named}); send again in a while")
    return JournalFailed(f"{stream.where} did not take what was sent: {told}")
