"""What a sink holds until its next commit: the records of its shards, without second ones, as columns.

A record whose batch id was seen in this chunk, or in one that was committed lately, is a producer's retry and is left
out. Lately means the last `RECENT` records of this sink since it started; what comes later is left out when it is read.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec
import zstandard

from footpath.aws import positions, record
from footpath.aws.columns import Columns, Slice, Written
from footpath.aws.shards import Raw

RECENT = 200_000  # batch ids: 25 MB; a producer's retries come within seconds
SLICE_BYTES = 8 << 20  # of JSON that is turned into columns at once, which takes some 150 MB for a moment

_actions = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Unreadable(NamedTuple):
    """A record that holds no actions of ours: where it came from, what it was, and what is wrong with it."""

    name: str
    data: bytes
    why: str


class Recent:
    """Batch ids that are in the table."""

    def __init__(self, size: int = RECENT) -> None:
        """Remember the last `size`."""
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._size = size

    def __contains__(self, batch_id: object) -> bool:
        return batch_id in self._ids

    def add(self, batch_ids: Sequence[str]) -> None:
        """Remember these, and forget the oldest."""
        self._ids.update(dict.fromkeys(batch_ids))
        while len(self._ids) > self._size:
            self._ids.popitem(last=False)


class Chunk:
    """Gathers records."""

    def __init__(self, columns: Columns, recent: Recent) -> None:
        """Begin with none; `columns` is emptied."""
        self.records = self.actions = self.duplicates = self._settled_bytes = 0
        self.unreadable: list[Unreadable] = []
        self._columns = columns
        self._columns.clear()
        self._recent = recent
        self._ids: dict[str, None] = {}
        self._slice = Slice()
        self._slice_bytes = 0
        self._decompressor = zstandard.ZstdDecompressor()

    @property
    def ids(self) -> list[str]:
        """The batch ids that are in it."""
        return list(self._ids)

    def add(self, shard: str, raws: Sequence[Raw], count: int) -> int:
        """Take records of a shard whose last action had this count; the count of the last one now."""
        ordinal = positions.ordinal(shard)
        known, recent = self._ids, self._recent
        for raw in raws:
            try:
                batch_id, user_id, session_id, received_at, actions = record.decode(raw.data, self._decompressor)
                number = len(_actions(actions))
            except (record.NotARecord, msgspec.MsgspecError) as error:
                self.unreadable.append(Unreadable(f"{shard}/{raw.number}", raw.data, str(error)))
                continue
            if batch_id in known or batch_id in recent:
                self.duplicates += 1
                continue
            known[batch_id] = None
            held = self._slice
            held.batch_ids.append(batch_id)
            held.user_ids.append(user_id)
            held.session_ids.append(session_id)
            held.received_at.append(received_at)
            held.actions.append(actions)
            held.seqs.append((count + 1) << 16 | ordinal)
            self._slice_bytes += len(actions)
            self.actions += number
            count += number
            if self._slice_bytes >= SLICE_BYTES:
                self.settle()
        self.records += len(raws)
        return count

    @property
    def bytes(self) -> int:
        """Bytes of actions in it, as JSON."""
        return self._settled_bytes + self._slice_bytes

    def write(self, without: Collection[str] = ()) -> list[Written]:
        """Write its files, without the users of these digests; may be called again with more of them."""
        self.settle()
        self._columns.drop_users(without)
        return self._columns.write() if self.actions else []

    def settle(self) -> list[Unreadable]:
        """Turn everything that was added into columns; the records that hold no actions of ours, so far."""
        held = self._slice
        for place in self._columns.add(held):
            batch_id, actions = held.batch_ids[place], held.actions[place]
            del self._ids[batch_id]
            self.actions -= len(_actions(actions))
            one = record.Record(
                batch_id, held.user_ids[place], held.session_ids[place], held.received_at[place], actions
            )
            why = "its actions are not as they should be"
            self.unreadable.append(Unreadable(f"batch/{batch_id}", msgspec.json.encode(one._asdict()), why))
        self._settled_bytes += self._slice_bytes
        self._slice_bytes = 0
        self._slice = Slice()
        return self.unreadable
