"""What is sent is accepted, rejected or a duplicate, each action once, as a list in memory says it must be."""

import asyncio
import json
import tempfile
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from footpath import database
from footpath.action import TYPE_BITS
from footpath.decode import read
from footpath.journal import hot
from footpath.journal.sqlite import SqliteJournal
from footpath.keys.grant import OPEN
from footpath.metrics.counts import Counts
from footpath.store.local import LocalStore
from footpath.validate import without
from footpath.web.submit import Submit

TIMES = [
    "2018-10-20T21:37:28-06:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-23T00:00:00+14:00",
]
ids = st.sampled_from(["a", "b", "c", "d", "é", "e\u0301", "\0", "x" * 256, None])
good = st.builds(
    lambda name, time, kind: {"id": name, "time": time, "type": kind},
    ids,
    st.sampled_from(TIMES),
    st.sampled_from(["CLICK", "view"]),
)
bad = st.sampled_from([{"type": "HOVER", "id": "a"}, 7, {"type": "CLICK", "time": TIMES[0], "id": ""}, "\ud800"])
batches = st.builds(
    lambda user, actions: {"userId": user, "sessionId": "s", "actions": actions},
    st.sampled_from(["u", "v", "u\0"]),
    st.lists(good | bad, max_size=6),
)
requests = st.tuples(st.lists(batches, max_size=3), st.sampled_from([None, None, "k", "l"]))
groups = st.lists(st.lists(requests, min_size=1, max_size=4), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(groups)
def test_what_was_sent_is_the_sum(sent: list[list[tuple[list[dict[str, Any]], str | None]]]) -> None:
    """`accepted + len(rejected) + duplicates` is what was sent, and the stored actions are those a set would let in."""
    answers: dict[tuple[int, int], tuple[int, bytes]] = {}
    stored: Counter[tuple[str, str | None]] = Counter()
    kept_rejects = 0
    known: set[tuple[str, str]] = set()
    keys: dict[str, tuple[bytes, bytes]] = {}
    with tempfile.TemporaryDirectory(prefix="footpath-once-") as name:
        folder = Path(name)
        database.prepare(folder)
        asyncio.run(_send(folder, sent, answers))
        for place, group in enumerate(sent):
            for number, (body, key) in enumerate(group):
                status, answer = answers[place, number]
                encoded = json.dumps(body).encode()
                if key in keys:
                    assert (status, answer) == (200, keys[key][1]) or (status == 422 and keys[key][0] != encoded)
                    continue
                found = json.loads(answer)
                if key is not None:
                    keys[key] = encoded, answer
                accepted = duplicates = 0
                for batch in body:
                    for action in batch["actions"]:
                        if not _is_good(action):
                            continue
                        identity = batch["userId"], action["id"]
                        if action["id"] is not None and identity in known:
                            duplicates += 1
                        else:
                            accepted += 1
                            stored[identity] += 1
                            known.add(identity)
                assert (found["accepted"], found["duplicates"]) == (accepted, duplicates)
                received = sum(len(batch["actions"]) for batch in body)
                assert accepted + duplicates + len(found["rejected"]) == received
                kept_rejects += len(found["rejected"])
        with closing(database.connect(folder, readonly=True)) as connection:
            rows = hot.matching(connection)
            assert _identities(rows) == stored
            assert database.one(connection, "SELECT count(*) FROM rejects") == (kept_rejects,)


async def _send(
    folder: Path,
    sent: list[list[tuple[list[dict[str, Any]], str | None]]],
    answers: dict[tuple[int, int], tuple[int, bytes]],
) -> None:
    """Send the requests of each group in one moment, through two journals in turn."""
    journals = [SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9) for _ in range(2)]
    for place, group in enumerate(sent):
        submit = Submit(partial(journals.__getitem__, place % 2), Counts())
        for number, (body, key) in enumerate(group):
            headers = {} if key is None else {b"idempotency-key": key.encode()}

            def take(status: int, _headers: Any, content: bytes, where: tuple[int, int] = (place, number)) -> None:
                answers[where] = status, content

            submit.take(OPEN, headers, json.dumps(body).encode(), take)
        while len(answers) < sum(map(len, sent[: place + 1])):  # noqa: ASYNC110 - an answer is a call, no event
            await asyncio.sleep(0.001)
    for journal in journals:
        await journal.close()


def _is_good(action: Any) -> bool:
    return isinstance(action, dict) and action.get("id") != "" and action["type"] != "HOVER"


def _identities(rows: hot.HotRows) -> Counter[tuple[str, str | None]]:
    return Counter(
        (user, action.get("id"))
        for user, text in zip(rows.user_ids, rows.actions, strict=True)
        for action in json.loads(text)
    )


@given(st.lists(good, min_size=1, max_size=8), st.sets(st.integers(0, 7)))
def test_an_entry_without_some_is_what_the_others_make(actions: list[dict[str, Any]], places: set[int]) -> None:
    """Leaving actions out of an entry gives the entry that the others alone would have given."""
    left = [action for place, action in enumerate(actions) if place not in places]
    if not left:
        return
    (whole,) = read(json.dumps({"userId": "u", "sessionId": "s", "actions": actions}).encode()).entries
    (part,) = read(json.dumps({"userId": "u", "sessionId": "s", "actions": left}).encode()).entries
    assert without(whole, places) == part
    assert part.types == sum({TYPE_BITS[action["type"].upper()] for action in left})
    assert part.time_min <= part.time_max
    assert len(part.ids or ()) in {0, len(left)}


def test_ids_are_forgotten_when_their_time_is_over(tmp_path: Path) -> None:
    """An id is known for `id_hours`, however many there are, and then new again."""
    database.prepare(tmp_path)
    body = [
        {
            "userId": "u",
            "sessionId": "s",
            "actions": [{"time": TIMES[0], "type": "CLICK", "id": f"{n}"} for n in range(25)],
        }
    ]
    answers: dict[tuple[int, int], tuple[int, bytes]] = {}

    def send() -> int:
        answers.clear()
        asyncio.run(_send(tmp_path, [[(body, None)]], answers))
        return int(json.loads(answers[0, 0][1])["duplicates"])

    with closing(LocalStore(tmp_path)) as store:
        assert send() == 0
        store.forget_ids(1.0)
        assert send() == 25
        with closing(database.connect(tmp_path)) as connection:
            connection.execute("UPDATE action_ids SET at = at - 3600000000 WHERE id > (SELECT min(id) FROM action_ids)")
        store.forget_ids(1.0, step=10)
        assert send() == 1
