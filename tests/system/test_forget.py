"""DELETE /api/users/{userId} and `footpath forget`: when they answer, no file of the folder holds the user's bytes."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import duckdb
import httpx
import pytest
import zstandard

from tests.proof import publish, times

from .conftest import Server, Start, wait_until

BUSY = {"FOOTPATH_FLUSH_SECONDS": "0.1", "FOOTPATH_PART_ACTIONS": "2000", "FOOTPATH_FLUSH_ACTIONS": "3000"}
BUSY |= {"FOOTPATH_READ_SECONDS": "20"}  # replaced parts go a minute after that; parts so small are many a second


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that flushes and merges all the time."""
    return start(environment=BUSY)


def batch(user: str, number: int = 1, *, time: str = "2026-01-01T00:00:00Z", size: int = 0) -> dict[str, Any]:
    """Actions of a user, each of which names them in its properties."""
    action = {"time": time, "type": "VIEW", "properties": {"viewedId": f"page of {user}" + "x" * size}}
    return {"userId": user, "sessionId": f"of {user}"[:256], "actions": [action] * number}


def command(data: Path, *arguments: str) -> dict[str, Any]:
    """The receipt that `footpath forget` prints."""
    line = [sys.executable, "-m", "footpath", "forget", *arguments, "--data", str(data)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def orders(data: Path) -> int:
    """How many orders to forget there have been."""
    connection = apsw.Connection(str(data / "footpath.db"), flags=apsw.SQLITE_OPEN_READONLY)
    ((number,),) = connection.execute("SELECT count(*) FROM forgetting")
    connection.close()
    return int(number)


def wait_for_flush(server: Server) -> None:
    """Return when there is a part that was not there."""
    seen = server.parts()
    wait_until("it was flushed", lambda: server.parts() - seen)


def holding(data: Path, text: str) -> list[str]:
    """Where a text stands: in a file as it is, in a part unpacked, in a packed blob of the journal.

    Files that the server removes meanwhile count as they were.
    """
    found = []
    with tempfile.TemporaryDirectory(dir=data.parent) as name:
        copies: dict[Path, list[str]] = {}  # by their folder: all files of one have the same columns
        for file in sorted(data.rglob("*")):
            copy = Path(name) / file.name
            try:
                if file.suffix == ".parquet":
                    os.link(file, copy)
                else:
                    copy = file
                content = copy.read_bytes() if copy.is_file() else b""
            except FileNotFoundError:
                continue
            if text.encode() in content:
                found.append(file.name)
            if file.suffix == ".parquet":
                copies.setdefault(file.parent, []).append(str(copy))
        for files in copies.values():
            query = "SELECT DISTINCT filename FROM read_parquet($files, filename = true) AS t"
            query += " WHERE contains(CAST(t AS VARCHAR), $text)"
            rows = duckdb.execute(query, {"files": files, "text": text}).fetchall()
            found += [f"{Path(copy).name} unpacked" for (copy,) in rows]
    connection = apsw.Connection(str(data / "footpath.db"), flags=apsw.SQLITE_OPEN_READONLY)
    unpack = zstandard.ZstdDecompressor().decompress
    for user, blob in connection.execute("SELECT user_id, actions FROM journal"):
        if text in user or text.encode() in (blob if blob[:1] == b"[" else unpack(blob)):
            found.append("journal")
    connection.close()
    return found


def test_nothing_of_a_user_is_left_under_load(server: Server) -> None:
    """Under load, with flushes and merges going on, users are forgotten one by one: 0 hits in the raw files."""
    users = [f"VICTIM-{number}-{os.urandom(6).hex()}" for number in range(times("FORGETS", 6))]
    ending = threading.Event()
    sent: list[int] = []

    def send() -> None:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            while not ending.is_set():
                sent.append(len(sent))
                body = [batch(f"other-{len(sent)}", 5, size=300), batch("steady", 1)]
                assert client.post("/api/submitlogs", json=body).status_code == 200

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(3):
            for user in users:
                server.submit(
                    [batch(user, 3), batch(user, 7, size=400)], {"Idempotency-Key": f"{user}-{os.urandom(3)!r}"}
                )
                wrong = {"time": user, "type": user, "properties": {"locationX": user}}
                server.submit(batch(user) | {"actions": [wrong]}, {"Idempotency-Key": f"{user}-{os.urandom(3)!r}"})
            wait_for_flush(server)
        for user in users:
            server.submit(batch(user, 2))
            receipt = server.client.delete(f"/api/users/{user}")
            assert receipt.status_code == 200, receipt.text
            assert holding(server.data, user) == []
            assert (receipt.json()["userId"], receipt.json()["actions"]) == (user, 32)
            assert server.retrieve(userId=user).json() == []
    finally:
        ending.set()
        thread.join()
    (steady,) = server.retrieve(userId="steady").json()
    assert len(steady["actions"]) == len(sent)
    for user in users:
        assert holding(server.data, user) == []
    publish("forget", users_forgotten=len(users), actions_of_theirs=32 * len(users), hits_in_the_raw_files=0)


def test_a_user_can_be_forgotten_in_part(server: Server) -> None:
    """With `before`, only actions with an earlier time go, and the user may go on."""
    early, late = batch("in part", time="2025-12-31T23:59:59.999999Z"), batch("in part")
    server.submit([early, late])
    receipt = server.client.delete("/api/users/in%20part", params={"before": "2026-01-01"}).json()
    assert (receipt["actions"], receipt["until"]) == (1, None)
    assert server.retrieve(userId="in part").json() == [late]
    server.submit(early)
    assert command(server.data, "in part", "--erase-only-before", "2026-01-01")["actions"] == 1
    assert server.retrieve(userId="in part").json() == [late]


@pytest.mark.parametrize(
    "user", ["a/b", "%2F", "?x=1#y", "ü 漢", "../../etc", "a\u0000b", "A", "' OR 1=1--", "x" * 256]
)
def test_any_id_is_taken_exactly(server: Server, user: str) -> None:
    """An id of any characters is forgotten, and ids that look like it are not."""
    others = [user + " ", user.swapcase() + "'", user[:-1] + "-"]
    server.submit([batch(one) for one in [user, *(other[:256] for other in others if other[:256] != user)]])
    receipt = server.client.delete(f"/api/users/{quote(user, safe='')}").json()
    assert (receipt["userId"], receipt["actions"]) == (user, 1)
    assert server.retrieve(userId=user).json() == []
    for other in others:
        if other[:256] != user:
            assert server.retrieve(userId=other[:256]).json() == [batch(other[:256])]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/users/", 400, "bad_query"),
        (f"/api/users/{'x' * 257}", 400, "bad_query"),
        ("/api/users/%ff", 400, "bad_query"),
        ("/api/users/a?befor=2026-01-01", 400, "bad_query"),
        ("/api/users/a?before=", 400, "bad_query"),
        ("/api/users/a?before=2026-01-01&before=2026-01-02", 400, "bad_query"),
        ("/api/users/a?allowReturn=yes", 400, "bad_query"),
        ("/api/users/a?allowReturn=true&before=2026-01-01", 400, "bad_query"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: Server, path: str, status: int, code: str) -> None:
    """A path or parameter that does not fit is refused, and nobody is forgotten."""
    server.submit(batch("a"))
    answer = server.client.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert server.retrieve(userId="a").json() != []


def test_only_delete_forgets(server: Server) -> None:
    """Any other method is 405 and forgets nobody."""
    server.submit(batch("stays"))
    for method in ("GET", "POST", "PUT", "PATCH"):
        answer = server.client.request(method, "/api/users/stays")
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE")
    assert server.retrieve(userId="stays").json() == [batch("stays")]


def test_what_comes_late_is_refused(server: Server) -> None:
    """What comes for a user who was forgotten is named in `rejected` and kept nowhere, until they may return."""
    mine, other = batch("VICTIM-late", 2), batch("other late")
    bad = mine | {"actions": [*mine["actions"], {"type": "HOVER"}]}
    server.submit([mine, other])
    assert server.client.delete("/api/users/VICTIM-late").json()["until"] is not None
    for is_again in (False, True):
        answer = server.submit([other, bad], {"Idempotency-Key": "late"})
        assert answer.status_code == 200
        assert ("idempotent-replayed" in answer.headers) is is_again
        said = answer.json()
        assert (said["message"], said["accepted"], said["duplicates"]) == ("submitted", 1, 0)
        assert [(one["batch"], one["action"], one["code"]) for one in said["rejected"]] == [
            (1, 0, "user_forgotten"),
            (1, 1, "user_forgotten"),
            (1, 2, "unknown_type"),
        ]
    assert holding(server.data, "VICTIM-late") == []
    (found,) = server.retrieve(userId="other late").json()
    assert len(found["actions"]) == 2
    assert server.client.delete("/api/users/VICTIM-late", params={"allowReturn": "true"}).json()["until"] is None
    assert server.submit(mine).json()["accepted"] == 2
    assert server.retrieve(userId="VICTIM-late").json() == [mine]


def test_the_command_works_with_a_server_and_without(start: Start) -> None:
    """`footpath forget` leaves no byte of a user, with a server running on the folder and without one."""
    server = start(environment=BUSY)
    for _ in range(2):
        server.submit([batch("VICTIM-1", 3), batch("VICTIM-2", 3), batch("other")])
        wait_for_flush(server)
    server.submit([batch("VICTIM-1"), batch("VICTIM-2")])
    assert command(server.data, "VICTIM-1")["actions"] == 7
    assert holding(server.data, "VICTIM-1") == []
    server.stop()
    assert holding(server.data, "VICTIM-2") != []
    receipt = command(server.data, "VICTIM-2", "--allow-return")
    assert (receipt["actions"], receipt["until"]) == (7, None)
    assert holding(server.data, "VICTIM-2") == []
    server.start()
    (other,) = server.retrieve(fromTime="2026-01-01", toTime="2026-01-01").json()
    assert (other["userId"], len(other["actions"])) == ("other", 2)


def test_a_killed_server_finishes_after_its_start(start: Start) -> None:
    """A keeper and server that are killed while users are forgotten finish it with the next start."""
    server = start(environment=BUSY)
    users = [f"VICTIM-{number}" for number in range(8)]
    for _ in range(3):
        server.submit([batch(user, 50, size=100) for user in users])
        wait_for_flush(server)
    with httpx.Client(base_url=server.url, timeout=0.02, trust_env=False) as client:
        for user in users:
            with pytest.raises(httpx.TimeoutException):
                client.delete(f"/api/users/{user}")
    wait_until("all orders are written", lambda: orders(server.data) == len(users))
    server.client.close()
    server.process.kill()
    server.process.wait()
    server.start()
    wait_until("all of them are forgotten", lambda: not holding(server.data, "VICTIM"), 60)
    assert server.retrieve(fromTime="2026-01-01", toTime="2026-01-01").json() == []
