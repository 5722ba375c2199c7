"""What every store promises, and what a part is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

Digests = bytes


class Part(NamedTuple):
    """An immutable Parquet file of actions sorted by (user_id, session_id, time, seq), as the catalog knows it.

    Parts of one run do not overlap in user_id. Times are microseconds since 1970 UTC; both ends of a range are in it.
    """

    id: str
    run: int
    user_min: str
    user_max: str
    time_min: int
    time_max: int
    seq_min: int
    seq_max: int
    rows: int
    bytes: int
    sha256: str
    members: Digests = b""
    """What `members.of_file` says of it, when it has just been written; the catalog gives it back apart."""


def touching(parts: Sequence[Part], low: str | None, high: str | None) -> list[Part]:
    """The parts that may hold a user_id from `low` (inclusive) to `high` (exclusive); None is no bound."""
    return [part for part in parts if (low is None or part.user_max >= low) and (high is None or part.user_min < high)]


class Store(Protocol):
    """Which parts are live.

    The hard cases:

    - half failed: `add`, `replace` and `drop` happen whole or not at all, also across a crash;
    - twice: a part that was added, or a run that was replaced, cannot be so again: ValueError, and nothing changes;
    - empty: adding no parts moves `flushed` alone.
    """

    def live(self) -> list[Part]:
        """The live parts, runs in the order of their ids, and within a run by user_min."""
        ...

    def add(self, parts: Sequence[Part], flushed: int) -> None:
        """Make the parts of a flush live and, in the same moment, the journal's actions up to seq `flushed` dead."""
        ...

    def replace(self, old: Sequence[Part], new: Sequence[Part]) -> None:
        """Put the parts of a merge in the place of those that it read."""
        ...

    def drop(self, live: Sequence[Part], replaced: Sequence[Part], new: Sequence[Part]) -> None:
        """Take live parts, and some that were replaced and still have their grace, out at once, and put others in.

        Unlike after `replace`, reads that began before may then fail.
        """
        ...
