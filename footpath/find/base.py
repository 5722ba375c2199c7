"""What every find promises, whatever engine answers."""

import enum
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, Protocol

from footpath.overview.asked import ClicksOf, CountsOf, FlowsOf, SessionsOf
from footpath.overview.told import Clicks, Counts, Flows, Session
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


class SessionsPage(NamedTuple):
    """Some sessions, and the cursor of the next page; None if this is the last."""

    sessions: list[Session]
    next_cursor: str | None


class Overviews(Protocol):
    """Sums actions up.

    The hard cases are those of `Find`: everything that was said to be kept before the call is counted, once; what has
    expired is not; half failed: ReadFailed. Each answer is of one moment.
    """

    def sessions(self, asked: SessionsOf) -> SessionsPage:
        """One page of a user's sessions, by when they ended, then by id; only actions that match make a session.

        Pages neither skip nor repeat while writes go on: all see what the first one saw.
        """
        ...

    def counts(self, asked: CountsOf) -> Counts:
        """Actions by type in buckets of UTC, in rising order.

        Raises:
            BadQuery: there are more buckets than `footpath.overview.asked.MAX_BUCKETS`.
        """
        ...

    def clicks(self, asked: ClicksOf) -> Clicks:
        """Clicks by cell of the page, row by row; those that have no place are only counted."""
        ...

    def flows(self, asked: FlowsOf) -> Flows:
        """Navigations by their two pages, the most frequent first, then by page; the rest as one number."""
        ...


class Line(NamedTuple):
    """An action as one who follows gets it: `text` is its LINES row; the rest is what it is chosen by."""

    user_id: str
    session_id: str
    type: str
    seq: int
    text: str


class Lines(NamedTuple):
    """Lines in the order of seq, the seq up to which they are all that match, and whether more was left for later."""

    lines: list[Line]
    until: int
    is_cut: bool = False


class Wanted(NamedTuple):
    """Whose actions are wanted: of these users and of these sessions; of all if there is neither."""

    users: Collection[str] = ()
    sessions: Collection[str] = ()


class Newest(Protocol):
    """What was kept lately, in the order of seq.

    The hard cases: everything that was said to be kept before a call, and has a seq within its bounds, is given once;
    what has expired is not; half failed: ReadFailed.
    """

    def last_seq(self) -> int:
        """The highest seq that has been given to an action."""
        ...

    def fresh(self, after: int, wanted: Wanted, most_bytes: int) -> Lines | None:
        """What is wanted of what was kept after a seq, as much as is given at once; None if it is not so fresh.

        Cheap: for many who follow, again and again. `most_bytes` of actions are given, and a batch more.
        """
        ...

    def stored(self, after: int, wanted: Wanted) -> Lines:
        """What is wanted of what came after a seq and is in the journal no more, as much as is given at once."""
        ...

    def since(self, query: Query, after: int, until: int) -> Lines:
        """Matching actions with a seq after one and up to another, as many as are given at once."""
        ...
