"""What is older than `keep` is gone for everyone who asks, and soon from the disk, on a server with nothing to do."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .conftest import Server, Start, wait_until

KEEP_SECONDS = 4


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that keeps actions for some seconds."""
    return start(arguments=["--keep", f"{KEEP_SECONDS}s"], environment={"FOOTPATH_FLUSH_SECONDS": "0.2"})


def batch(user: str, *times: datetime) -> dict[str, Any]:
    """What a user did at these times."""
    return {
        "userId": user,
        "sessionId": "s",
        "actions": [{"time": time.isoformat(), "type": "VIEW", "properties": {}} for time in times],
    }


def command(server: Server, *arguments: str) -> str:
    """What a command says of the server's folder; it is not told how long actions are kept."""
    line = [sys.executable, "-m", "footpath", *arguments, "--data", str(server.data)]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout


def test_what_has_expired_is_gone(server: Server) -> None:
    """An action is found until it expires, then by no read; on a quiet server it is soon in no part and no journal."""
    now = datetime.now(UTC)
    future = now + timedelta(days=365_000)
    sent = batch("a", now - timedelta(days=1), now, future)
    assert server.submit([sent, batch("b", now)]).json()["accepted"] == 4
    assert server.retrieve(userId="a").json() != [sent]
    wait_until("the last of them has expired", lambda: datetime.now(UTC) > now + timedelta(seconds=KEEP_SECONDS))
    (left,) = server.retrieve(fromTime="0001-01-01", toTime="9999-12-31").json()
    assert (left["userId"], [action["time"][:4] for action in left["actions"]]) == ("a", [str(future.year)])
    assert server.retrieve(userId="b").json() == []
    lines = command(server, "export").splitlines()
    assert [json.loads(line)["userId"] for line in lines] == ["a"]
    assert command(server, "sql", "SELECT count(*) AS n FROM actions").strip() == '{"n":1}'
    wait_until("it is off the disk", lambda: "parts with 1 actions and 0 in the journal" in command(server, "check"))


def test_a_wrong_keep_is_refused() -> None:
    """A length of time without a unit is refused with a sentence that says how to write it."""
    line = [sys.executable, "-m", "footpath", "serve", "--keep", "90"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "--keep is '90'; it must be a number with s, m, h, d or w" in done.stderr
