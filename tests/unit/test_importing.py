"""Files -> records -> chunks: whatever the blocks, the blanks and the form, the same actions in the same chunks."""

import json
import random
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footpath import decode
from footpath.action import MAX_ACTIONS, MAX_BODY
from footpath.importing import chunk, scan
from footpath.importing.chunk import Chunk, Refused, Where, chunks
from footpath.importing.scan import Record, Unbounded, records

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
scalars = st.none() | st.booleans() | st.integers() | text | st.sampled_from(["[", "]", "{", "}", '"', "\\", ",", "\n"])
nested = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2), max_leaves=6
)
objects = st.dictionaries(text, nested, max_size=2)
every_file = settings(deadline=None, max_examples=60)


def cut(content: bytes, seed: int) -> Iterator[bytes]:
    """A file in blocks of any size."""
    rng = random.Random(seed)
    at = 0
    while at < len(content):
        size = rng.choice((1, 2, 7, 100, 5000))
        yield content[at : at + size]
        at += size


@every_file
@given(values=st.lists(objects, max_size=6), indent=st.sampled_from([None, 0, 2]), seed=st.integers(0, 99))
def test_an_array_is_cut_into_its_elements(values: list[Any], indent: int | None, seed: int) -> None:
    """The elements of an array come one by one, whatever its strings hold and however it is cut into blocks."""
    content = json.dumps(values, indent=indent).encode()
    assert [json.loads(record.raw) for record in records(cut(content, seed))] == values


@every_file
@given(values=st.lists(objects, max_size=6), end=st.sampled_from(["\n", "\r\n", "\n\n"]), seed=st.integers(0, 99))
def test_a_line_is_a_record(values: list[Any], end: str, seed: int) -> None:
    """A value a line comes with the number of its line."""
    content = "".join(json.dumps(value) + end for value in values).encode()
    found = list(scan.by_lines(cut(content, seed)))
    step = end.count("\n")
    assert [(record.line, json.loads(record.raw)) for record in found] == [
        (1 + place * step, value) for place, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", []),
        (b" \n \n", []),
        (b"[]", []),
        (b"[\n{},\n{}\n]", [(2, b"{}"), (3, b"{}")]),
        (b"{\n}\n{\n}", [(1, b"{\n}"), (3, b"{\n}")]),
        (b"[{}] \n[{},{}]", [(1, b"[{}]"), (2, b"[{},{}]")]),
        (b"[{}]", [(1, b"{}")]),
        (b"\xef\xbb\xbf[{}]", [(1, b"{}")]),
        (b"[\n{}, 7, {}\n]", [(2, b"{}"), (2, b"7"), (2, b"{}")]),
        (b"[\n{}, {", [(2, b"{}"), (2, b"{"), (2, b"")]),
        (b"[\n{},\n", [(2, b"{}"), (3, b"")]),
        (b"[\n{}\n]]\n{}", [(2, b"{}"), (3, b"]"), (4, b"{}")]),
        (b"{}\nbroken [\n{}", [(1, b"{}"), (2, b"broken ["), (3, b"{}")]),
        (b"broken\n[{}]\n{}", [(1, b"broken"), (2, b"[{}]"), (3, b"{}")]),
    ],
)
def test_records_of(content: bytes, found: list[tuple[int, bytes]]) -> None:
    """Each of these files has just these records, in one block or byte by byte."""
    whole = [content] if content else []
    assert [record[:2] for record in records(iter(whole))] == found
    first, rest = content[:40], content[40:]  # how a file begins is looked at in its first block
    assert [record[:2] for record in records(bytewise(first, rest))] == found


def bytewise(first: bytes, rest: bytes) -> Iterator[bytes]:
    """A block and then single bytes."""
    if first:
        yield first
    for place in range(len(rest)):
        yield rest[place : place + 1]


def test_a_value_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long is refused alone; in an array it ends the reading."""
    monkeypatch.setattr(scan, "MAX_RECORD", 50)
    found = list(scan.by_lines(cut(b"{}\n" + b"x" * 20_000 + b"\n{}\n", 1)))
    assert [(record.line, record.too_large) for record in found] == [(1, False), (2, True), (3, False)]
    with pytest.raises(Unbounded, match="line 2"):
        list(scan.by_brackets(cut(b'[\n"' + b"x" * 20_000, 1)))


def row(user: str, number: int) -> Record:
    """A row of an export."""
    about = {
        "userId": user,
        "sessionId": "s",
        "time": "2020-01-01T00:00:00Z",
        "type": "VIEW",
        "properties": {"n": number},
    }
    return Record(number + 1, json.dumps(about).encode())


def test_rows_of_a_session_become_a_batch() -> None:
    """Rows of several sessions in turns become one batch a session, their order kept, and are all accepted."""
    (found,) = chunks(row(f"u{number % 3}", number) for number in range(30))
    assert isinstance(found, Chunk)
    sent = json.loads(found.body)
    assert [batch["userId"] for batch in sent] == ["u0", "u1", "u2"]
    assert [action["properties"]["n"] for action in sent[1]["actions"]] == list(range(1, 30, 3))
    assert [origin[:2] for origin in found.batches[1]] == [(number + 1, None) for number in range(1, 30, 3)]
    assert decode.read(found.body).accepted == found.actions == 30


def test_chunks_keep_the_limits_of_a_request() -> None:
    """However long a batch and however large its actions, no chunk is more than a request may hold."""
    action = {"time": "2020-01-01T00:00:00Z", "type": "VIEW", "properties": {"x": "y" * 2000}}
    small = action | {"properties": {}}
    batch = {"userId": "é" * 256, "sessionId": "s", "actions": [action] * 8_000 + [small] * 12_000}
    found = [one for one in chunks([Record(1, json.dumps(batch).encode())]) if isinstance(one, Chunk)]
    assert sum(one.actions for one in found) == 20_000
    assert max(len(one.body) for one in found) < MAX_BODY
    assert max(one.actions for one in found) <= MAX_ACTIONS
    assert [origin[1] for one in found for origin in one.batches[0]] == list(range(20_000))


def test_keys_follow_the_content() -> None:
    """The same actions have the same keys; after a change no key is as before; no key comes twice."""
    rows = [row("u", number % 7) for number in range(20_000)]
    before = [one.key for one in chunks(rows) if isinstance(one, Chunk)]
    again = [one.key for one in chunks(Record(9, one.raw) for one in rows) if isinstance(one, Chunk)]
    changed = [one.key for one in chunks([*rows[:6_000], row("v", 1), *rows[6_001:]]) if isinstance(one, Chunk)]
    assert len(before) == len(set(before)) == 4
    assert again == before
    assert [one == other for one, other in zip(before, changed, strict=True)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not_json"),
        (b"nonsense", "not_json"),
        (b'{"userId": "\xff", "sessionId": "s"}', "not_json"),
        (b"7", "not_batches"),
        (b"{}", "not_batches"),
        (b'{"userId": "", "sessionId": "s"}', "not_batches"),
        (b'{"userId": "u", "sessionId": "s", "actions": null}', "not_batches"),
        (b'{"userId": "u", "sessionId": "s", "x": "' + b"x" * (1 << 20) + b'"}', "action_too_large"),
        (b'{"userId": "u", "sessionId": "s", "actions": [' + b"[" * 300 + b"]" * 300 + b"]}", "too_deep"),
    ],
)
def test_what_no_request_can_hold_is_refused(raw: bytes, code: str) -> None:
    """A record that is not JSON, no batch, too large or too deep is refused, with its line and its text."""
    (found,) = chunks([Record(7, raw)])
    assert isinstance(found, Refused)
    assert (found.where.line, found.code) == (7, code)
    assert found.raw in raw


def test_brackets_in_strings_are_no_nesting() -> None:
    """An action with many brackets in its strings is not taken for a deep one."""
    text = json.dumps({"userId": "u", "sessionId": "s", "x": "[{" * 500 + '\\"'})
    (found,) = chunks([Record(1, text.encode())])
    assert isinstance(found, Chunk)


def test_a_bad_element_spoils_only_itself() -> None:
    """In an array on a line, what is no batch is refused and the others are taken."""
    line = b'[{"userId": "u", "sessionId": "s", "actions": [{}]}, {"userId": 7}, {"userId": "u", "sessionId": "s"}]'
    found = list(chunks([Record(3, line)]))
    assert [one.where for one in found if isinstance(one, Refused)] == [Where(3)]
    assert [one.actions for one in found if isinstance(one, Chunk)] == [2]


def test_the_limits_fit() -> None:
    """A chunk of the most bytes is a request of fewer than the most, with every id at its longest."""
    assert chunk.CHUNK_BYTES + chunk.MAX_RAW < MAX_BODY
    assert chunk.CHUNK_ACTIONS <= MAX_ACTIONS


def test_a_large_array_is_not_held() -> None:
    """Of an array of 10 MB on one line, less than 6 MB are in memory at any time."""
    some = b",".join(row(f"u{number % 9}", number).raw for number in range(2_000)) + b","
    blocks = chain([b"["], repeat(some, 10_000_000 // len(some)), [b"{}]"])
    tracemalloc.start()
    try:
        found = sum(one.actions for one in chunks(records(blocks)) if isinstance(one, Chunk))
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
    assert found == 2_000 * (10_000_000 // len(some))
