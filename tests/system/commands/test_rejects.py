"""What is refused is kept as it was sent: over HTTP, and by `footpath rejects`."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.system.commands.conftest import Run
from tests.system.conftest import Server, Start

TIME = "2018-10-20T21:37:28-06:00"
GOOD = json.dumps({"time": TIME, "type": "CLICK"})
BAD = {
    "unknown_type": json.dumps({"time": TIME, "type": "HOVER"}),
    "bad_time": json.dumps({"type": "VIEW", "time": "noon"}, indent=2),
    "bad_property": json.dumps(
        {"time": TIME, "type": "VIEW", "properties": {"viewedId": "é\U0001f463", "\0": 1}}
    ).replace('"viewedId":', '"viewedId": 7, "text":'),
    "not_an_action": '"\u00e9\U0001f463"',
    "bad_properties": json.dumps({"time": TIME, "type": "VIEW", "properties": {"cut": "\ud83d"}}),
}
"""Refused actions by their codes: blanks and line ends, escapes, UTF-8, and half a surrogate pair among them."""


def body(*actions: str, user: str = "u") -> bytes:
    """A request of one batch with these actions as they are."""
    return f'{{"userId": "{user}", "sessionId": "s", "actions": [{", ".join(actions)}]}}'.encode()


def kept(server: Server, **parameters: Any) -> list[dict[str, Any]]:
    """All rejects, page by page."""
    found: list[dict[str, Any]] = []
    answer = server.client.get("/api/rejects", params=parameters)
    while answer.json():
        found += answer.json()
        answer = server.client.get(answer.links["next"]["url"])
    assert answer.status_code == 200
    return found


def test_what_is_refused_is_kept_as_it_was_sent(server: Server) -> None:
    """Each refused action is kept with its user, session, code and message, and the text that was sent, in order."""
    answer = server.submit(body(GOOD, *BAD.values(), GOOD, user="kept")).json()
    assert (answer["accepted"], answer["duplicates"], len(answer["rejected"])) == (2, 0, len(BAD))
    found = kept(server, userId="kept")
    assert [reject["raw"] for reject in found] == list(BAD.values())
    assert [(reject["code"], reject["message"]) for reject in found] == [
        (reject["code"], reject["message"]) for reject in answer["rejected"]
    ]
    assert [reject["code"] for reject in found] == list(BAD)
    for reject, raw in zip(found, BAD.values(), strict=True):
        assert (reject["userId"], reject["sessionId"], reject["isCut"]) == ("kept", "s", False)
        assert reject["length"] == len(raw.encode())
    assert kept(server, userId="kept", code="bad_time", limit=1) == [found[1]]
    assert kept(server, userId="kept", limit=3) == found
    assert kept(server, userId="kept", after=found[1]["id"]) == found[2:]
    assert kept(server, userId="nobody") == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=-1", "code=x", "who=u", "userId=", "after="]
)
def test_a_wrong_parameter_is_refused(server: Server, query: str) -> None:
    """A parameter that is not known, or whose value cannot be, is 400 bad_query."""
    answer = server.client.get(f"/api/rejects?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_query")


def test_a_long_action_is_kept_cut(server: Server) -> None:
    """Of an action that is too large its first 64 KiB are kept, its length is told, and it is said to be cut."""
    raw = json.dumps({"time": TIME, "type": "CLICK", "properties": {"text": "x" * 100_000}})
    assert [reject["code"] for reject in server.submit(body(raw, user="long")).json()["rejected"]] == [
        "action_too_large"
    ]
    (reject,) = kept(server, userId="long")
    assert (reject["raw"], reject["length"], reject["isCut"]) == (raw[: 1 << 16], len(raw), True)


def test_a_key_keeps_rejects_once_and_a_refused_request_none(server: Server) -> None:
    """A request that comes again with its key keeps its rejects once; one that is refused whole keeps nothing."""
    for _ in range(3):
        assert server.submit(body(BAD["bad_time"], user="once"), {"idempotency-key": "rejects"}).status_code == 200
    assert server.submit(body(BAD["bad_time"], user="once") + b"]").status_code == 400
    assert len(kept(server, userId="once")) == 1


def test_rejects_are_durable_with_the_answer(start: Start) -> None:
    """After kill -9 right behind the answer, a request's rejects are there, also if it had no good action."""
    server = start()
    server.submit(body(*BAD.values()))
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(40)
    server.restart()
    assert [reject["raw"] for reject in kept(server)] == list(BAD.values())


def test_the_oldest_go_when_there_is_no_more_room(start: Start) -> None:
    """With reject_bytes of 20,000 the newest are kept and no more, whatever came."""
    server = start(environment={"FOOTPATH_REJECT_BYTES": "20000"})
    sent = [f'{{"number": {place:04}0}}'.replace(": 0", ": 1") for place in range(1_000)]
    for place in range(0, 1_000, 100):
        assert len(server.submit(body(*sent[place : place + 100])).json()["rejected"]) == 100
    found = [reject["raw"] for reject in kept(server)]
    assert 50 <= len(found) <= 100
    assert found == sent[-len(found) :]


def test_the_commands_show_and_drop(server: Server, run: Run) -> None:
    """While it runs, `list` shows the newest first, `show` writes the bytes as they came, `drop` removes the chosen."""
    server.submit(body(*BAD.values(), user="shown"))
    at = ("--data", server.data)
    rows = run("rejects", "list", "--user", "shown", *at).rows()
    assert rows == kept(server, userId="shown")[::-1]
    assert len(run("rejects", "list", "--limit", 2, *at).rows()) == 2
    assert "HOVER" in run("rejects", "list", "--code", "unknown_type", *at, terminal=200).out
    shown = run("rejects", "show", rows[0]["id"], *at)
    assert shown.out == BAD["bad_properties"]
    assert "user shown session s: bad_properties" in shown.err
    assert "there is no reject" in run("rejects", "show", 999_999_999, *at, code=1).err
    assert run("rejects", "drop", rows[0]["id"], *at).out == "1 dropped\n"
    assert run("rejects", "drop", "--user", "shown", "--code", "bad_time", *at).out == "1 dropped\n"
    assert [reject["code"] for reject in kept(server, userId="shown")] == [
        "unknown_type",
        "bad_property",
        "not_an_action",
    ]
    assert "say which" in run("rejects", "drop", *at, code=1).err
    assert "say which" in run("rejects", "replay", 1, "--all", *at, code=1).err


def mend(data: Path, old: str, new: str) -> int:
    """Change what is kept of rejects so that it passes, as a newer footpath's checks would let it; how many."""
    import sqlite3

    with sqlite3.connect(data / "footpath.db") as connection:
        changed = connection.execute(
            "UPDATE rejects SET raw = CAST(replace(CAST(raw AS TEXT), ?, ?) AS BLOB) WHERE instr(raw, ?)",
            (old, new, old.encode()),
        ).rowcount
    connection.close()
    return changed


@pytest.mark.parametrize("over_http", [True, False], ids=["over HTTP", "into the folder"])
def test_replay_stores_what_passes_now(start: Start, run: Run, *, over_http: bool) -> None:
    """What passes now is stored once and removed; what fails stays with the reason of now; a duplicate is removed."""
    server = start()
    identified = json.dumps({"time": TIME, "type": "HOVER", "id": "a"})
    server.submit(body(*BAD.values(), identified, identified))
    assert mend(server.data, "HOVER", "click") == 3
    assert mend(server.data, "noon", f"{TIME} later") == 1
    if not over_http:
        server.stop()
    target = ("--url", server.url) if over_http else ()
    done = run("rejects", "replay", "--all", "--data", server.data, *target)
    assert done.out == "2 accepted, 1 duplicates, 4 rejected as before\n"
    again = run("rejects", "replay", "--all", "--data", server.data, *target)
    assert again.out == "0 accepted, 0 duplicates, 4 rejected as before\n"
    if not over_http:
        server.start()
    (found,) = server.retrieve(userId="u").json()
    assert [(action["type"], action.get("id")) for action in found["actions"]] == [("CLICK", None), ("CLICK", "a")]
    left = kept(server)
    assert [reject["code"] for reject in left] == ["bad_time", "bad_property", "not_an_action", "bad_properties"]
    assert "later" in left[0]["message"]


def test_a_folder_that_is_served_is_replayed_through_its_server(server: Server, run: Run) -> None:
    """Replaying into the folder of a running server is refused with the way that works."""
    done = run("rejects", "replay", "--all", "--data", server.data, code=1)
    assert "replay through it with --url" in done.err


def test_what_was_cut_is_not_replayed(start: Start, run: Run) -> None:
    """A reject of which only the beginning was kept stays as it is."""
    server = start()
    server.submit(body(json.dumps({"text": "x" * 70_000})))
    before = kept(server)
    done = run("rejects", "replay", before[0]["id"], "--data", server.data, "--url", server.url)
    assert (done.out, "1 were kept cut" in done.err) == ("0 accepted, 0 duplicates, 1 rejected as before\n", True)
    assert kept(server) == before
