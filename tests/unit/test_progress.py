"""How far a table has come, out of its properties."""

from datetime import UTC, datetime

from footpath.action import micros
from footpath.aws import positions
from footpath.aws.progress import Progress, progress

STREAM = "a.stream"


def test_a_table_without_sinks_is_empty_and_never_complete() -> None:
    """Properties that no sink has set say nothing."""
    assert progress({"write.parquet.compression-codec": "zstd"}) == Progress(0, None)


def test_the_highest_seq_is_that_of_the_shard_or_folder_that_has_come_farthest() -> None:
    """The last seq holds the largest count, and below it the number of the shard, or that of what was pushed."""
    three = positions.changes(STREAM, "shardId-000000000003", positions.State("1", 7)).put
    four = positions.changes(STREAM, "shardId-000000000004", positions.State("9", 6)).put
    assert progress(three | four).last_seq == 7 << 16 | 3
    assert progress(three | four | {"footpath.seq.~push.data": "8"}).last_seq == 8 << 16 | positions.PUSHED_ORDINAL


def test_a_table_is_complete_until_its_slowest_shard_is() -> None:
    """The time is the earliest of all shards that are not closed."""
    early, late = datetime(2026, 11, 25, 10, tzinfo=UTC), datetime(2026, 11, 25, 11, tzinfo=UTC)
    one = positions.complete(STREAM, "shardId-000000000000", late)
    two = positions.complete(STREAM, "shardId-000000000001", early)
    assert progress(one).complete_until == micros(late)
    assert progress(one | two).complete_until == micros(early)
