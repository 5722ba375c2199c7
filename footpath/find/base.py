"""What every find promises, whatever engine answers."""

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from footpath.query import Query


class Shape(enum.Enum):
    """What a row of an answer is, as a tuple.

    PATHS   (user_id, session_id, action as JSON text): without a limit, users by id, each session once, a user's
            sessions in the order they began, actions by (time, seq); in the order desc, sessions that ended last
            come first, and so do their last actions.
    LINES   (the action with its ids as one JSON object,): in time order.
    CELLS   (user_id, session_id, time as RFC 3339, type, properties as JSON text, id, seq, received_at): in time order.

    With a limit every shape is in time order, and each row has two more places at its end: time in microseconds, seq.
    """

    PATHS = "paths"
    LINES = "lines"
    CELLS = "cells"


class Snapshot(NamedTuple):
    """A find that has begun: what it sees does not change any more. `last_seq` is the highest seq it can see."""

    last_seq: int
    rows: Iterator[list[tuple[Any, ...]]]


class Find(Protocol):
    """Answers queries.

    The hard cases:

    - everything that was said to be kept before `rows` or `columns` is called is seen, once;
    - absent: nothing matches: the iterator ends at once;
    - large: rows come in chunks, in flat memory; closing the iterator early lets go of everything;
    - half failed: the iterator raises ReadFailed; it never just ends early.
    """

    def rows(self, query: Query, shape: Shape) -> Snapshot:
        """The matching actions in chunks of rows."""
        ...

    def columns(self, query: Query) -> Iterator[Any]:
        """The matching actions in time order, as objects with `__arrow_c_stream__`, with the columns of a part."""
        ...
