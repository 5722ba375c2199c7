"""Parameters become a Query or a refusal; nothing can widen what is asked for by mistake."""

import base64
from datetime import UTC, date, datetime, timedelta, timezone
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs

from footpath.action import MAX_ID_LENGTH, MAX_MICROS, MIN_MICROS, TYPE_BITS, micros
from footpath.errors import BadQuery
from footpath.query import MAX_LIMIT, PARAMETERS, Position, Query, build, cursor, instant, parse, rfc3339

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ids = st.text(min_size=1, max_size=20)
instants = st.integers(MIN_MICROS, MAX_MICROS)
orders = st.sampled_from(["asc", "desc"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "userId": ids,
            "sessionId": ids,
            "logType": st.lists(st.sampled_from(sorted(TYPE_BITS)), min_size=1, max_size=4),
            "range": st.tuples(instants, instants).map(sorted),
            "order": orders,
            "limit": st.integers(1, MAX_LIMIT),
        },
    ).filter(lambda given_: given_.keys() & {"userId", "sessionId", "logType", "range"})
)
def test_parameters_become_the_query_they_say(given_: dict[str, object]) -> None:
    """A URL with any combination of filters, in any case of logType, is the Query with just these."""
    pairs: list[tuple[str, str]] = []
    wanted = Query()
    for name, value in given_.items():
        if isinstance(value, list) and name == "range":
            pairs += [("fromTime", rfc3339(value[0])), ("toTime", rfc3339(value[1]))]
            wanted = structs.replace(wanted, time_from=value[0], time_to=value[1])
        elif isinstance(value, list):
            pairs += [
                ("logType", [str.lower, str.upper, str.title][place % 3](kind)) for place, kind in enumerate(value)
            ]
            wanted = structs.replace(wanted, types=tuple(sorted(set(value))))
        else:
            pairs.append((name, str(value)))
            field = {"userId": "user_id", "sessionId": "session_id"}.get(name, name)
            wanted = structs.replace(wanted, **{field: value})
    assert parse(urlencode(pairs).encode()) == wanted
    assert wanted.type_bits == sum(TYPE_BITS[kind] for kind in wanted.types)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "userId"),
        ("order=asc", "at least one"),
        ("limit=5", "at least one"),
        ("limit=5&cursor=abc", "at least one"),
        ("userid=a", "userid"),
        ("userId=a&foo=1", "foo"),
        ("userId=a&user%00Id=1", "user"),
        ("userId=", "userId is empty"),
        ("userId", "userId is empty"),
        ("userId=a&sessionId=", "sessionId is empty"),
        ("userId=a&userId=b", "userId is given 2 times"),
        ("userId=a&limit=1&limit=1", "limit is given 2 times"),
        (f"userId={'a' * (MAX_ID_LENGTH + 1)}", "userId is longer"),
        (f"sessionId={'a' * (MAX_ID_LENGTH + 1)}", "sessionId is longer"),
        ("userId=%ff", "cannot be read"),
        ("userId=%ed%a0%80", "cannot be read"),
        ("&".join(["logType=click"] * 101), "cannot be read"),
        ("logType=scroll", "scroll"),
        ("logType=click,view", "click,view"),
        ("logType=cl%C4%B1ck", "logType"),
        ("logType=click&logType=", "logType is empty"),
        ("fromTime=2018-10-20", "toTime is missing"),
        ("toTime=2018-10-20", "fromTime is missing"),
        ("userId=a&fromTime=2018-10-20", "toTime is missing"),
        ("fromTime=2018-10-21&toTime=2018-10-20", "is after toTime"),
        ("fromTime=2018-10-20T00:00:00.000001&toTime=2018-10-20T00:00:00", "is after toTime"),
        ("fromTime=yesterday&toTime=2018-10-20", "yesterday"),
        ("fromTime=2018-10-20&toTime=2018-02-30", "toTime '2018-02-30'"),
        ("fromTime=2018-10-20T25:00:00Z&toTime=2018-10-22", "fromTime"),
        ("fromTime=0&toTime=1540092000", "fromTime"),
        ("fromTime=0000-01-01&toTime=2018-10-20", "fromTime"),
        ("userId=a&order=down", "down"),
        ("userId=a&order=ASC", "ASC"),
        ("userId=a&limit=0", "limit '0'"),
        ("userId=a&limit=-1", "limit '-1'"),
        ("userId=a&limit=1.5", "limit '1.5'"),
        ("userId=a&limit=%D9%A1", "limit"),
        ("userId=a&limit=1e3", "limit"),
        (f"userId=a&limit={MAX_LIMIT + 1}", "limit"),
        ("userId=a&limit=" + "9" * 30, "limit"),
        ("userId=a&limit=5&cursor=abc", "cursor"),
        ("userId=a&limit=5&cursor=%C3%A9", "cursor"),
        ("userId=a&limit=5&cursor=" + "A" * 5_000, "cursor"),
    ],
)
def test_refusals_name_what_is_wrong(text: str, named: str) -> None:
    """What cannot be asked for is BadQuery, and its message names the parameter."""
    with pytest.raises(BadQuery) as refused:
        parse(text.encode())
    assert named in str(refused.value)
    assert len(str(refused.value)) < 400


def test_letters_of_all_kinds_come_raw_or_encoded() -> None:
    """An id is the same whether its letters come percent-encoded or as bare UTF-8."""
    assert parse("userId=Zoë".encode()) == parse(f"userId={quote('Zoë')}".encode()) == Query(user_id="Zoë")
    with pytest.raises(BadQuery, match="cannot be read"):
        parse(b"userId=Zo\xeb")


@given(st.dictionaries(st.sampled_from(PARAMETERS) | st.text(max_size=3), st.lists(st.text(max_size=30), min_size=1)))
def test_any_parameters_are_answered(given_: dict[str, list[str]]) -> None:
    """Whatever values parameters have, the answer is a Query with a filter, or BadQuery."""
    try:
        query = build(given_)
    except BadQuery:
        return
    assert query.user_id or query.session_id or query.types or query.time_from is not None


@given(st.datetimes(timezones=offsets), st.sampled_from("T t"), st.booleans())
def test_instant_is_that_of_datetime(time: datetime, letter: str, as_space: bool) -> None:
    """A time in RFC 3339 is read as datetime reads it, whatever stands for T and when its + came as a space."""
    text = time.isoformat().replace("T", letter)
    assert instant("fromTime", text.replace("+", " ") if as_space else text) == micros(time)


@given(st.datetimes())
def test_instant_without_offset_is_utc(time: datetime) -> None:
    """A time without offset is taken as UTC."""
    assert instant("fromTime", time.isoformat()) == micros(time.replace(tzinfo=UTC))


@given(st.dates())
def test_a_date_is_its_first_and_last_microsecond(day: date) -> None:
    """A date begins at 00:00 UTC as fromTime and ends a microsecond before the next as toTime."""
    begin = micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
    query = parse(f"fromTime={day.isoformat()}&toTime={day.isoformat()}".encode())
    assert (query.time_from, query.time_to) == (begin, begin + 86_400_000_000 - 1)


@given(instants)
def test_rfc3339_comes_back(time: int) -> None:
    """An instant written as text is read as the same instant."""
    assert instant("fromTime", rfc3339(time)) == time


@given(st.builds(Query, user_id=st.none() | ids, session_id=ids, order=orders), instants, st.integers(0, 2**63 - 1))
def test_a_cursor_comes_back_as_its_position(query: Query, time: int, seq: int) -> None:
    """A cursor with the parameters it was made for gives its position and last seq, with any limit."""
    text = cursor(query, Position(time, seq), seq)
    pairs = {"userId": query.user_id, "sessionId": query.session_id, "order": query.order, "limit": "7", "cursor": text}
    found = parse(urlencode({name: value for name, value in pairs.items() if value is not None}).encode())
    assert found == structs.replace(query, limit=7, after=Position(time, seq), last_seq=seq)
    assert quote(text) == text


@pytest.mark.parametrize(
    "other",
    [
        "userId=a&limit=1&order=desc",
        "userId=A&limit=1",
        "sessionId=a&limit=1",
        "userId=a&sessionId=a&limit=1",
        "userId=a&logType=click&limit=1",
        "userId=a&fromTime=2018-10-20&toTime=2018-10-20&limit=1",
    ],
)
def test_a_cursor_is_for_its_own_parameters(other: str) -> None:
    """A cursor given with any other filter or order is refused."""
    mine = cursor(parse(b"userId=a&limit=1"), Position(5, 5), 5)
    assert parse(f"userId=a&limit=2&cursor={mine}".encode()).after == Position(5, 5)
    with pytest.raises(BadQuery, match="other parameters"):
        parse(f"{other}&cursor={mine}".encode())


def test_a_cursor_needs_a_limit() -> None:
    """A cursor without limit is refused."""
    mine = cursor(parse(b"userId=a&limit=1"), Position(5, 5), 5)
    with pytest.raises(BadQuery, match="limit"):
        parse(f"userId=a&cursor={mine}".encode())


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30, 1.5, "5", None])
def test_a_forged_cursor_is_refused(place: int, value: object) -> None:
    """A cursor with a place that no action can have is BadQuery and never reaches the engine."""
    mine = cursor(parse(b"userId=a&limit=1"), Position(5, 5), 5)
    packed = json.decode(base64.urlsafe_b64decode(mine + "=" * (-len(mine) % 4)))
    packed[place] = value
    forged = base64.urlsafe_b64encode(json.encode(packed)).decode()
    with pytest.raises(BadQuery, match="cursor"):
        parse(f"userId=a&limit=1&cursor={quote(forged)}".encode())
