"""The answers, as they are on the wire."""

from msgspec import Struct

ISO = {"minute": "PT1M", "15m": "PT15M", "hour": "PT1H", "day": "P1D"}
"""How an answer names the buckets: ISO 8601 durations."""


class Session(Struct, rename="camel"):
    """What one user did in one session, summed up."""

    user_id: str
    session_id: str
    start: str
    end: str
    utc_offset: int
    actions: int
    clicks: int
    views: int
    navigations: int
    first_page: str | None
    last_page: str | None


class Sessions(Struct):
    """A page of sessions."""

    sessions: list[Session]


class Count(Struct):
    """How many actions of each type there are in one bucket."""

    time: str
    CLICK: int
    VIEW: int
    NAVIGATE: int


class Counts(Struct):
    """Actions over time; buckets without any are left out."""

    bucket: str
    counts: list[Count]


class Cell(Struct):
    """How many clicks fell into one cell of the grid."""

    x: int
    y: int
    count: int


class Clicks(Struct):
    """The clicks on a page; cells without any are left out."""

    page: str
    columns: int
    rows: int
    clicks: int
    unplaced: int
    cells: list[Cell]


class Flow(Struct, rename={"from_page": "from", "to_page": "to"}):
    """How often people went from one page to another."""

    from_page: str
    to_page: str
    count: int


class Flows(Struct):
    """The most frequent ways from page to page."""

    flows: list[Flow]
    others: int
