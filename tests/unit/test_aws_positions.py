"""What a table says of the shards of a stream, which are to be read, and by whom."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from footpath.aws import positions
from footpath.aws.positions import State
from footpath.aws.shards import Shard, children, dealt, readable

NOW = datetime(2026, 11, 25, tzinfo=UTC)
times = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)
shards = st.integers(0, 10**12 - 1).map(lambda number: f"shardId-{number:012}")
kept = st.builds(
    State,
    st.none() | st.integers(1, 2**186).map(str),
    st.integers(0, 2**46),
    st.none() | times,
    st.none() | times,
)


@given(st.dictionaries(shards, kept, max_size=5), st.sampled_from(["a", "a.b", "b", "a-b"]))
def test_what_is_said_is_read(said: dict[str, State], stream: str) -> None:
    """What is written of shards is read again, beside that of another stream whose name begins alike."""
    properties: dict[str, str] = {"footpath.position.a.b.c.shardId-000000000001": "1", "other": "x"}
    for shard, state in said.items():
        changed = positions.changes(stream, shard, state)
        assert not changed.put.keys() & changed.drop
        properties |= changed.put
    assert positions.states(properties, stream) == {shard: one for shard, one in said.items() if one != State()}


def test_complete_is_the_least_of_the_open_shards() -> None:
    """The table is complete up to the earliest time of a shard, those that have ended left out."""
    early, late = NOW - timedelta(hours=1), NOW
    properties = positions.complete("s", "shardId-1", late) | positions.complete("s", "shardId-2", early)
    assert positions.complete_until(properties) == early
    properties |= positions.changes("s", "shardId-2", State("1", 1, None, NOW)).put
    assert positions.complete_until(properties) == late
    assert positions.complete_until({}) is None


def test_sinks_that_say_nothing_are_gone() -> None:
    """A sink counts until the time that it gave, and its property is dropped afterwards."""
    properties = {"footpath.sink.b": positions.told(NOW), "footpath.sink.a": positions.told(NOW + timedelta(seconds=1))}
    assert positions.alive(properties, NOW) == ["a", "b"]
    later = NOW + timedelta(milliseconds=500)
    assert positions.alive(properties, later) == ["a"]
    assert positions.gone(properties, later) == {"footpath.sink.b"}


def test_shards_that_left_the_stream_are_forgotten() -> None:
    """Properties go with a shard that was read to its end and is no more; those of one that was not stay."""
    done = positions.changes("s", "shardId-1", State("1", 1, None, NOW)).put
    lost = positions.changes("s", "shardId-2", State("1", 1, NOW)).put
    assert positions.left(done | lost, "s", {"shardId-3"}) == done.keys()
    assert positions.left(done | lost, "s", {"shardId-1"}) == set()


def test_parents_are_read_before_their_children() -> None:
    """A child is read when each of its parents is in the table to the end, or has left the stream."""
    stream = [Shard("s-1"), Shard("s-2"), Shard("s-3", ("s-1",)), Shard("s-4", ("s-1", "s-2")), Shard("s-5", ("s-0",))]
    assert readable(stream, {}) == ["s-1", "s-2", "s-5"]
    ended = {"s-1": State("9", 1, None, NOW)}
    assert readable(stream, ended) == ["s-2", "s-3", "s-5"]
    assert readable(stream, ended | {"s-2": State(None, 0, None, NOW)}) == ["s-3", "s-4", "s-5"]
    assert readable(stream[2:], {}) == ["s-3", "s-4", "s-5"]
    assert children(stream, "s-1") == ["s-3", "s-4"]


@given(st.lists(shards, unique=True, max_size=40), st.sets(st.uuids().map(str), max_size=6), st.uuids().map(str))
def test_each_shard_falls_to_one_sink(all_shards: list[str], others: set[str], me: str) -> None:
    """Sinks that see the same table share its shards out evenly, none twice and none to nobody."""
    everyone = sorted(others | {me})
    hands = [dealt(all_shards, everyone, one) for one in everyone]
    assert sorted(shard for hand in hands for shard in hand) == sorted(all_shards)
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    assert dealt(all_shards, sorted(others), me) == dealt(all_shards, everyone, me)
