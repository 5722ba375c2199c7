"""What the commands say: values that a terminal and a file system can be given, whatever users are called."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footpath.cli.find import local_time, what
from footpath.cli.sql import cell, lines
from footpath.cli.terminal import safe
from footpath.find.files import MAX_NAME, name_of

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    """No character that a terminal might act on is left, and a printable text is shown as it is."""
    assert safe(text).isprintable()
    assert safe(text) == text or not text.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1bb", "a\\x1bb"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        ("\x9b", "\\x9b"),
        ("é [b]", "é [b]"),
    ],
)
def test_escapes_are_those_of_python(text: str, shown: str) -> None:
    """A control character is shown as its number."""
    assert safe(text) == shown


@given(ids, ids)
def test_names_are_safe_and_apart(one: str, other: str) -> None:
    """A name has only harmless characters, no dot in front, is short enough, and is another for another id."""
    name = name_of(one)
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_.~%=") for letter in name)
    assert not name.startswith(".")
    assert len(name) <= MAX_NAME
    assert (name == name_of(other)) == (one == other)
    assert "=" in name or unquote(name) == one


def test_a_name_cannot_be_that_of_a_longer_id() -> None:
    """An id that looks like the short form of another one has another name."""
    assert name_of(name_of("é" * 256)) != name_of("é" * 256)


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ("2018-10-20T21:37:28-06:00", "2018-10-20 21:37:28 -06:00"),
        ("2018-10-20T21:37:28.5Z", "2018-10-20 21:37:28.5 Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01 00:00:00 +14:00"),
    ],
)
def test_times_are_the_users_own(time: str, shown: str) -> None:
    """A time is shown as the user's clock had it, and its offset."""
    assert local_time(time) == shown


@pytest.mark.parametrize(
    ("kind", "properties", "shown"),
    [
        ("NAVIGATE", {"pageFrom": "communities", "pageTo": "inventory"}, "went communities → inventory"),
        ("NAVIGATE", {"pageTo": "inventory"}, "went ? → inventory"),
        (
            "CLICK",
            {"locationX": 52, "locationY": 11.5, "z": [1, {"a": None}]},
            'clicked at 52, 11.5; z: [1,{"a":null}]',
        ),
        ("CLICK", {"text": "Buy", "element": "a", "page": "/p"}, "clicked “Buy” on /p; element: a"),
        ("CLICK", {"locationX": 5, "text": ""}, "clicked; locationX: 5; text: "),
        ("VIEW", {"viewedId": "FDJKLHSLD"}, "viewed FDJKLHSLD"),
        ("VIEW", {"viewedId": "/p", "page": "/p", "title": "P"}, "viewed /p; title: P"),
        ("VIEW", {"pageFrom": "a", "pageTo": "b"}, "viewed something; pageFrom: a; pageTo: b"),
        ("CLICK", {}, "clicked"),
    ],
)
def test_properties_are_readable(kind: str, properties: dict[str, Any], shown: str) -> None:
    """The known properties of a type are said in words, the others by name, and none is left out."""
    assert what(kind, json.dumps(properties)) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**127 - 1, "170141183460469231731687303715884105727"),
        (Decimal("1.50"), "1.50"),
        (datetime(2020, 2, 29, 23, 59, 59, 500_000), '"2020-02-29T23:59:59.500000Z"'),  # noqa: DTZ001
        (datetime(2020, 1, 1, tzinfo=UTC), '"2020-01-01T00:00:00Z"'),
        (date(2020, 1, 1), '"2020-01-01"'),
        (timedelta(days=1, seconds=1), '"1 day, 0:00:01"'),
        (float("inf"), '"inf"'),
        ({1: (datetime(2020, 1, 1), b"x")}, '{"1":["2020-01-01T00:00:00Z","eA=="]}'),  # noqa: DTZ001
        ("\x1b", '"\\u001b"'),
        (None, "null"),
    ],
)
def test_values_as_json(value: object, text: str) -> None:
    """A value of the engine is JSON that says the same, to the last digit."""
    assert b"".join(lines(["x"], iter([(value,)]))) == f'{{"x":{text}}}\n'.encode()


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), ([1, "a"], '[1,"a"]'), (1.5, "1.5"), ("a", "a")]
)
def test_values_as_cells(value: object, text: str) -> None:
    """A value is shown without quotes, and what is not there as nothing."""
    assert cell(value) == text
