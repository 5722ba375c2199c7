"""What is asked for: the parameters of a read, as one value. Pure.

`Query` is what the rooms below speak of; `parse` makes one of a URL's query string and refuses whatever could widen the
answer by mistake: an unknown parameter, one end of a range, an empty value.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qs

from msgspec import DecodeError, Meta, Struct, ValidationError, json, structs

from footpath.action import MAX_ID_LENGTH, MAX_MICROS, MIN_MICROS, TYPE_BITS, micros
from footpath.errors import BadQuery

MAX_LIMIT = 10_000  # actions in a page: it is put together in memory; without limit everything is streamed
PARAMETERS = ("userId", "sessionId", "logType", "fromTime", "toTime", "limit", "cursor", "order")
_FILTERS = PARAMETERS[:5]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_PLUS_AS_SPACE = re.compile(r"(\d\d:?\d\d(?::?\d\d(?:\.\d+)?)?) (\d\d:?\d\d)")

Order = Literal["asc", "desc"]
Packed = TypeVar("Packed", bound=Struct)
_Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Position(NamedTuple):
    """A place in the order of a read: after the action with this time (microseconds since 1970 UTC) and seq."""

    time: int
    seq: int


class Query(Struct, frozen=True):
    """Which actions, by any combination of filters, and in which order; times in microseconds since 1970 UTC.

    `after`, `until` and `last_seq` belong to pages: only what comes after a position, only up to (and with) another,
    and only what had been kept when the first page was read, so that pages neither skip nor repeat. `since_seq` asks
    for what was kept after an action with this seq.
    """

    user_id: str | None = None
    session_id: str | None = None
    types: tuple[str, ...] = ()
    time_from: int | None = None
    time_to: int | None = None
    order: Order = "asc"
    limit: int | None = None
    after: Position | None = None
    until: Position | None = None
    last_seq: int | None = None
    since_seq: int | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether a user or a session is named: what one did is little, as a rule; anything else may be a lot."""
        return self.user_id is not None or self.session_id is not None

    @property
    def type_bits(self) -> int:
        """The types as in `Entry.types`; 0 for any."""
        return sum(TYPE_BITS[name] for name in self.types)


class _Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    time: Annotated[int, Meta(ge=MIN_MICROS, le=MAX_MICROS)]
    seq: _Seq
    last_seq: _Seq
    filters: str


def parse(raw: bytes) -> Query:
    """Read the query string of `/api/retrievelogs`, as it stands in the request.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    return build(parameters(raw))


def parameters(raw: bytes) -> dict[str, list[str]]:
    """The parameters of a query string, each with the values it was given.

    Raises:
        BadQuery: it cannot be read.
    """
    try:
        return parse_qs(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise BadQuery(f"the query string cannot be read: {error}") from error


def build(given: Mapping[str, Sequence[str]]) -> Query:
    """Make a Query of parameters, each with the values it was given.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    one = known(given, PARAMETERS)
    if not any(name in given for name in _FILTERS):
        raise BadQuery("give at least one of userId, sessionId, logType, or fromTime with toTime")
    query = structs.replace(filters(given), order=order(one.get("order", "asc")), limit=_limit(one.get("limit")))
    return _at_cursor(query, one["cursor"]) if "cursor" in one else query


def known(given: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, str]:
    """The first value of each parameter, when all are among `names`, are not empty, and only logType is repeated.

    Raises:
        BadQuery: one is not.
    """
    for name, values in given.items():
        if name not in names:
            raise BadQuery(f"there is no parameter {name[:60]!r}; known are {', '.join(names)}")
        if len(values) > 1 and name != "logType":
            raise BadQuery(f"{name} is given {len(values)} times; give it once")
        if any(not value for value in values):
            raise BadQuery(f"{name} is empty; give it a value or leave it out")
    return {name: values[0] for name, values in given.items()}


def filters(given: Mapping[str, Sequence[str]]) -> Query:
    """The Query of those parameters that say which actions (ids, types and the time range), without looking at others.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    one = {name: given[name][0] for name in _FILTERS if name in given}
    for name in ("userId", "sessionId"):
        if len(one.get(name, "")) > MAX_ID_LENGTH:
            raise BadQuery(f"{name} is longer than {MAX_ID_LENGTH} characters; no such id is ever kept")
    time_from, time_to = _range(one.get("fromTime"), one.get("toTime"))
    return Query(
        user_id=one.get("userId"),
        session_id=one.get("sessionId"),
        types=_types(given.get("logType", ())),
        time_from=time_from,
        time_to=time_to,
    )


def number(name: str, text: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`.

    Raises:
        BadQuery: it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise BadQuery(f"{name} {text[:60]!r} is not a whole number from {least} to {most}")
    return int(text)


def _range(first: str | None, last: str | None) -> tuple[int | None, int | None]:
    if first is None and last is None:
        return None, None
    if first is None or last is None:
        missing = "toTime" if last is None else "fromTime"
        raise BadQuery(f"{missing} is missing; give both ends of the time range, or neither")
    time_from, time_to = instant("fromTime", first), instant("toTime", last, end_of_day=True)
    if time_from > time_to:
        raise BadQuery(f"fromTime {first} is after toTime {last}; swap them")
    return time_from, time_to


def instant(name: str, text: str, *, end_of_day: bool = False) -> int:
    """Microseconds since 1970 UTC of RFC 3339, of a time without offset (taken as UTC), or of a date.

    Args:
        name: of the parameter, for the message.
        text: where a `+` may have arrived as a space, as it does when a URL is not encoded.
        end_of_day: take a date as its last microsecond instead of its first.

    Raises:
        BadQuery: it does not parse.
    """
    try:
        if _DATE.fullmatch(text):
            day = micros(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC))
            return day + int(end_of_day) * (86_400_000_000 - 1)
        time = json.decode(json.encode(_PLUS_AS_SPACE.sub(r"\1+\2", text)), type=datetime)
    except (ValueError, ValidationError) as error:
        raise BadQuery(
            f"{name} {text[:60]!r} is not a time; write it like 2018-10-20T21:37:28-06:00, 2018-10-20T21:37:28 (UTC)"
            " or 2018-10-20"
        ) from error
    return micros(time if time.tzinfo is not None else time.replace(tzinfo=UTC))


def rfc3339(time: int) -> str:
    """Microseconds since 1970 UTC as text."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


def cursor(query: Query, after: Position, last_seq: int) -> str:
    """The text that continues `query` after a position."""
    packed = json.encode(_Cursor(after.time, after.seq, last_seq, _fingerprint(query)))
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def unpacked(text: str, kind: type[Packed]) -> Packed:
    """What a cursor holds.

    Raises:
        BadQuery: it is none of ours.
    """
    try:
        return json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, DecodeError) as error:
        raise BadQuery("cursor is not one that footpath gave; start again without it") from error


def _at_cursor(query: Query, text: str) -> Query:
    packed = unpacked(text, _Cursor)
    if packed.filters != _fingerprint(query):
        raise BadQuery("cursor belongs to a read with other parameters; send the same ones, or start again without it")
    if query.limit is None:
        raise BadQuery("cursor needs limit; send the same limit as before, or another")
    return structs.replace(query, after=Position(packed.time, packed.seq), last_seq=packed.last_seq)


def _fingerprint(query: Query) -> str:
    """What must stay the same from page to page: the filters and the order, not the limit."""
    return hashlib.sha256(json.encode(structs.replace(query, limit=None, after=None, last_seq=None))).hexdigest()[:12]


def _types(values: Sequence[str]) -> tuple[str, ...]:
    types = set()
    for value in values:
        name = value.upper() if value.isascii() else value
        if name not in TYPE_BITS:
            raise BadQuery(
                f"logType {value[:60]!r} is not known; it is one of {', '.join(TYPE_BITS).lower()}, and may repeat"
            )
        types.add(name)
    return tuple(sorted(types))


def order(value: str) -> Order:
    """The order of that name.

    Raises:
        BadQuery: there is none.
    """
    if value == "asc":
        return "asc"
    if value == "desc":
        return "desc"
    raise BadQuery(f"order {value[:60]!r} is not asc (oldest first) or desc (newest first)")


def _limit(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 9 and 1 <= int(value) <= MAX_LIMIT):
        raise BadQuery(
            f"limit {value[:60]!r} is not a number from 1 to {MAX_LIMIT}; without limit everything is streamed"
        )
    return int(value)
