"""JSON of every kind, as a whole body and as what one action among good ones holds (see `json_cases`)."""

import json
from typing import Any

import duckdb

from tests.hostile.conftest import found
from tests.hostile.json_cases import EITHER, NO, YES
from tests.system.conftest import Server, Start, wait_until

TIME = "2018-10-20T21:37:28Z"
GOOD = b'{"time":"%s","type":"VIEW","properties":{"v":"good"}}' % TIME.encode()


def body(user: str, text: bytes) -> bytes:
    """A batch of three actions, the second with a text as one of its properties."""
    action = b'{"time":"%s","type":"CLICK","properties":{"v":%s}}' % (TIME.encode(), text)
    return b'[{"userId":%s,"sessionId":"s","actions":[%s,%s,%s]}]' % (json.dumps(user).encode(), GOOD, action, GOOD)


def exact(value: Any) -> str:
    """A value so that two are the same only if they are of one type, down to the sign of zero."""
    return repr(value)


def value_of(text: bytes) -> Any:
    """What Python reads; numbers of any length."""
    return json.loads(text, parse_int=lambda digits: digits if len(digits) > 4_000 else int(digits))


def stored(server: Server, user: str) -> list[str]:
    """What the second property of a user's actions was read back as."""
    answer = server.retrieve(userId=user)
    return [exact(action["properties"]["v"]) for batch in value_of(answer.content) for action in batch["actions"]]


def test_there_are_enough() -> None:
    """There are over 250 cases, and each name begins with what is expected."""
    assert len({**YES, **NO, **EITHER}) == len(YES) + len(NO) + len(EITHER) > 250
    for cases, letter in ((YES, "y_"), (NO, "n_"), (EITHER, "i_")):
        assert all(name.startswith(letter) for name in cases)


def test_json_is_taken_and_given_back_exactly(server: Server) -> None:
    """What is JSON is stored and read back as the same value of the same type, between the actions beside it."""
    for name, text in YES.items():
        answer = server.submit(body(name, text))
        assert (answer.status_code, answer.json()["accepted"]) == (200, 3), (name, answer.text)
        assert stored(server, name) == ["'good'", exact(value_of(text)), "'good'"], name


def test_what_is_not_json_is_refused(server: Server) -> None:
    """What is not JSON is 400 not_json, or, where its end can be told, a reject of its action alone."""
    for name, text in NO.items():
        answer = server.submit(body(name, text))
        told = answer.json()
        if answer.status_code == 200:
            assert [(one["action"], one["code"]) for one in told["rejected"]] == [(1, "bad_properties")], name
            assert stored(server, name) == ["'good'", "'good'"], name
        else:
            assert (answer.status_code, told["code"]) == (400, "not_json"), name
            assert found(server, name) == [], name
        if name.startswith("n_utf8"):  # where a string ends is told by its quotes, whatever is between them
            assert answer.status_code == 200, name


def test_what_may_be_either_is_one_of_them(server: Server) -> None:
    """What readers differ about is stored as the value that it is, or refused with a code, alone or with its body."""
    for name, text in EITHER.items():
        answer = server.submit(body(name, text))
        told = answer.json()
        if answer.status_code == 200 and told["accepted"] == 3:
            assert stored(server, name) == ["'good'", exact(value_of(text)), "'good'"], name
        elif answer.status_code == 200:
            assert [one["action"] for one in told["rejected"]] == [1], name
            assert told["rejected"][0]["code"] in {"bad_properties", "too_deep", "action_too_large"}, name
            assert stored(server, name) == ["'good'", "'good'"], name
        else:
            assert (answer.status_code, told["code"]) == (400, "not_json"), name
            assert found(server, name) == [], name


def test_as_a_whole_body(server: Server) -> None:
    """As a whole body each is refused with 400: what is JSON as not_batches, all else so or as not_json."""
    for name, text in {**YES, **NO, **EITHER}.items():
        answer = server.submit(text)
        if name == "y_array_empty":
            assert answer.json()["accepted"] == 0
            continue
        codes = {"not_batches"} if name.startswith("y_") else {"not_batches", "not_json"}  # reading ends at a fault
        assert (answer.status_code, answer.json()["code"] in codes) == (400, True), name


def test_only_the_deep_action_is_refused(server: Server) -> None:
    """Of a thousand actions only the one that is nested 900 deep is refused; nested 100,000 deep, the body is."""
    action = '{"time":"%s","type":"VIEW","properties":{"v":%s}}'
    for depth, accepted in ((900, 999), (100_000, 0)):
        texts = [action % (TIME, "[" * depth + "]" * depth if place == 500 else "1") for place in range(1_000)]
        answer = server.submit(f'{{"userId":"deep {depth}","sessionId":"s","actions":[{",".join(texts)}]}}'.encode())
        assert answer.status_code == (200 if accepted else 400)
        assert len(found(server, f"deep {depth}")) == accepted
        if accepted:
            assert [(one["action"], one["code"]) for one in answer.json()["rejected"]] == [(500, "too_deep")]
        else:
            assert "nested too deeply" in answer.json()["message"]


def test_out_of_parts_they_are_the_same(start: Start) -> None:
    """Once flushed into parts, what is JSON is read back as the same values in every text format."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.1"})
    for name, text in YES.items():
        assert server.submit(body(name, text)).json()["accepted"] == 3
    wait_until("everything is in parts", lambda: flushed(server) == 3 * len(YES))
    for name, text in YES.items():
        assert stored(server, name) == ["'good'", exact(value_of(text)), "'good'"], name
    lines = server.retrieve(accept="application/x-ndjson", logType="click").content.splitlines()
    assert [exact(value_of(line)["properties"]["v"]) for line in lines] == [
        exact(value_of(text)) for text in YES.values()
    ]


def flushed(server: Server) -> int:
    """How many actions are in parts."""
    parts = [str(file) for file in (server.data / "parts").glob("*.parquet")]
    if not parts:
        return 0
    row = duckdb.execute("SELECT count(*) FROM read_parquet($parts)", {"parts": parts}).fetchone()
    assert row is not None
    return int(row[0])
