"""Bodies become checked actions: the quick way and the careful way agree, and every limit is where it is written."""

import gzip
import json
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footpath import decode
from footpath.action import (
    MAX_ACTION_BYTES,
    MAX_ACTIONS,
    MAX_BODY,
    MAX_DEPTH,
    MAX_ID_LENGTH,
    MAX_INFLATED,
    TYPE_BITS,
    Checked,
    Entry,
    micros,
)
from footpath.errors import NotBatches, NotJson, TooLarge, UnknownEncoding

TIME = "2018-10-20T21:37:28-06:00"
BAD = {"time": TIME, "type": "SCROLL"}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ids = st.text(min_size=1, max_size=8) | st.sampled_from(["a" * MAX_ID_LENGTH, "\x00", "é", "e\u0301"])
times = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-6)), timezone(timedelta(minutes=345))]),
).map(datetime.isoformat)
names = st.sampled_from(["locationX", "viewedId", "pageTo", "extra", ""])


@st.composite
def actions(draw: st.DrawFn) -> dict[str, Any]:
    """An action as a client may send it: some are good, some have a fault."""
    action: dict[str, Any] = {
        "time": draw(times | st.sampled_from(["", "now", "2018-10-20", "2018-10-20T21:37:28", None, 0])),
        "type": draw(st.sampled_from(["CLICK", "click", "cLiCk", "View", "NAVIGATE", "SCROLL", None])),
        "properties": draw(st.dictionaries(names, json_values, max_size=3) | json_values),
        "id": draw(ids | st.sampled_from([None, "", 5, "x" * (MAX_ID_LENGTH + 1)])),
        "unknown": draw(json_values),
    }
    return {name: action[name] for name in draw(st.permutations(list(action)))[draw(st.integers(0, 2)) :]}


batches = st.lists(
    st.fixed_dictionaries({"userId": ids, "sessionId": ids, "actions": st.lists(actions(), max_size=3)}), max_size=3
)


def body_of(*given_actions: object) -> bytes:
    """One batch of these actions."""
    return json.dumps([{"userId": "u", "sessionId": "s", "actions": given_actions}]).encode()


def written(entries: list[Entry]) -> list[Any]:
    """What entries say, with their actions as JSON text of one action each."""
    return [(entry.user_id, entry.session_id, json.loads(entry.actions)) for entry in entries]


def codes(checked: Checked) -> list[str]:
    """The codes of the rejects."""
    return [reject.code for reject in checked.rejects]


@given(batches)
def test_a_bad_action_takes_nothing_else_with_it(given_batches: list[dict[str, Any]]) -> None:
    """The entries of a request are those of its actions sent one by one, and the rejects name the other actions."""
    whole = decode.read(json.dumps(given_batches).encode())
    assert whole.received == sum(len(batch["actions"]) for batch in given_batches)
    assert whole.accepted + len(whole.rejects) == whole.received
    refused = {(reject.batch, reject.action): reject.code for reject in whole.rejects}
    expected = []
    for place, batch in enumerate(given_batches):
        kept = []
        for index, action in enumerate(batch["actions"]):
            alone = decode.read(json.dumps({**batch, "actions": [action]}).encode())
            assert codes(alone) == ([refused[place, index]] if (place, index) in refused else [])
            kept += [one for entry in alone.entries for one in json.loads(entry.actions)]
        if kept:
            expected.append((batch["userId"], batch["sessionId"], kept))
    assert written(whole.entries) == expected


@given(batches)
def test_quick_and_careful_way_write_the_same(given_batches: list[dict[str, Any]]) -> None:
    """Good actions give the same entries, byte for byte, with and without a bad batch behind them."""
    checked = decode.read(json.dumps(given_batches).encode())
    refused = {(reject.batch, reject.action) for reject in checked.rejects}
    good = [
        {**batch, "actions": [a for index, a in enumerate(batch["actions"]) if (place, index) not in refused]}
        for place, batch in enumerate(given_batches)
    ]
    quick = decode.read(json.dumps(good).encode())
    careful = decode.read(json.dumps([*good, {"userId": "u", "sessionId": "s", "actions": [BAD]}]).encode())
    assert quick.rejects == []
    assert codes(careful) == ["unknown_type"]
    assert quick.entries == careful.entries


@given(batches)
def test_entries_say_what_their_actions_are(given_batches: list[dict[str, Any]]) -> None:
    """An entry's number, times and types are those of the actions in it."""
    for entry in decode.read(json.dumps(given_batches).encode()).entries:
        kept = json.loads(entry.actions)
        moments = [micros(datetime.fromisoformat(action["time"])) for action in kept]
        assert entry.number == len(kept) > 0
        assert (entry.time_min, entry.time_max) == (min(moments), max(moments))
        assert entry.types == sum({TYPE_BITS[action["type"]] for action in kept})


VALUES = (
    "1", "-0", "1.0", "-0.0", "1e5", "1E400", "-1e400", "1e-400", "4.9e-324", "0e999999", "9007199254740993.0",
    "18446744073709551616", "-9223372036854775809", "9" * 400, "9" * 5_000, "-" + "9" * 5_000,
    "123456789012345678901.5", "true", "false", "null", "NaN", "Infinity", "01", "1.", "+1",
    '"2018-10-20T21:37:28Z"', '"\\u0000"', '"\\ud83d"', '"1"',
)  # fmt: skip


@pytest.mark.parametrize("text", VALUES, ids=[text[:24] for text in VALUES])
def test_a_value_is_the_same_beside_a_nested_one(text: str) -> None:
    """A value is kept or refused the same in an action without and with something nested, which are decoded apart."""
    action = '{"time": "%s", "type": "CLICK", "properties": {"p": %s}}'
    flat = _outcome((action % (TIME, text)).encode())
    nested = _outcome((action % (TIME, text + ', "q": [{}]')).encode())
    assert nested == flat


def _outcome(action: bytes) -> object:
    """The stored actions without the property q, the codes of rejects, or the error."""
    try:
        checked = decode.read(b'{"userId": "u", "sessionId": "s", "actions": [%s]}' % action)
    except NotJson as error:
        return str(error).partition(" (byte")[0]
    return [entry.actions.replace(b',"q":[{}]', b"") for entry in checked.entries], codes(checked)


@given(json_values)
def test_properties_keep_their_value(value: object) -> None:
    """A property comes out of the check as the same JSON value, integers of any size and -0.0 included."""
    (entry,) = decode.read(body_of({"time": TIME, "type": "CLICK", "properties": {"p": value}})).entries
    assert repr(json.loads(entry.actions)[0]["properties"]["p"]) == repr(value)


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("CLICK", "not_an_action"),
        ([], "not_an_action"),
        (None, "not_an_action"),
        ({}, "unknown_type"),
        ({"time": TIME, "type": 5}, "unknown_type"),
        ({"time": TIME, "type": "cl\u0131ck"}, "unknown_type"),
        ({"type": "CLICK"}, "bad_time"),
        ({"type": "CLICK", "time": None}, "bad_time"),
        ({"type": "CLICK", "time": 1540092000}, "bad_time"),
        ({"type": "CLICK", "time": "2018-10-20T21:37:28"}, "bad_time"),
        ({"type": "CLICK", "time": "2018-02-30T21:37:28Z"}, "bad_time"),
        ({"type": "CLICK", "time": "0001-01-01T00:00:00+00:01"}, "bad_time"),
        ({"type": "CLICK", "time": "9999-12-31T23:59:59.999999-00:01"}, "bad_time"),
        ({"type": "CLICK", "time": TIME, "properties": None}, "bad_properties"),
        ({"type": "CLICK", "time": TIME, "properties": []}, "bad_properties"),
        ({"type": "CLICK", "time": TIME, "properties": {"locationX": "1"}}, "bad_property"),
        ({"type": "CLICK", "time": TIME, "properties": {"locationY": True}}, "bad_property"),
        ({"type": "VIEW", "time": TIME, "properties": {"viewedId": 1}}, "bad_property"),
        ({"type": "NAVIGATE", "time": TIME, "properties": {"pageTo": ["a"]}}, "bad_property"),
        ({"type": "CLICK", "time": TIME, "id": ""}, "bad_id"),
        ({"type": "CLICK", "time": TIME, "id": 7}, "bad_id"),
        ({"type": "CLICK", "time": TIME, "id": "x" * (MAX_ID_LENGTH + 1)}, "bad_id"),
    ],
)
def test_each_fault_has_its_code(action: object, code: str) -> None:
    """A fault gets its own code, and the good action beside it is kept."""
    checked = decode.read(body_of({"time": TIME, "type": "VIEW"}, action))
    assert [(reject.batch, reject.action, reject.code) for reject in checked.rejects] == [(0, 1, code)]
    assert checked.accepted == 1


@pytest.mark.parametrize(
    "text", ["1e400", "-1e400", "9" * 5_000, '"\\ud800"', '"\\udc00\\ud800"', '"half \\ud83d"', '{"\\udfff": 1}']
)
def test_values_that_cannot_be_kept_refuse_their_action_alone(text: str) -> None:
    """A number beyond double or 4,300 digits and half an emoji are bad_properties of one action, not of the request."""
    good = {"time": TIME, "type": "VIEW"}
    raw = body_of({"time": TIME, "type": "CLICK", "properties": {"p": "HERE"}}, good).replace(b'"HERE"', text.encode())
    checked = decode.read(raw)
    assert codes(checked) == ["bad_properties"]
    assert checked.accepted == 1


def test_pairs_of_surrogates_and_escaped_backslashes_stay() -> None:
    """Beside a lone surrogate, an escaped emoji and an escaped backslash before `ud800` are kept as they came."""
    kept = '"\\ud83d\\ude00 \\\\ud800 \\\\\\\\ud800 \\u0041"'
    raw = body_of(
        {"time": TIME, "type": "CLICK", "properties": {"p": "KEPT"}},
        {"time": TIME, "type": "CLICK", "properties": {"p": "\\ud800"}},
    )
    raw = raw.replace(b'"KEPT"', kept.encode()).replace(b'"\\\\ud800"', b'"\\ud800"')
    checked = decode.read(raw)
    assert [(reject.action, reject.code) for reject in checked.rejects] == [(1, "bad_properties")]
    assert json.loads(checked.entries[0].actions)[0]["properties"]["p"] == json.loads(kept)


def test_bytes_that_are_not_utf8_refuse_their_action_alone() -> None:
    """Invalid UTF-8 in an action's properties is bad_properties; in userId the request cannot be read."""
    raw = body_of({"time": TIME, "type": "CLICK", "properties": {"p": "HERE"}}, {"time": TIME, "type": "VIEW"})
    checked = decode.read(raw.replace(b"HERE", b"\xff"))
    assert (codes(checked), checked.accepted) == (["bad_properties"], 1)
    with pytest.raises(NotJson):
        decode.read(raw.replace(b'"u"', b'"\xff"'))


@pytest.mark.parametrize("opening", ['{"a":', "["])
@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("beside", [False, True])
def test_depth_limit_is_exact(opening: str, more: int, beside: bool) -> None:
    """An action nested MAX_DEPTH deep is kept and one deeper is too_deep, whichever way it is read."""
    levels = MAX_DEPTH - 2 + more  # the action and its properties are two
    nested = opening * levels + "1" + ("}" if opening[0] == "{" else "]") * levels
    raw = body_of({"time": TIME, "type": "CLICK", "properties": {"p": "HERE"}}, *([BAD] if beside else []))
    checked = decode.read(raw.replace(b'"HERE"', nested.encode()))
    assert checked.accepted == 1 - more
    assert codes(checked) == ["too_deep"] * more + ["unknown_type"] * beside


def test_brackets_in_text_are_not_depth() -> None:
    """A property full of brackets is kept, as they nest nothing."""
    assert decode.read(body_of({"time": TIME, "type": "CLICK", "properties": {"p": "[{" * 500}})).accepted == 1


@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_deep_nesting_is_refused_and_never_a_crash(opening: str, depth: int) -> None:
    """JSON nested thousands deep is an action refused or a NotJson, with and without its ends."""
    ends = ("}" if opening[0] == "{" else "]") * depth
    for end in (ends, ""):
        raw = body_of({"time": TIME, "type": "CLICK", "properties": "HERE"})
        try:
            checked = decode.read(raw.replace(b'"HERE"', (opening * depth + "1" + end).encode()))
        except NotJson:
            continue
        assert checked.accepted == 0
    with pytest.raises((NotJson, NotBatches)):
        decode.read((opening * depth).encode())


@pytest.mark.parametrize("beside", [False, True])
def test_action_size_limit_is_exact(beside: bool) -> None:
    """An action of MAX_ACTION_BYTES as JSON is kept and one of a byte more is action_too_large."""
    action = {"time": TIME, "type": "CLICK", "properties": {"p": ""}}
    room = MAX_ACTION_BYTES - len(json.dumps(action, separators=(",", ":")))
    for more in (0, 1):
        action["properties"] = {"p": "x" * (room + more)}
        checked = decode.read(body_of(action, {"time": TIME, "type": "VIEW"}, *([BAD] if beside else [])))
        assert checked.accepted == 2 - more
        assert codes(checked)[:more] == ["action_too_large"] * more


@pytest.mark.parametrize("action", [{"time": TIME, "type": "VIEW"}, BAD])
def test_number_of_actions_limit_is_exact(action: dict[str, str]) -> None:
    """MAX_ACTIONS actions in a request are looked at, one more is TooLarge, over all batches together."""
    half = {"userId": "u", "sessionId": "s", "actions": [action] * (MAX_ACTIONS // 2)}
    assert decode.read(json.dumps([half, half]).encode()).received == MAX_ACTIONS
    with pytest.raises(TooLarge, match=str(MAX_ACTIONS)):
        decode.read(json.dumps([half, half, {**half, "actions": [action]}]).encode())


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"[", b"nul", b"NaN", b"'a'", b"[,]", b"\xef\xbb\xbf[]", b"[]x", "[]".encode("utf-16")],
)
def test_not_json(body: bytes) -> None:
    """Bytes that are not JSON in UTF-8 are NotJson."""
    with pytest.raises(NotJson):
        decode.read(body)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        [5],
        {},
        [[]],
        {"userId": "u", "sessionId": "s"},
        {"userId": "u", "sessionId": "s", "actions": {}},
        {"userId": "", "sessionId": "s", "actions": []},
        {"userId": "u", "sessionId": "x" * (MAX_ID_LENGTH + 1), "actions": []},
        {"userId": 5, "sessionId": "s", "actions": []},
        {"userId": None, "sessionId": "s", "actions": []},
    ],
)
def test_not_batches(value: object) -> None:
    """JSON that is neither a batch nor an array of them is NotBatches, alone and behind a good batch."""
    with pytest.raises(NotBatches):
        decode.read(json.dumps(value).encode())
    with pytest.raises(NotBatches):
        decode.read(json.dumps([{"userId": "u", "sessionId": "s", "actions": []}, value]).encode())


def test_empty_requests_are_fine() -> None:
    """No batches, and a batch without actions, are taken and give no entries."""
    for body, sizes in (
        (b"[]", []),
        (b'{"userId":"u","sessionId":"s","actions":[]}', [0]),
        (b'[{"userId":"u","sessionId":"s","actions":[]}]', [0]),
    ):
        assert decode.read(body) == Checked(0, [], [], sizes=sizes)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(body: bytes) -> None:
    """Whatever bytes come, the answer is a Checked, NotJson or NotBatches."""
    try:
        checked = decode.read(body)
    except (NotJson, NotBatches):
        return
    assert checked.accepted == sum(entry.number for entry in checked.entries)


@pytest.mark.parametrize(("encoding", "known"), [("gzip", True), ("X-GZIP ", True), ("identity", True), ("br", False)])
def test_content_encoding(encoding: str, known: bool) -> None:
    """Content encodings other than gzip and identity are UnknownEncoding, and the body's own bytes decide on gzip."""
    for body in (b"[]", gzip.compress(b"[]")):
        if known:
            assert decode.read(body, encoding).received == 0
        else:
            with pytest.raises(UnknownEncoding, match=encoding):
                decode.read(body, encoding)


@given(st.lists(st.binary(max_size=5_000), min_size=1, max_size=4), st.integers(0, 9))
def test_gzip_members_are_one_body(pieces: list[bytes], level: int) -> None:
    """Several gzip members, empty ones too, inflate to their contents one after the other."""
    assert decode.inflate(b"".join(gzip.compress(piece, level) for piece in pieces)) == b"".join(pieces)


@given(st.binary(min_size=1, max_size=3_000), st.data())
def test_gzip_cut_or_followed_by_something_is_not_json(content: bytes, data: st.DataObject) -> None:
    """A gzip body cut at any byte, or with bytes behind it, is NotJson."""
    packed = gzip.compress(content)
    with pytest.raises(NotJson):
        decode.inflate(packed[: data.draw(st.integers(2, len(packed) - 1))])
    with pytest.raises(NotJson):
        decode.inflate(packed + data.draw(st.binary(min_size=1, max_size=20)))


@given(st.binary(min_size=20, max_size=3_000), st.data())
def test_gzip_with_a_wrong_checksum_is_not_json(content: bytes, data: st.DataObject) -> None:
    """A changed byte in the checksum or length at the end of a gzip member is NotJson."""
    packed = bytearray(gzip.compress(content))
    packed[-data.draw(st.integers(1, 8))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NotJson):
        decode.inflate(bytes(packed))


def test_inflate_limit_is_exact_over_members() -> None:
    """Output of the limit passes and a byte more is TooLarge, also when many members share it."""
    member = gzip.compress(b"a" * 1_000)
    assert len(decode.inflate(member * 5, limit=5_000)) == 5_000
    with pytest.raises(TooLarge):
        decode.inflate(member * 5, limit=4_999)


def test_a_bomb_is_refused_before_it_is_held() -> None:
    """A body that would inflate to a gigabyte is TooLarge after little more than the limit was inflated."""
    bomb = gzip.compress(bytes(1 << 20)) * 1024
    assert len(bomb) < MAX_BODY
    with pytest.raises(TooLarge):
        decode.read(bomb)


def test_nested_gzip_is_not_opened_twice() -> None:
    """Gzip inside gzip is not JSON."""
    with pytest.raises(NotJson):
        decode.read(gzip.compress(gzip.compress(b"[]")))


def test_random_bytes_behind_the_gzip_magic_are_not_json() -> None:
    """What only starts like gzip is NotJson."""
    noise = random.Random(5)
    for size in range(60):
        with pytest.raises(NotJson):
            decode.read(b"\x1f\x8b" + noise.randbytes(size))


def test_limits_leave_room_for_each_other() -> None:
    """A body of the largest allowed size can hold the largest action, and inflating can hold the largest body."""
    assert MAX_ACTION_BYTES < MAX_BODY < MAX_INFLATED
