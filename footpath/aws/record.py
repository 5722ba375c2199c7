"""What stands in the stream: one record a batch, and how it is taken apart again. Pure.

A record is JSON, zstd of it when over `COMPRESS_FROM` bytes:

    {"v":1,"b":"<batch id>","u":"<userId>","s":"<sessionId>","r":<received, microseconds since 1970>,"a":[<actions>]}

The batch id is made once, before the first try to put the record, so that a retry which was put twice is known by it.
A batch that is too large for a record is cut between actions, at the same places each time it comes, into pieces with
the ids `<batch id>-0`, `<batch id>-1` and so on. (batch id, place in the record) names an action for ever.
"""

import hashlib
from typing import NamedTuple

import msgspec
import zstandard

from footpath.action import Entry

VERSION = 1
COMPRESS_FROM = 1024  # bytes: less than that gains little, and a record is billed by 25 KB
MAX_RECORD = 1 << 20  # bytes of a record with its partition key: Kinesis' own limit unless it was raised
_SLACK = 16 << 10  # for ids (256 characters each, escaped), numbers and zstd's frame
PIECE_BYTES = MAX_RECORD - _SLACK  # of actions before zstd: what fits does not depend on how well it shrinks
MAX_KEY = 256  # UTF-16 units of a partition key
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # JSON starts with {
_MAX_INFLATED = 2 * MAX_RECORD  # a record that grows beyond is none of ours


class Record(NamedTuple):
    """A batch, or a piece of one, as it came out of the stream. `actions` is a JSON array as text."""

    batch_id: str
    user_id: str
    session_id: str
    received_at: int
    actions: str


class NotARecord(ValueError):
    """The bytes are not a record of footpath's; `str()` says in which way."""


class _Wire(msgspec.Struct):
    v: int
    b: str
    u: str
    s: str
    r: int
    a: msgspec.Raw


_decoder = msgspec.json.Decoder(_Wire)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Encoder().encode


def batch_id(key: str, digest: bytes, place: int) -> str:
    """The id of a batch that came with an Idempotency-Key: the same whenever the same request comes again.

    Args:
        key: the Idempotency-Key.
        digest: sha256 of the body.
        place: of the batch among the entries of the request.
    """
    return hashlib.sha256(b"%d %d %s%s" % (place, len(digest), digest, key.encode())).hexdigest()[:32]


def cut(entry: Entry) -> list[Entry]:
    """The entry as entries that each fit into a record; most often itself alone."""
    if len(entry.actions) <= PIECE_BYTES:
        return [entry]
    pieces: list[Entry] = []
    held: list[bytes] = []
    size = 2
    for raw in _raw_list.decode(entry.actions):
        action = bytes(raw)
        if held and size + len(action) + 1 > PIECE_BYTES:
            pieces.append(entry._replace(actions=b"[%s]" % b",".join(held), number=len(held)))
            held, size = [], 2
        held.append(action)
        size += len(action) + 1
    pieces.append(entry._replace(actions=b"[%s]" % b",".join(held), number=len(held)))
    return pieces


def encode(entry: Entry, batch: str, received_at: int, compressor: zstandard.ZstdCompressor) -> bytes:
    """The record of an entry that `cut` has seen. Compressors are for one thread each."""
    data = b'{"v":%d,"b":%s,"u":%s,"s":%s,"r":%d,"a":%s}' % (
        VERSION, _text(batch), _text(entry.user_id), _text(entry.session_id), received_at, entry.actions,
    )  # fmt: skip
    return data if len(data) < COMPRESS_FROM else compressor.compress(data)


def decode(data: bytes, decompressor: zstandard.ZstdDecompressor) -> Record:
    """Take a record apart.

    Raises:
        NotARecord: it is none, or of a later footpath.
    """
    try:
        if data[:4] == _ZSTD_MAGIC:
            if inflated_size(data) > _MAX_INFLATED:
                raise NotARecord(f"it is more than {_MAX_INFLATED} bytes when decompressed, or does not say")
            data = decompressor.decompress(data)
        wire = _decoder.decode(data)
        if wire.v != VERSION:
            raise NotARecord(f"it is of version {wire.v}, and this footpath knows {VERSION}")
        return Record(wire.b, wire.u, wire.s, wire.r, bytes(wire.a).decode())
    except (msgspec.MsgspecError, zstandard.ZstdError, UnicodeDecodeError) as error:
        raise NotARecord(f"{type(error).__name__}: {error}") from error


def inflated_size(data: bytes) -> int:
    """Bytes of a record before zstd, without decompressing it; a great many where it does not say."""
    if data[:4] != _ZSTD_MAGIC:
        return len(data)
    size = zstandard.frame_content_size(data)
    return size if size >= 0 else 1 << 62


def partition_key(user_id: str) -> str:
    """What Kinesis chooses the shard by: the user's id, or its digest where that is too long in UTF-16."""
    if len(user_id) * 2 <= MAX_KEY or len(user_id.encode("utf-16-le")) <= 2 * MAX_KEY:
        return user_id
    return hashlib.sha256(user_id.encode()).hexdigest()
