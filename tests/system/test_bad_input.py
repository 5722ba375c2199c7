"""Bad input gets what the interface says, and nothing else changes.

Every case sends one body and looks at three things: the answer, that all that was stored before is still there as it
was, and that exactly the accepted actions have come to it. Leaves out sizes and encodings (`test_bodies`) and queries.
"""

import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from tests.system.conftest import Server, Start, wait_until

Json = dict[str, Any]
Key = tuple[str, str, datetime, object, str, str, str | None]

EVERYTHING = {"fromTime": "0001-01-01", "toTime": "9999-12-31"}
TIME = "2018-10-20T21:37:28-06:00"


def action(**members: Any) -> Json:
    """A good action, but for the members that are given."""
    return {"time": TIME, "type": "CLICK", "properties": {"n": 1}, **members}


def without(name: str) -> Json:
    """A good action without one of its members."""
    return {key: value for key, value in action().items() if key != name}


def batch(*actions: object, **members: Any) -> Json:
    """A batch of these actions, with good ids unless others are given."""
    return {"userId": "u", "sessionId": "s", "actions": list(actions), **members}


def nested(depth: int) -> Json:
    """A good action with so many objects within each other, itself and its properties included."""
    value: Json = {}
    for _ in range(depth - 2):
        value = {"in": value}
    return action(properties=value)


def key(user: str, session: str, told: Json) -> Key:
    """What of an action must come back: the same instant with the same offset, the same JSON values, the same ids."""
    time = datetime.fromisoformat(told["time"].upper())
    properties = json.dumps(told.get("properties", {}), sort_keys=True)
    return user, session, time, time.utcoffset(), told["type"].upper(), properties, told.get("id")


def stored(server: Server) -> list[Key]:
    """All that is stored, in a fixed order."""
    answer = server.retrieve(**EVERYTHING)
    assert answer.status_code == 200, answer.text
    keys = [
        key(found["userId"], found["sessionId"], told)
        for found in json.loads(answer.content)
        for told in found["actions"]
    ]
    return sorted(keys, key=repr)


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that holds something before the first case."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "3600"})
    assert server.submit([batch(action(id="before"), userId="before", sessionId="before")]).status_code == 200
    return server


def text(body: str) -> bytes:
    """A body that `json.dumps` would not write."""
    return body.encode()


NOT_JSON = {
    "nothing": b"",
    "spaces": b" \n ",
    "an open array": b"[",
    "an open object": text('[{"userId": "u"'),
    "half a word": b"nul",
    "NaN": b"NaN",
    "single quotes": b"[{'userId': 'u'}]",
    "a comma too many": text('[{"userId": "u", "sessionId": "s", "actions": []},]'),
    "two values": b"[] []",
    "a byte order mark": b"\xef\xbb\xbf[]",
    "UTF-16": "[]".encode("utf-16"),
    "a NUL": b"[\x00]",
    "a raw line end in a string": text('[{"userId": "u\n", "sessionId": "s", "actions": []}]'),
    "an unknown escape": text(r'[{"userId": "\x41", "sessionId": "s", "actions": []}]'),
    "half a surrogate pair": text(r'[{"userId": "\ud800", "sessionId": "s", "actions": []}]'),
    "bytes that are not UTF-8": b'[{"userId": "\xff\xfe", "sessionId": "s", "actions": []}]',
    "an overlong slash": b'[{"userId": "..\xc0\xaf", "sessionId": "s", "actions": []}]',
    "a form": b"userId=u&sessionId=s",
    "XML": b"<batches/>",
}

NOT_BATCHES: dict[str, object] = {
    "null": None,
    "a number": 1,
    "a string": "batches",
    "true": True,
    "an empty object": {},
    "an array of a number": [1],
    "an array of null": [None],
    "an array of an array": [[batch(action())]],
    "an array of an empty object": [{}],
    "an action instead of a batch": [action()],
    "no userId": [{"sessionId": "s", "actions": [action()]}],
    "no sessionId": [{"userId": "u", "actions": [action()]}],
    "no actions": [{"userId": "u", "sessionId": "s"}],
    "actions is null": [batch() | {"actions": None}],
    "actions is an object": [batch() | {"actions": action()}],
    "actions is a string": [batch() | {"actions": "CLICK"}],
    "userId is null": [batch(action(), userId=None)],
    "userId is a number": [batch(action(), userId=7)],
    "userId is empty": [batch(action(), userId="")],
    "userId has 257 characters": [batch(action(), userId="u" * 257)],
    "sessionId is null": [batch(action(), sessionId=None)],
    "sessionId is an object": [batch(action(), sessionId={"id": "s"})],
    "sessionId is empty": [batch(action(), sessionId="")],
    "sessionId has 257 characters": [batch(action(), sessionId="s" * 257)],
    "userid in lower case": [{"userid": "u", "sessionId": "s", "actions": [action()]}],
    "a good batch, then one without ids": [batch(action()), {"actions": [action()]}],
}

REFUSED: dict[str, tuple[object, str]] = {
    "a number": (7, "not_an_action"),
    "null": (None, "not_an_action"),
    "a string": ("CLICK", "not_an_action"),
    "an array": ([action()], "not_an_action"),
    "an empty object": ({}, "unknown_type"),
    "no type": (without("type"), "unknown_type"),
    "type is null": (action(type=None), "unknown_type"),
    "type is a number": (action(type=1), "unknown_type"),
    "type is empty": (action(type=""), "unknown_type"),
    "type is HOVER": (action(type="HOVER"), "unknown_type"),
    "type with a space": (action(type="CLICK "), "unknown_type"),
    "type with a NUL": (action(type="CLICK\0"), "unknown_type"),
    "type with a dotless i, whose upper case is I": (action(type="cl\u0131ck"), "unknown_type"),
    "type in full-width letters": (action(type="\uff23\uff2c\uff29\uff23\uff2b"), "unknown_type"),
    "type with a long s, whose upper case is S": (action(type="\u017f"), "unknown_type"),
    "no time": (without("time"), "bad_time"),
    "time is null": (action(time=None), "bad_time"),
    "time is a number": (action(time=1540092048), "bad_time"),
    "time is empty": (action(time=""), "bad_time"),
    "time is a date": (action(time="2018-10-20"), "bad_time"),
    "time without an offset": (action(time="2018-10-20T21:37:28"), "bad_time"),
    "time with spaces around it": (action(time=f" {TIME} "), "bad_time"),
    "time with a name for its offset": (action(time="2018-10-20T21:37:28 UTC"), "bad_time"),
    "time as HTTP writes it": (action(time="Sat, 20 Oct 2018 21:37:28 GMT"), "bad_time"),
    "24:00": (action(time="2018-10-20T24:00:00Z"), "bad_time"),
    "a leap second": (action(time="2016-12-31T23:59:60Z"), "bad_time"),
    "minute 60": (action(time="2018-10-20T21:60:00Z"), "bad_time"),
    "month 13": (action(time="2018-13-20T21:37:28Z"), "bad_time"),
    "February 29 of 2018": (action(time="2018-02-29T00:00:00Z"), "bad_time"),
    "an offset of 24 hours": (action(time="2018-10-20T21:37:28+24:00"), "bad_time"),
    "an offset of 60 minutes": (action(time="2018-10-20T21:37:28+01:60"), "bad_time"),
    "year 0000": (action(time="0000-01-01T00:00:00Z"), "bad_time"),
    "year 10000": (action(time="10000-01-01T00:00:00Z"), "bad_time"),
    "a negative year": (action(time="-2018-10-20T21:37:28Z"), "bad_time"),
    "before year 0001 in UTC": (action(time="0001-01-01T00:00:00+00:01"), "bad_time"),
    "after year 9999 in UTC": (action(time="9999-12-31T23:59:59-00:01"), "bad_time"),
    "a fraction that rounds past year 9999": (action(time="9999-12-31T23:59:59.9999999Z"), "bad_time"),
    "Arabic digits": (action(time="\u0662\u0660\u0661\u0668-10-20T21:37:28Z"), "bad_time"),
    "properties is null": (action(properties=None), "bad_properties"),
    "properties is an array": (action(properties=[]), "bad_properties"),
    "properties is a string": (action(properties="{}"), "bad_properties"),
    "properties is a number": (action(properties=0), "bad_properties"),
    "locationX is a string": (action(properties={"locationX": "52"}), "bad_property"),
    "locationY is true": (action(properties={"locationY": True}), "bad_property"),
    "locationX is an array": (action(properties={"locationX": [52]}), "bad_property"),
    "viewedId is a number": (action(type="VIEW", properties={"viewedId": 7}), "bad_property"),
    "viewedId is an object": (action(type="view", properties={"viewedId": {}}), "bad_property"),
    "pageFrom is false": (action(type="NAVIGATE", properties={"pageFrom": False}), "bad_property"),
    "pageTo is a number": (action(type="navigate", properties={"pageTo": 1.5}), "bad_property"),
    "id is empty": (action(id=""), "bad_id"),
    "id is a number": (action(id=7), "bad_id"),
    "id has 257 characters": (action(id="i" * 257), "bad_id"),
    "65 levels": (nested(65), "too_deep"),
    "500 levels": (nested(500), "too_deep"),
    "over 64 KiB": (action(properties={"text": "x" * 65_536}), "action_too_large"),
    "over 64 KiB of small numbers": (action(properties={"list": list(range(20_000))}), "action_too_large"),
}

ACCEPTED: dict[str, object] = {
    "type in lower case": action(type="click"),
    "type in mixed case": action(type="nAvIgAtE"),
    "type with a capital": action(type="View"),
    "no properties": without("properties"),
    "empty properties": action(properties={}),
    "known properties that are null": action(properties={"locationX": None, "locationY": None}),
    "known properties of another type": action(type="VIEW", properties={"locationX": "left", "pageTo": 7}),
    "numbers with a fraction": action(properties={"locationX": 0.1, "locationY": -1e-7}),
    "an integer over 64 bits": action(properties={"locationX": 2**70, "n": -(2**200)}),
    "the ends of 64 bits": action(properties={"list": [2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64]}),
    "doubles at their ends": action(properties={"list": [5e-324, 1.7976931348623157e308, -0.0, 0.1, 1e22]}),
    "an integer that no double holds": action(properties={"n": 9007199254740993}),
    "an id": action(id="a-1"),
    "an id of 256 characters": action(id="i" * 256),
    "an id of 256 emoji": action(id="\U0001f463" * 256),
    "the first moment": action(time="0001-01-01T00:00:00Z"),
    "the first moment, said elsewhere": action(time="0001-01-01T05:30:00+05:30"),
    "the last moment": action(time="9999-12-31T23:59:59.999999Z"),
    "the last moment, said elsewhere": action(time="9999-12-31T00:00:59.999999-23:59"),
    "before 1970": action(time="1969-12-31T23:59:59.999999Z"),
    "a microsecond": action(time="2018-10-20T21:37:28.000001+05:45"),
    "a tenth of a second": action(time="2018-10-20T21:37:28.1Z"),
    "a negative half hour": action(time="2018-10-20T21:37:28-00:30"),
    "the largest offset": action(time="2018-10-20T21:37:28+23:59"),
    "lower case t and z": action(time="2018-10-20t21:37:28z"),
    "64 levels": nested(64),
    "nearly 64 KiB": action(properties={"text": "x" * 65_000}),
    "1,000 properties": action(properties={f"key {number}": number for number in range(1000)}),
    "text of every kind": action(properties={"text": "\0\b\t\n\r\"\\/\u2028\ufeff\U0001f463\u0301\u202e<script>'=1+1"}),
    "keys of every kind": action(properties={"": 1, "\0": 2, "a.b": 3, "$": 4, "__proto__": 5, "'\"": 6, "[0]": 7}),
    "keys in two cases": action(properties={"key": 1, "KEY": 2, "Key": 3}),
    "arrays in arrays": action(properties={"list": [[], [[]], [{}], [None, True, False, "", 0]]}),
}

_counter = itertools.count()


def check(server: Server, body: object, status: int, added: Sequence[Key] = ()) -> Any:
    """Send a body; the answer, once it is as expected and the store holds what it held and what is added, no more."""
    before = stored(server)
    answer = server.submit(body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert stored(server) == sorted([*before, *added], key=repr)
    return answer.json()


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_not_json(server: Server, body: bytes) -> None:
    """A body that is not JSON is refused whole with 400 not_json."""
    answer = check(server, body, 400)
    assert answer.keys() == {"code", "message"}
    assert answer["code"] == "not_json"


@pytest.mark.parametrize("body", NOT_BATCHES.values(), ids=NOT_BATCHES.keys())
def test_not_batches(server: Server, body: object) -> None:
    """JSON that is neither a batch nor an array of batches is refused whole with 400 not_batches."""
    answer = check(server, body, 400)
    assert answer.keys() == {"code", "message"}
    assert answer["code"] == "not_batches"


@pytest.mark.parametrize("body", [[], [batch()], batch(), [batch(), batch()]], ids=repr)
def test_nothing_to_keep(server: Server, body: object) -> None:
    """A request without an action is submitted, and stores nothing."""
    assert check(server, body, 200) == {"message": "submitted", "accepted": 0, "duplicates": 0, "rejected": []}


@pytest.mark.parametrize(("bad", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_action_is_refused_alone(server: Server, bad: object, code: str) -> None:
    """A bad action is named with its place and code, and the good ones around it are stored."""
    first, last = action(id=f"first {next(_counter)}"), action(type="view", id=f"last {next(_counter)}")
    body = [batch(), batch(first, bad, last, userId="around", sessionId="bad")]
    answer = check(server, body, 200, [key("around", "bad", first), key("around", "bad", last)])
    (reject,) = answer.pop("rejected")
    assert answer == {"message": "submitted", "accepted": 2, "duplicates": 0}
    assert reject.keys() == {"batch", "action", "code", "message"}
    assert (reject["batch"], reject["action"], reject["code"]) == (1, 1, code)


@pytest.mark.parametrize("good", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_odd_action_comes_back_as_it_was(server: Server, good: Json) -> None:
    """A good action, however odd, is stored and comes back with the same values."""
    answer = check(server, batch(good, userId="odd", sessionId="good"), 200, [key("odd", "good", good)])
    assert answer == {"message": "submitted", "accepted": 1, "duplicates": 0, "rejected": []}


class Raw(NamedTuple):
    """An action as JSON text that `json.dumps` would not write, and what becomes of it: a code, or what is stored."""

    text: str
    code: str | None = None
    stored: Json | None = None


def told(members: str) -> str:
    """A good time and these members as JSON text."""
    return f'{{"time": "{TIME}", {members}}}'


def deep(depth: int) -> str:
    """A good action with so many arrays in its properties, as JSON text."""
    return told(f'"type": "CLICK", "properties": {{"in": {"[" * depth}{"]" * depth}}}')


RAW = {
    "1e400": Raw(told('"type": "CLICK", "properties": {"n": 1e400}'), "bad_properties"),
    "NaN as a string": Raw(told('"type": "CLICK", "properties": {"n": "NaN"}'), None, action(properties={"n": "NaN"})),
    "a lone surrogate in properties": Raw(told(r'"type": "CLICK", "properties": {"text": "\udc00"}'), "bad_properties"),
    "a lone surrogate in the id": Raw(told(r'"type": "CLICK", "id": "\ud800"'), "bad_id"),
    "a surrogate pair": Raw(
        told(r'"type": "CLICK", "properties": {"text": "\ud83d\udc63"}'),
        None,
        action(properties={"text": "\U0001f463"}),
    ),
    "a key twice": Raw(told('"type": "CLICK", "properties": {"n": 1, "n": 2}'), None, action(properties={"n": 2})),
    "a member twice": Raw(told('"type": "VIEW", "type": "CLICK", "properties": {}'), None, action(properties={})),
    "an integer of 5,000 digits": Raw(told(f'"type": "CLICK", "properties": {{"n": {"9" * 5000}}}'), "bad_properties"),
    "id is null": Raw(told('"type": "CLICK", "id": null'), None, action(properties={})),
    "a member that is not known": Raw(
        told('"type": "CLICK", "properties": {}, "more": 1'), None, action(properties={})
    ),
    "a type written with escapes": Raw(told(r'"type": "\u0043LICK", "properties": {}'), None, action(properties={})),
    "900 arrays deep": Raw(deep(900), "too_deep"),
}


@pytest.mark.parametrize("case", RAW.values(), ids=RAW.keys())
def test_json_that_only_text_can_say(server: Server, case: Raw) -> None:
    """An action that uses the corners of JSON is refused alone with its code, or stored as JSON means it."""
    good = action(id=f"beside {next(_counter)}")
    body = f'[{{"userId": "raw", "sessionId": "s", "actions": [{json.dumps(good)}, {case.text}]}}]'
    added = [good] if case.stored is None else [good, case.stored]
    answer = check(server, body.encode(), 200, [key("raw", "s", item) for item in added])
    assert [item["code"] for item in answer["rejected"]] == ([] if case.code is None else [case.code])
    assert answer["accepted"] == len(added)


@pytest.mark.parametrize("body", [deep(100_000), "[" * 100_000, "[" * 100_000 + "]" * 100_000], ids=len)
def test_nesting_without_end_is_refused(server: Server, body: str) -> None:
    """JSON nested deeper than any parser follows is refused whole with 400, and the server lives on."""
    sent = f'[{{"userId": "deep", "sessionId": "s", "actions": [{body}]}}]' if body[0] == "{" else body
    assert check(server, sent.encode(), 400)["code"] in {"not_json", "not_batches"}


def test_invalid_utf8_in_an_action_refuses_the_action_alone(server: Server) -> None:
    """Bytes that are not UTF-8 inside one action's properties leave the action beside it accepted."""
    good = action(id="beside UTF-8")
    bad = b'{"time": "%s", "type": "CLICK", "properties": {"text": "\xff"}}' % TIME.encode()
    body = b'[{"userId": "utf8", "sessionId": "s", "actions": [%s, %s]}]' % (bad, json.dumps(good).encode())
    answer = check(server, body, 200, [key("utf8", "s", good)])
    assert [(item["action"], item["code"]) for item in answer["rejected"]] == [(0, "bad_properties")]


def test_nanoseconds_become_microseconds(server: Server) -> None:
    """A time finer than a microsecond is stored to within one microsecond."""
    server.submit(batch(action(time="2018-10-20T21:37:28.123456789Z"), userId="nano"))
    ((found,),) = [item["actions"] for item in server.retrieve(userId="nano").json()]
    assert found["time"] in {"2018-10-20T21:37:28.123456Z", "2018-10-20T21:37:28.123457Z"}


IDS = {
    "a path": "../../etc/passwd",
    "a NUL": "\0",
    "a NUL inside": "a\0b",
    "only what is before a NUL": "a",
    "SQL": "' OR 1=1--",
    "a double quote": '"; DROP TABLE journal; --',
    "a formula": "=cmd|' /C calc'!A0",
    "a header": "a\r\nX-Injected: 1",
    "a log line": 'x","level":"error\n{"event": "forged"}',
    "patterns": "%_*?[a-z]{b,c}",
    "a backslash": "\\",
    "a space": " ",
    "a URL": "https://example.org/a?b=c&d=e#f;g+h%20i",
    "HTML": "<script>alert(1)</script>",
    "a template": "{{7*7}}${7*7}%s%n",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "lower case": "casing",
    "upper case": "CASING",
    "a space at its end": "casing ",
    "right to left": "\u202eabc\u2066",
    "a byte order mark": "\ufeff",
    "the last character": "\U0010ffff",
    "256 characters": "x" * 256,
    "256 emoji": "\U0001f463" * 256,
    "255 of the same characters": "x" * 255,
    "null": "null",
    "a number": "007",
}


@pytest.mark.parametrize("value", IDS.values(), ids=IDS.keys())
def test_any_id_is_only_text(server: Server, value: str) -> None:
    """Any text as userId, sessionId and id is stored as it is, and finds its own actions and no others."""
    mine = action(id=value)
    check(server, batch(mine, userId=value, sessionId=value), 200, [key(value, value, mine)])
    expected = [{"userId": value, "sessionId": value, "actions": [mine]}]
    for parameters in ({"userId": value}, {"sessionId": value}, {"userId": value, "sessionId": value}):
        assert server.retrieve(**parameters).json() == expected
        assert server.retrieve(**parameters, limit=2).json() == expected


def test_no_id_reaches_a_file_name_or_forges_a_log_line(server: Server) -> None:
    """After ids of every kind the data folder holds footpath's own files only, and the log no forged line."""
    assert (
        server.submit([batch(action(), userId=value, sessionId="names") for value in IDS.values()]).status_code == 200
    )
    names = {file.name for file in server.data.iterdir() if not file.name.startswith("footpath.")}
    assert names <= {"holder.txt", "keeper.lock", "metrics", "parts", "tmp"}
    assert not server.events("forged")


def test_parts_give_back_what_the_journal_gave(server: Server) -> None:
    """All that was stored, odd actions and odd ids among it, reads the same from parts as from the journal."""
    for place, value in enumerate(IDS.values()):
        answer = server.submit(batch(*ACCEPTED.values(), userId=f"again {place}", sessionId=value)).json()
        assert answer["accepted"] == len(ACCEPTED)
        assert server.submit(batch(action(), userId=value, sessionId="again")).json()["accepted"] == 1
    journal = server.retrieve(**EVERYTHING)
    lines = server.retrieve(accept="application/x-ndjson", **EVERYTHING)
    server.stop()
    flushing = Server(server.data, {"FOOTPATH_FLUSH_SECONDS": "0.05"}, [])
    flushing.start()
    try:
        wait_until("everything is in a part", flushing.parts)
        assert flushing.retrieve(**EVERYTHING).json() == journal.json()
        assert flushing.retrieve(accept="application/x-ndjson", **EVERYTHING).text == lines.text
        for value in IDS.values():
            assert {item["userId"] for item in flushing.retrieve(userId=value).json()} == {value}
            assert {item["sessionId"] for item in flushing.retrieve(sessionId=value).json()} == {value}
    finally:
        flushing.stop()
        server.start()
