"""How far a table has the shards of a stream, as properties of the table. Pure.

    footpath.position.<stream>.<shard>   the last sequence number that is in the table
    footpath.seq.<stream>.<shard>        the last count that was given to an action of the shard
    footpath.complete.<stream>.<shard>   ISO time up to which everything that was put there is in the table
    footpath.closed.<stream>.<shard>     ISO time when a shard that was split or merged was in the table to its end
    footpath.sink.<id>                   ISO time until which a sink says that it is at work
    footpath.forgotten.<digest>          ISO time until which what comes for a user is left out (sha256 of the id, hex)
    footpath.pushed.<folder>             the seq up to which `footpath push` has brought the actions of a data folder
    footpath.pushing.<folder>            `<seq> <day>`: it is at those up to this seq, and has the days before this
    footpath.seq.~push.<folder>          the last count that was given to an action of the folder

They are properties, not snapshot summaries: compaction by another engine makes snapshots that do not carry ours.

An action's seq is its count, then 16 bits of the shard's own number: shards never give the same one, until a stream
has had 65,535 of them. The last number belongs to what `footpath push` brings.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

POSITION = "footpath.position."
COUNT = "footpath.seq."
COMPLETE = "footpath.complete."
CLOSED = "footpath.closed."
SINK = "footpath.sink."
FORGOTTEN = "footpath.forgotten."
PUSHED = "footpath.pushed."
PUSHING = "footpath.pushing."
PUSHED_COUNT = COUNT + "~push."  # no stream is called so
PUSHED_ORDINAL = 0xFFFF


class State(NamedTuple):
    """What the table says of a shard. `position` is None until something of it is there, `given` the last count."""

    position: str | None = None
    given: int = 0
    complete: datetime | None = None
    closed: datetime | None = None


class Changes(NamedTuple):
    """Properties to set, and to remove."""

    put: dict[str, str]
    drop: frozenset[str] = frozenset()


def states(properties: Mapping[str, str], stream: str) -> dict[str, State]:
    """Every shard of a stream that the table knows."""
    found: dict[str, dict[str, str]] = {}
    for prefix in (POSITION, COUNT, COMPLETE, CLOSED):
        start = f"{prefix}{stream}."
        for name, value in properties.items():
            if name.startswith(start) and "." not in name[len(start) :]:
                found.setdefault(name[len(start) :], {})[prefix] = value
    return {
        shard: State(
            values.get(POSITION),
            int(values.get(COUNT, "0")),
            _time(values.get(COMPLETE)),
            _time(values.get(CLOSED)),
        )
        for shard, values in found.items()
    }


def changes(stream: str, shard: str, state: State) -> Changes:
    """What makes the table say this of a shard."""
    wanted = {
        POSITION: state.position,
        COUNT: str(state.given) if state.given else None,
        COMPLETE: told(state.complete) if state.complete else None,
        CLOSED: told(state.closed) if state.closed else None,
    }
    names = {f"{prefix}{stream}.{shard}": value for prefix, value in wanted.items()}
    return Changes(
        {name: value for name, value in names.items() if value is not None},
        frozenset(name for name, value in names.items() if value is None),
    )


def complete(stream: str, shard: str, time: datetime) -> dict[str, str]:
    """What makes the table say that it has all of a shard up to a time; harmless where another has said a later one."""
    return {f"{COMPLETE}{stream}.{shard}": told(time)}


def left(properties: Mapping[str, str], stream: str, shards: Collection[str]) -> frozenset[str]:
    """The properties of shards that were in the table to their end, and have left the stream since."""
    gone_shards = [shard for shard, state in states(properties, stream).items() if state.closed and shard not in shards]
    names = {f"{prefix}{stream}.{shard}" for prefix in (POSITION, COUNT, COMPLETE, CLOSED) for shard in gone_shards}
    return frozenset(names & properties.keys())


def position_name(stream: str, shard: str) -> str:
    """The property that holds how far a shard is."""
    return f"{POSITION}{stream}.{shard}"


def complete_until(properties: Mapping[str, str]) -> datetime | None:
    """The time up to which everything that was put into any stream is in the table; None if that is not known."""
    times = [
        datetime.fromisoformat(value)
        for name, value in properties.items()
        if name.startswith(COMPLETE) and name.replace(COMPLETE, CLOSED, 1) not in properties
    ]
    return min(times, default=None)


def ordinal(shard: str) -> int:
    """A shard's own number, from its id (`shardId-000000000012`), in 16 bits."""
    return int(shard.rpartition("-")[2]) % PUSHED_ORDINAL


def alive(properties: Mapping[str, str], now: datetime) -> list[str]:
    """The sinks that say they are at work, in the order of their ids."""
    return sorted(name[len(SINK) :] for name, until in _sinks(properties) if until >= now)


def gone(properties: Mapping[str, str], now: datetime) -> frozenset[str]:
    """The properties of sinks that have said nothing for so long that they are at work no more."""
    return frozenset(name for name, until in _sinks(properties) if until < now)


def forgotten(properties: Mapping[str, str], now: datetime) -> frozenset[str]:
    """The digests of the users whose actions are left out now."""
    return frozenset(
        name[len(FORGOTTEN) :]
        for name, until in properties.items()
        if name.startswith(FORGOTTEN) and datetime.fromisoformat(until) > now
    )


def _sinks(properties: Mapping[str, str]) -> list[tuple[str, datetime]]:
    return [(name, datetime.fromisoformat(value)) for name, value in properties.items() if name.startswith(SINK)]


def told(time: datetime) -> str:
    """A time as it stands in a property."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
