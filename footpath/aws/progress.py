"""How far a table has come, out of what the sinks wrote into its properties with the actions themselves. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from footpath.action import micros
from footpath.aws import positions

_PUSHED = "~"  # begins the streams of `footpath push`, which have no shards


class Progress(NamedTuple):
    """The highest seq in the table, and until when it is complete: microseconds since 1970, None if that is unknown."""

    last_seq: int
    complete_until: int | None


def progress(properties: Mapping[str, str]) -> Progress:
    """How far the table with these properties has come."""
    last_seq = 0
    for name, value in properties.items():
        if name.startswith(positions.COUNT):
            last_seq = max(last_seq, int(value) << 16 | _ordinal(name.removeprefix(positions.COUNT)))
    until = positions.complete_until(properties)
    return Progress(last_seq, None if until is None else micros(until))


def _ordinal(source: str) -> int:
    """The lowest bits of the seqs of what stands behind `positions.COUNT`."""
    return positions.PUSHED_ORDINAL if source.startswith(_PUSHED) else positions.ordinal(source)
