"""The data folder: any name will do; one that is read-only, full or held by another footpath is said so in a sentence.

Leaves out damage and crashes (tests/crash).
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Server, Start, wait_until

TIME = "2018-10-20T21:37:28-06:00"
FLUSHING = {"FOOTPATH_FLUSH_SECONDS": "0.05"}


def batch(user: str, number: int, text: str = "") -> dict[str, Any]:
    """A batch of one action that carries a number."""
    action = {"time": TIME, "type": "CLICK", "properties": {"n": number, "text": text}}
    return {"userId": user, "sessionId": "s", "actions": [action]}


def has_more(server: Server, parts: set[str]) -> bool:
    """Whether there are parts that are not among these."""
    return not server.parts() <= parts


def numbers(server: Server, user: str) -> list[int]:
    """The numbers that a user's actions carry."""
    answer = server.retrieve(userId=user)
    assert answer.status_code == 200, answer.text
    return [action["properties"]["n"] for found in answer.json() for action in found["actions"]]


def refusal(data: Path) -> str:
    """What `serve` says when it cannot serve a folder, once it has exited with 1 and without a traceback."""
    command = [sys.executable, "-m", "footpath", "serve", "--data", str(data), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("footpath: ")]
    return line


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """A folder with something mounted on it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("NOT TESTED: mounting a read-only or small file system needs root")
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NOT TESTED: this machine does not let us mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


NAMES = {
    "spaces, brackets and quotes": ' it\'s a "set" [0-9]{a,b}(c) ',
    "patterns and signs": "-*?%20 100%$HOME;&|#~=,+@!`x` \u00fc\U0001f463",
    "a backslash": "back\\slash",
    "a partition of Hive": "user_id=1",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_any_name_of_the_folder_will_do(start: Start, tmp_path: Path, name: str) -> None:
    """In a folder of any name actions are taken, flushed, merged, found and exported, beside one of a similar name."""
    decoy = tmp_path / name.replace("[0-9]", "0") / "parts" if "[" in name else tmp_path / "-x y" / "parts"
    decoy.mkdir(parents=True)
    (decoy / "decoy.parquet").write_bytes(b"not Parquet")
    server = start(tmp_path / name, environment=FLUSHING)
    rounds = 4  # so many runs are merged
    for number in range(rounds):
        seen = server.parts()
        assert server.submit(batch("u", number)).status_code == 200
        wait_until("there is a new part", functools.partial(has_more, server, seen))
    wait_until("there is a merged part", lambda: len(server.parts()) > rounds)
    assert numbers(server, "u") == list(range(rounds))
    for accept in ("application/vnd.apache.parquet", "application/vnd.apache.arrow.stream", "text/csv"):
        assert server.retrieve(userId="u", accept=accept).status_code == 200
    assert server.stop() == 0
    assert not server.events("the keeper failed; trying again")


def test_a_folder_that_is_held_is_refused_by_name_of_its_holder(server: Server) -> None:
    """A second footpath on a folder exits with 1, names the first by address and process, and does it no harm."""
    assert server.submit(batch("held", 1)).status_code == 200
    said = refusal(server.data)
    assert str(server.data) in said
    assert f"is held by footpath serve on {server.url}, process {server.process.pid}" in said
    assert numbers(server, "held") == [1]
    assert server.submit(batch("held", 2)).status_code == 200


def test_a_folder_is_free_again_when_its_holder_has_stopped(start: Start) -> None:
    """After SIGTERM the server exits with 0 and leaves no note of a holder, and the folder can be served again."""
    server = start()
    assert server.submit(batch("free", 1)).status_code == 200
    assert server.stop() == 0
    assert not (server.data / "holder.txt").exists()
    server.start()
    assert numbers(server, "free") == [1]


def test_a_folder_is_free_again_when_its_holder_was_killed(start: Start) -> None:
    """After SIGKILL the folder can be served again, and holds what was acknowledged."""
    server = start()
    assert server.submit(batch("killed", 1)).status_code == 200
    server.process.kill()
    server.stop()
    server.start()
    assert numbers(server, "killed") == [1]


def test_a_folder_on_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made because the disk is read-only is refused with a sentence that says so."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs") as disk:
        said = refusal(disk / "data")
        assert str(disk / "data") in said
        assert "Read-only file system" in said


def test_a_folder_that_has_become_read_only_is_refused(start: Start, tmp_path: Path) -> None:
    """A folder that was written before and is read-only now is refused with a sentence that says so."""
    server = start(tmp_path / "data")
    assert server.submit(batch("u", 1)).status_code == 200
    server.stop()
    with mounted(tmp_path / "mount", "--bind", "-o", "ro", str(server.data)) as folder:
        said = refusal(folder)
        assert "Read-only file system" in said
    server.start()
    assert numbers(server, "u") == [1]


@pytest.mark.parametrize("kind", ["a file", "a file above it", "another program's database", "no database"])
def test_a_path_that_cannot_be_a_data_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """What is not a folder, or holds another footpath.db, is refused with a sentence and not changed."""
    data = tmp_path / "data"
    file = data
    if kind == "a file above it":
        data = file / "inside"
    if "database" in kind:
        data.mkdir()
        file = data / "footpath.db"
    if kind == "another program's database":
        import sqlite3

        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE other (x)")
            connection.commit()
    else:
        file.write_bytes(b"something else, and more than the hundred bytes that a SQLite file begins with" * 3)
    before = file.read_bytes()
    assert str(data) in refusal(data)
    assert file.read_bytes() == before


def test_a_path_that_duckdb_cannot_read_is_refused(tmp_path: Path) -> None:
    """A path with a backslash and a bracket is refused at the start, not at the first flush."""
    assert "backslash" in refusal(tmp_path / "back\\slash[1]")
    assert not (tmp_path / "back\\slash[1]").exists()


def fill(folder: Path) -> Path:
    """A file that takes all the space that is left on a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_full_disk_refuses_writes_serves_reads_and_heals(start: Start, tmp_path: Path) -> None:
    """On a full disk writes get 503 with Retry-After, nothing acknowledged is lost, reads go on; freed, it heals."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as disk:
        server = start(disk / "data", environment={"FOOTPATH_FLUSH_SECONDS": "0.5"})
        text = os.urandom(20_000).hex()  # does not compress to less than half
        assert server.submit(batch("full", 0)).status_code == 200
        acknowledged = [0]
        wait_until("the first action is in a part", server.parts)
        ballast = fill(disk)
        files = set()
        while (answer := server.submit(batch("full", len(acknowledged), text))).status_code == 200:
            acknowledged.append(len(acknowledged))
        assert (answer.status_code, answer.json()["code"]) == (503, "journal_failed")
        assert int(answer.headers["retry-after"]) > 0
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/readyz").status_code == 503
        deadline = time.monotonic() + 3  # long enough for a few tries of the keeper and of the journal
        while time.monotonic() < deadline:
            assert numbers(server, "full") == acknowledged
            files.add(len(list((server.data / "parts").iterdir())))
            answer = server.submit(batch("full", len(acknowledged), text))  # mended, it may have room for some
            assert answer.status_code in {200, 503}
            if answer.status_code == 200:
                acknowledged.append(len(acknowledged))
        ballast.unlink()
        freed = time.monotonic()
        wait_until("writes are taken again", lambda: server.submit(batch("healed", 1)).status_code == 200)
        assert time.monotonic() - freed < 5
        assert server.client.get("/readyz").json() == {"status": "ready"}
        assert numbers(server, "full") == acknowledged
        wait_until("the journal is flushed", lambda: not list((server.data / "parts").glob("*.tmp")))
        assert len(files) < 4, f"files pile up in the parts folder of a full disk: {files}"
        assert numbers(server, "full") == acknowledged
        assert server.stop() == 0
