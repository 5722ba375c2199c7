"""What is put into the stream comes out of it, and what is not ours is told from what is."""

import hashlib
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from footpath.action import MAX_ACTION_BYTES, Entry
from footpath.aws import record

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | ids,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ids, inner, max_size=3),
    max_leaves=8,
)
COMPRESSOR = zstandard.ZstdCompressor(level=1)
DECOMPRESSOR = zstandard.ZstdDecompressor()


def entry(actions: list[object], user: str = "u", session: str = "s") -> Entry:
    """An entry that holds these."""
    return Entry(user, session, len(actions), 0, 0, 0, json.dumps(actions).encode())


@given(ids, ids, st.integers(0, 2**53), st.lists(values, max_size=20))
def test_what_goes_in_comes_out(user: str, session: str, received_at: int, actions: list[object]) -> None:
    """A record of any ids and any JSON gives them back to the byte, whether it was compressed or not."""
    made = entry(actions, user, session)
    data = record.encode(made, "b" * 32, received_at, COMPRESSOR)
    assert record.decode(data, DECOMPRESSOR) == record.Record(
        "b" * 32, user, session, received_at, made.actions.decode()
    )
    assert record.inflated_size(data) >= len(data)


@given(st.lists(st.integers(1, MAX_ACTION_BYTES), min_size=1, max_size=60), ids)
def test_cutting_loses_nothing(sizes: list[int], user: str) -> None:
    """A batch of any size is cut into records under the limit, whose actions are all of it, in order."""
    made = entry(["x" * (size - 2) if size > 1 else 1 for size in sizes], user)
    pieces = record.cut(made)
    assert [one for piece in pieces for one in json.loads(piece.actions)] == json.loads(made.actions)
    assert [piece.number for piece in pieces] == [len(json.loads(piece.actions)) for piece in pieces]
    uncompressed = zstandard.ZstdCompressor(level=-100)
    for piece in pieces:
        data = record.encode(piece, f"{'b' * 32}-{len(pieces)}", 2**53, uncompressed)
        assert len(data) + len(record.partition_key(user).encode()) <= record.MAX_RECORD


def test_cutting_is_the_same_each_time() -> None:
    """A batch is cut at the same places whenever it comes, and one that fits is left as it is."""
    large = entry(["x" * 60_000 for _ in range(40)])
    assert record.cut(large) == record.cut(large)
    assert 1 < len(record.cut(large)) < 5
    assert record.cut(entry([1, 2])) == [entry([1, 2])]


@given(ids, st.binary(min_size=32, max_size=32), st.integers(0, 10_000))
def test_a_key_makes_the_same_batch_ids(key: str, digest: bytes, place: int) -> None:
    """Key, body and place give one id; another of any of them gives another."""
    made = record.batch_id(key, digest, place)
    assert made == record.batch_id(key, digest, place)
    assert len(bytes.fromhex(made)) == 16
    others = [(key + "x", digest, place), (key, hashlib.sha256(digest).digest(), place), (key, digest, place + 1)]
    assert made not in {record.batch_id(*other) for other in others}


@given(st.text(min_size=1, max_size=256).filter(lambda text: text.isprintable()))
def test_a_partition_key_is_short_enough(user: str) -> None:
    """Every user's partition key is what Kinesis takes, and the same each time."""
    key = record.partition_key(user)
    assert 1 <= len(key.encode("utf-16-le")) // 2 <= 256
    assert key == record.partition_key(user)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"v":2,"b":"b","u":"u","s":"s","r":1,"a":[]}',
        b'{"v":1,"b":"b","u":"u","s":"s","r":"1","a":[]}',
        b'{"v":1,"b":"b","u":"u","s":"s","r":1,"a":["\xff"]}',
        b"\x28\xb5\x2f\xfd rest is not zstd",
        COMPRESSOR.compress(b'{"v":1,"b":"b","u":"u","s":"s","r":1,"a":[' + b" " * (4 << 20) + b"]}"),
    ],
)
def test_what_is_no_record_is_told(data: bytes) -> None:
    """Bytes of somebody else, of a later version, that are no UTF-8 or that grow too large are no record."""
    with pytest.raises(record.NotARecord):
        record.decode(data, DECOMPRESSOR)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_not(data: bytes) -> None:
    """No bytes make the decoder fail in another way."""
    try:
        record.decode(data, DECOMPRESSOR)
    except record.NotARecord as error:
        assert str(error)  # noqa: PT017 - both ends are fine
