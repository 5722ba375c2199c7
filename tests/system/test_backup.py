"""A backup that is made while a server writes, flushes and merges, is restored and served."""

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.system.conftest import Server, Start, wait_until

MERGING = {
    "FOOTPATH_FLUSH_SECONDS": "0.1",
    "FOOTPATH_PART_ACTIONS": "200",
}
EVERYTHING = {"logType": ["click", "view", "navigate"]}
TIME = "2018-10-20T21:37:28-06:00"


class Writer(threading.Thread):
    """Sends batches of numbered actions until told to stop; `acknowledged` are the numbers that were."""

    def __init__(self, server: Server, place: int) -> None:
        """Prepare to write numbers that no other place writes."""
        super().__init__()
        self._url = server.url
        self._place = place
        self._told = threading.Event()
        self.acknowledged: list[int] = []

    def run(self) -> None:
        """Write."""
        with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
            number = self._place
            while not self._told.wait(0.002):
                numbers = [number + place * 10 for place in range(5)]
                number += 50
                actions = [{"time": TIME, "type": "CLICK", "properties": {"n": n}} for n in numbers]
                body = {"userId": f"u{number % 37}", "sessionId": "s", "actions": actions}
                assert client.post("/api/submitlogs", json=body).status_code == 200
                self.acknowledged += numbers

    def end(self) -> None:
        """Stop."""
        self._told.set()
        self.join()


def footpath(*arguments: object, code: int = 0) -> str:
    """What a command writes."""
    command = [sys.executable, "-m", "footpath", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def numbers(server: Server) -> Counter[int]:
    """The numbers that are found, with how often."""
    answer = server.retrieve(accept="application/x-ndjson", **EVERYTHING)
    assert answer.status_code == 200
    lines: list[dict[str, Any]] = [json.loads(line) for line in answer.text.splitlines()]
    assert len({line["seq"] for line in lines}) == len(lines)
    return Counter(line["properties"]["n"] for line in lines)


def test_a_backup_under_load_restores(start: Start, tmp_path: Path) -> None:
    """What was acknowledged before each backup began is in it, once; it passes the check; nothing is there twice."""
    server = start(tmp_path / "data", environment=MERGING)
    writers = [Writer(server, place) for place in range(4)]
    for writer in writers:
        writer.start()
    before: list[set[int]] = []
    merged: list[set[str]] = []
    try:
        for place in range(2):
            held = server.parts()
            wait_until("parts were merged", lambda held=held: len(server.parts() - held) > 8)  # type: ignore[misc]
            before.append({n for writer in writers for n in list(writer.acknowledged)})
            footpath("backup", tmp_path / f"backup {place}", "--data", server.data)
            merged.append({path.name for path in (tmp_path / f"backup {place}" / "parts").iterdir()})
    finally:
        for writer in writers:
            writer.end()
    assert merged[1] - merged[0], "nothing was flushed or merged between the backups"
    everything = {n for writer in writers for n in writer.acknowledged}
    assert set(numbers(server)) == everything
    for place in range(2):
        backup, again = tmp_path / f"backup {place}", tmp_path / f"again {place}"
        footpath("restore", backup, "--data", again)
        assert "all whole" in footpath("check", "--data", (backup, again)[place])
        restored = start(again, environment=MERGING)
        found = numbers(restored)
        assert before[place] <= set(found) <= everything
        assert set(found.values()) == {1}
        assert len(found) == json.loads((backup / "backup.json").read_bytes())["actions"]
        assert restored.submit([{"userId": "new", "sessionId": "s", "actions": []}]).status_code == 200
        assert restored.stop() == 0
    assert "is not empty" in footpath("backup", tmp_path / "backup 0", "--data", server.data, code=1)
    assert "is not empty" in footpath("restore", tmp_path / "backup 0", "--data", server.data, code=1)


def test_a_restored_folder_has_its_keys_and_gives_the_same_sums(start: Start, tmp_path: Path) -> None:
    """Keys that were good, and revoked ones that were not, are so after a restore; overviews say what they said."""
    data, backup, again = tmp_path / "data", tmp_path / "backup", tmp_path / "again"
    keys = {name: footpath("key", "create", "--role", "admin", "--name", name, "--data", data).strip() for name in "ab"}
    footpath("key", "revoke", "b", "--data", data)
    server = start(data, environment=MERGING)
    headers = {"x-api-key": keys["a"]}
    body = {"userId": "u", "sessionId": "s", "actions": [{"time": "2018-10-20T21:37:28Z", "type": "CLICK"}] * 3_000}
    for _ in range(4):
        held = server.parts()
        assert server.submit(body, headers).status_code == 200
        wait_until("it was flushed", lambda held=held: server.parts() - held)  # type: ignore[misc]
    wait_until("it was summed up", lambda: list((data / "summaries").glob("*.parquet")))
    counts = "/api/counts?bucket=day&fromTime=2018-10-20&toTime=2018-10-20"
    said = server.client.get(counts, headers=headers).json()
    assert said["counts"][0]["CLICK"] == 12_000
    footpath("backup", backup, "--data", data)
    footpath("restore", backup, "--data", again)
    restored = start(again, environment=MERGING)
    assert restored.client.get(counts, headers=headers).json() == said
    wait_until("it was summed up again", lambda: list((again / "summaries").glob("*.parquet")))
    assert restored.client.get(counts, headers=headers).json() == said
    assert restored.client.get(counts, headers={"x-api-key": keys["b"]}).status_code == 401
