"""What is asked for, as values, out of parameters that obey the rules of `footpath.query`.

Each holds the `Query` of the actions that it is about.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct, json, structs

from footpath.action import MAX_ID_LENGTH, MAX_MICROS, MIN_MICROS
from footpath.errors import BadQuery
from footpath.query import Query, filters, known, number, order, unpacked

SESSIONS = ("userId", "fromTime", "toTime", "limit", "cursor", "order")
COUNTS = ("bucket", "userId", "sessionId", "logType", "fromTime", "toTime")
CLICKS = ("page", "fromTime", "toTime", "columns", "rows")
FLOWS = ("fromTime", "toTime", "userId", "limit")

DEFAULT_LIMIT = 100  # sessions or flows: what a person looks at
MAX_LIMIT = 1_000
MAX_PAGE_LENGTH = 2_048  # characters of a page asked for: longer addresses do not get through browsers and proxies
MAX_BUCKETS = 50_000  # 4 MB of JSON; a month by minutes is 44,640
AUTO_BUCKETS = 200  # as many bars as can be told apart
GRID = 100  # columns and rows that clicks are sorted into; coarser grids add up whole cells of it
DIVISORS = tuple(size for size in range(1, GRID + 1) if GRID % size == 0)

Bucket = Literal["minute", "15m", "hour", "day"]
WIDTHS: dict[Bucket, int] = {"minute": 60_000_000, "15m": 900_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
"""Microseconds of each bucket, from the smallest."""


class Place(NamedTuple):
    """A place in the order of sessions: after the one that ended then (microseconds since 1970 UTC)."""

    end: int
    session_id: str


class SessionsOf(Struct, frozen=True):
    """The sessions of one user, by when they ended: `query` has its user_id, order and limit."""

    query: Query
    limit: int
    after: Place | None = None


class CountsOf(Struct, frozen=True):
    """How many actions of each type there are in each bucket of time."""

    query: Query
    bucket: Bucket


class ClicksOf(Struct, frozen=True):
    """Where on a page people clicked, in a grid over the page."""

    query: Query
    page: str
    columns: int
    rows: int


class FlowsOf(Struct, frozen=True):
    """From which page to which people went, the most frequent ways."""

    query: Query
    limit: int


class _Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    end: Annotated[int, Meta(ge=MIN_MICROS, le=MAX_MICROS)]
    session_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    last_seq: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    filters: str


Given = Mapping[str, Sequence[str]]


def sessions_of(given: Given) -> SessionsOf:
    """What `/api/sessions` is asked for.

    Raises:
        BadQuery: with the parameter and the next step in its message; so do the others here.
    """
    one = known(given, SESSIONS)
    if "userId" not in one:
        raise BadQuery("userId is missing; sessions are those of one user")
    query = structs.replace(filters(given), order=order(one.get("order", "desc")))
    asked = SessionsOf(query, _limit(one))
    if "cursor" not in one:
        return asked
    packed = unpacked(one["cursor"], _Cursor)
    if packed.filters != _fingerprint(query):
        raise BadQuery("cursor belongs to a read with other parameters; send the same ones, or start again without it")
    query = structs.replace(query, last_seq=packed.last_seq)
    return SessionsOf(query, asked.limit, Place(packed.end, packed.session_id))


def cursor(asked: SessionsOf, after: Place, last_seq: int) -> str:
    """The text that continues after a session; `last_seq` is the highest seq when the first page was read."""
    packed = json.encode(_Cursor(*after, last_seq, _fingerprint(asked.query)))
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def counts_of(given: Given) -> CountsOf:
    """What `/api/counts` is asked for.

    The bucket `auto` is the smallest of which there are at most `AUTO_BUCKETS` in the range; a day where there is none.
    """
    one = known(given, COUNTS)
    query = filters(given)
    name = one.get("bucket", "auto")
    for bucket in WIDTHS:
        if name == bucket or (name == "auto" and _buckets(query, bucket) <= AUTO_BUCKETS):
            return CountsOf(query, bucket)
    if name == "auto":
        return CountsOf(query, "day")
    raise BadQuery(f"bucket {name[:60]!r} is not one of {', '.join(WIDTHS)} or auto")


def clicks_of(given: Given) -> ClicksOf:
    """What `/api/clicks` is asked for."""
    one = known(given, CLICKS)
    if "page" not in one:
        raise BadQuery("page is missing; name the page as its clicks do, in their property page")
    if len(one["page"]) > MAX_PAGE_LENGTH:
        raise BadQuery(f"page is longer than {MAX_PAGE_LENGTH} characters")
    columns, rows = (_divisor(name, one.get(name, str(GRID))) for name in ("columns", "rows"))
    return ClicksOf(structs.replace(_in_range(given), types=("CLICK",)), one["page"], columns, rows)


def flows_of(given: Given) -> FlowsOf:
    """What `/api/flows` is asked for."""
    one = known(given, FLOWS)
    return FlowsOf(structs.replace(_in_range(given), types=("NAVIGATE",)), _limit(one))


def _in_range(given: Given) -> Query:
    query = filters(given)
    if query.time_from is None:
        raise BadQuery("fromTime and toTime are missing; say of which time")
    return query


def _limit(one: Mapping[str, str]) -> int:
    return number("limit", one.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)


def _divisor(name: str, text: str) -> int:
    size = number(name, text, 1, GRID)
    if size not in DIVISORS:
        raise BadQuery(f"{name} {text} does not divide {GRID}; take one of {', '.join(map(str, DIVISORS))}")
    return size


def _buckets(query: Query, bucket: Bucket) -> int:
    """How many buckets the time range touches; as good as endless without one."""
    if query.time_from is None or query.time_to is None:
        return MAX_MICROS
    return query.time_to // WIDTHS[bucket] - query.time_from // WIDTHS[bucket] + 1


def _fingerprint(query: Query) -> str:
    """What must stay the same from page to page."""
    return hashlib.sha256(json.encode(structs.replace(query, last_seq=None))).hexdigest()[:12]
