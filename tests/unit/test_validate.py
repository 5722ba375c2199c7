"""The codes of rejects are complete, and instants are exact to the microsecond over all years."""

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from footpath import validate
from footpath.action import KNOWN_PROPERTIES, MAX_MICROS, MIN_MICROS, TYPE_BITS, Batch, micros
from footpath.decode import read
from footpath.validate import CODES, FORGOTTEN, refuse_forgotten

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def by_calendar(time: datetime) -> int:
    """Microseconds since 1970 UTC, by counting days from the year 1."""
    offset = time.utcoffset()
    assert offset is not None
    days = time.toordinal() - date(1970, 1, 1).toordinal()
    seconds = days * 86_400 + time.hour * 3_600 + time.minute * 60 + time.second
    return seconds * 1_000_000 + time.microsecond - (offset.days * 86_400 + offset.seconds) * 1_000_000


@given(st.datetimes(timezones=offsets))
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=23, minutes=59))))
@example(datetime.max.replace(tzinfo=timezone(-timedelta(hours=23, minutes=59))))
@example(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))
def test_micros_is_exact(time: datetime) -> None:
    """Micros is what counting days gives, also where UTC leaves the years 1 to 9999."""
    assert micros(time) == by_calendar(time)


def test_limits_of_time_are_those_of_datetime() -> None:
    """MIN_MICROS and MAX_MICROS are the first and last instants that a datetime in UTC can hold."""
    assert micros(datetime.min.replace(tzinfo=UTC)) == MIN_MICROS
    assert micros(datetime.max.replace(tzinfo=UTC)) == MAX_MICROS


def test_codes_are_complete() -> None:
    """Every code that a fault is raised with is in CODES, which holds no other but that of forgotten users."""
    raised = re.findall(r'_Fault\(\s*"(\w+)"', Path(validate.__file__).read_text(encoding="utf-8"))
    assert {*raised, FORGOTTEN} == set(CODES)


def test_known_properties_belong_to_known_types() -> None:
    """Every type has a bit of its own and says which of its properties are checked: one or two, of one JSON type."""
    assert set(KNOWN_PROPERTIES) == set(TYPE_BITS)
    for known in KNOWN_PROPERTIES.values():
        assert len(known) in {1, 2}
        assert len({classes for _, classes in known}) == 1
    assert sorted(TYPE_BITS.values()) == [1 << place for place in range(len(TYPE_BITS))]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2018-10-20T21:37:28-06:00", "2018-10-20T21:37:28-06:00"),
        ("2018-10-20 21:37:28+0545", "2018-10-20T21:37:28+05:45"),
        ("2018-10-20t21:37:28z", "2018-10-20T21:37:28Z"),
        ("2018-10-20T21:37:28.5-00:00", "2018-10-20T21:37:28.500000Z"),
        ("2018-10-20T21:37:28.123456789Z", "2018-10-20T21:37:28.123457Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_kept_with_their_offset(text: str, kept: str) -> None:
    """A time is written as RFC 3339 with the offset that it came with, to the microsecond."""
    action = validate.judge(f'{{"type":"CLICK","time":"{text}"}}'.encode())
    assert validate.accept([Batch("u", "s", [action])]) is not None
    assert msgspec.json.encode(action.time).decode() == f'"{kept}"'


_GOOD = {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {}}
_BAD = {"time": "2018-10-20T21:37:28-06:00", "type": "HOVER", "properties": {}}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from([_GOOD, _BAD]), max_size=4)), max_size=6))
def test_each_action_of_a_forgotten_user_is_refused_in_its_place(given_: list[tuple[str, list[Any]]]) -> None:
    """Of a user's entries that are refused, every action that was good is named, in the order of the request."""
    body = json.dumps([{"userId": user, "sessionId": "s", "actions": actions} for user, actions in given_])
    checked = read(body.encode())
    gone = {place for place, entry in enumerate(checked.entries) if entry.user_id == "b"}
    left = refuse_forgotten(checked, gone)
    wanted = [
        (batch, place, "unknown_type" if action is _BAD else FORGOTTEN)
        for batch, (user, actions) in enumerate(given_)
        for place, action in enumerate(actions)
        if action is _BAD or user == "b"
    ]
    assert [(reject.batch, reject.action, reject.code) for reject in left.rejects] == wanted
    assert left.accepted == sum(entry.number for entry in left.entries)
    assert all(entry.user_id != "b" for entry in left.entries)
