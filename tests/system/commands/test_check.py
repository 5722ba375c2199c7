"""`footpath check`: every kind of damage is found and named, and nothing that is whole is called damaged."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.commands.conftest import Run, batch, click, ndjson
from tests.system.conftest import Start, wait_until


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, run: Run, start: Start) -> Path:
    """A data folder with one part and, in the journal, two batches, of which one is compressed."""
    folder = tmp_path_factory.mktemp("check") / "data"
    run("import", "-", "--data", folder, given=ndjson([batch("a", "s", click(1), click(2)), batch("b", "s", click(3))]))
    server = start(folder, environment={"FOOTPATH_FLUSH_SECONDS": "3600"})
    assert server.submit([batch("c", "s", click(4))]).status_code == 200
    assert server.submit([batch("d", "s", *(click(i, text="x" * 100) for i in range(50)))]).status_code == 200
    server.stop()
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "data")


def the_part(folder: Path) -> Path:
    """Its one part."""
    (part,) = (folder / "parts").glob("*.parquet")
    return part


def change(folder: Path, *statements: str) -> None:
    """Change its database behind footpath's back."""
    connection = sqlite3.connect(folder / "footpath.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_whole_folder(run: Run, copy: Path) -> None:
    """A folder that nothing happened to is whole, and the check changes no file in it."""
    before = {path: path.read_bytes() for path in (copy / "parts").iterdir()}
    assert run("check", "--data", copy).out == "1 parts with 3 actions and 51 in the journal looked at: all whole\n"
    assert {path: path.read_bytes() for path in (copy / "parts").iterdir()} == before


def flip(part: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda part: part.unlink(), "is missing"),
        (flip, "is not what was written"),
        (lambda part: part.write_bytes(part.read_bytes()[:-1]), "bytes, the catalog says"),
        (lambda part: part.write_bytes(part.read_bytes() + b"x"), "bytes, the catalog says"),
        (lambda part: (part.unlink(), part.mkdir()), "bytes, the catalog says|cannot be read|Is a directory"),
    ],
)
def test_a_damaged_part_is_named(damage: Callable[[Path], object], says: str, run: Run, copy: Path) -> None:
    """A part that is missing, or is not byte for byte what was written, is named; the exit is 1."""
    part = the_part(copy)
    damage(part)
    done = run("check", "--data", copy, code=1)
    line = next(line for line in done.out.splitlines() if line.startswith(f"parts/{part.name}: "))
    assert any(one in line for one in says.split("|"))
    assert done.out.splitlines()[-1].endswith("1 problems")


@pytest.mark.parametrize("command", [("sql", "SELECT count(*) FROM actions"), ("export",), ("find", "--user", "a")])
def test_nothing_is_read_beside_a_damaged_part(command: Sequence[str], run: Run, copy: Path) -> None:
    """A command that reads the folder ends with 1, names the part and `footpath check`, and gives no output at all."""
    flip(the_part(copy))
    done = run(*command, "--data", copy, code=1)
    assert not done.out
    assert f"parts/{the_part(copy).name} is not what was written" in done.err
    assert "`footpath check`" in done.err


def test_a_journal_that_is_not_right(run: Run, copy: Path) -> None:
    """A journal row that cannot be read is told; the exit is 1. tests/unit has the other faults of a database."""
    change(copy, "UPDATE journal SET actions = x'00' WHERE seq = 4")
    assert "footpath.db: the journal row 4 cannot be read" in run("check", "--data", copy, code=1).out


def test_what_is_left_over_is_no_damage(run: Run, copy: Path) -> None:
    """A file that no row names is told, and the exit is 0."""
    (copy / "parts" / "00ff.tmp").write_bytes(b"half a part")
    assert "parts/00ff.tmp: left over" in run("check", "--data", copy).out


def test_a_part_that_a_merge_replaced_may_be_gone(run: Run, copy: Path) -> None:
    """The file of a part that is not live any more is not missed."""
    change(copy, "INSERT INTO parts SELECT 'x', run, 'b', 'z', 1, 1, 1, 3, rows, bytes, sha256, 1 FROM parts")
    run("check", "--data", copy)


def test_a_damaged_database_is_named(run: Run, copy: Path) -> None:
    """Noise in the middle of the database is told, and the exit is 1."""
    database = copy / "footpath.db"
    for file in copy.glob("footpath.db-*"):
        file.unlink()
    content = bytearray(database.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    database.write_bytes(content)
    done = run("check", "--data", copy, code=1)
    assert "footpath.db" in done.out + done.err or "database" in done.err


def test_what_is_no_data_folder(run: Run, tmp_path: Path) -> None:
    """Another folder is refused in a sentence, and nothing is put into it."""
    assert "is not a footpath data folder" in run("check", "--data", tmp_path, code=1).err
    assert not list(tmp_path.iterdir())


def test_a_server_at_work_is_not_taken_for_damage(run: Run, start: Start, some_batches: list[dict[str, Any]]) -> None:
    """While a server takes actions, flushes and merges, every check finds everything whole."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.05", "FOOTPATH_PART_ACTIONS": "500"})
    body = json.dumps(some_batches[:50]).encode()
    ended = threading.Event()

    def feed() -> None:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            while not ended.is_set():
                assert client.post("/api/submitlogs", content=body).status_code == 200

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        wait_until("there are parts", lambda: len(server.parts()) > 20)
        for _ in range(3):
            assert "all whole" in run("check", "--data", server.data).out
    finally:
        ended.set()
        feeder.join()
