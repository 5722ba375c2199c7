"""The write-ahead log stays short while commits go on, also when another process copies it too."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from footpath import database
from footpath.journal import checkpoint
from footpath.journal.checkpoint import Checkpoints

PAGE = 4096 + 24  # bytes of a page in the log


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, and a log that counts as long from ten pages on."""
    monkeypatch.setattr(checkpoint, "COPY_PAGES", 10)
    database.prepare(tmp_path)
    return tmp_path


@pytest.fixture
def writer(folder: Path) -> Iterator[tuple[apsw.Connection, Checkpoints]]:
    """A connection whose log is copied beside it."""
    connection = database.connect(folder)
    checkpoints = Checkpoints(connection, lambda: database.connect(folder))
    yield connection, checkpoints
    checkpoints.close()
    connection.close()


def write(connection: apsw.Connection, checkpoints: Checkpoints, times: int) -> None:
    """So many commits, each of which dirties a page or two."""
    for number in range(times):
        checkpoints.settle()
        with database.write(connection):
            connection.execute("UPDATE state SET seq = ?", (number,))


def test_the_log_stays_short(folder: Path, writer: tuple[apsw.Connection, Checkpoints]) -> None:
    """A thousand commits leave a log of fewer than two hundred pages."""
    write(*writer, times=1_000)
    assert (folder / "footpath.db-wal").stat().st_size < 200 * PAGE


def test_another_may_copy_at_the_same_time(folder: Path, writer: tuple[apsw.Connection, Checkpoints]) -> None:
    """While another connection copies the log without a pause, commits go on and none fails."""
    over = threading.Event()

    def copy() -> None:
        with closing(database.connect(folder)) as other:
            while not over.is_set():
                checkpoint._checkpoint(other)

    others = [threading.Thread(target=copy) for _ in range(2)]
    for other in others:
        other.start()
    try:
        write(*writer, times=1_000)
    finally:
        over.set()
        for other in others:
            other.join()
    assert database.one(writer[0], "SELECT seq FROM state") == (999,)


def test_a_failed_copy_is_told(writer: tuple[apsw.Connection, Checkpoints], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a copy in the thread met is raised by a later `settle`."""
    connection, checkpoints = writer

    def fail(_connection: apsw.Connection) -> None:
        raise apsw.IOError("a disk that fails")

    monkeypatch.setattr(checkpoint, "_checkpoint", fail)
    with pytest.raises(apsw.IOError, match="a disk that fails"):
        write(connection, checkpoints, times=1_000)
