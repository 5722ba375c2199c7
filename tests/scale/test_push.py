"""The way from one machine to many: a data folder's actions, put into the table once each."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from footpath import database
from footpath.action import digest_of
from footpath.aws import positions, push
from footpath.aws.columns import Columns
from footpath.config import Settings
from footpath.keeper.alone import settle
from footpath.store import parquet
from footpath.store.local import LocalStore
from tests.conformance.journals import Sqlite, run
from tests.scale import servers
from tests.scale.brook import Brook, Named, batch, brook, footpath, names


@pytest.fixture
def one(aws: dict[str, str], s3: servers.S3, kinesis: servers.Kinesis, glue: servers.Glue) -> Iterator[Brook]:
    """An empty table (and a stream)."""
    with brook(kinesis.endpoint, glue.endpoint, aws["AWS_ENDPOINT_URL_S3"], s3.bucket, shards=1) as made:
        yield made


def fill(folder: Path, *numbers: int) -> list[Named]:
    """Put batches of these numbers into a data folder, of five users, a hundred to a day; what they are called."""
    batches = [batch(number, f"user {number % 5}", actions=3) for number in numbers]

    async def work() -> None:
        journal = Sqlite().open(folder)
        await journal.append(batches)
        await journal.close()

    run(work)
    return names(batches)


def told(one: Brook, folder: Path) -> str:
    """What `footpath push` says."""
    return footpath("push", "--data", str(folder), "--table", str(one.address)).stderr


def test_each_action_is_brought_once(one: Brook, tmp_path: Path) -> None:
    """A folder's actions are in the table with all they say; what comes later is brought by the next push alone."""
    folder = tmp_path / "data"
    put = fill(folder, *range(0, 400, 7))
    assert f"{len(put)} actions in" in told(one, folder)
    assert one.found() == put
    assert told(one, folder) == "0 actions in 0 files\n"
    put += fill(folder, *range(1, 100, 9))
    told(one, folder)
    assert one.found() == sorted(put)
    rows = one.rows()
    assert len({(row["batch_id"], row["place"]) for row in rows}) == len({row["seq"] for row in rows}) == len(rows)
    row = next(row for row in rows if json.loads(row["properties"]) == {"batch": 7, "n": 2, "locationX": 52})
    assert row["time"].isoformat() == "2026-03-01T13:02:28.123456+00:00"
    assert (row["utc_offset"], row["type"], row["id"], row["user_id"]) == (-360, "CLICK", None, "user 2")


def test_two_folders_are_kept_apart(one: Brook, tmp_path: Path) -> None:
    """Actions of two folders that have the same seqs are all there."""
    put = fill(tmp_path / "a", 1, 2, 3) + fill(tmp_path / "b", 4, 5, 6)
    told(one, tmp_path / "a")
    told(one, tmp_path / "b")
    assert one.found() == sorted(put)


class Cut(Exception):
    """The process ends here."""


def test_interrupted_it_goes_on_where_it_was(one: Brook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after each window, with a merge and new actions in between, each action is brought once in the end."""
    monkeypatch.setattr(push, "WINDOW_ROWS", 100)
    folder = tmp_path / "data"
    put = fill(folder, *range(0, 400, 5))
    windows = 0

    def cut(_done: int, _total: int) -> None:
        nonlocal windows
        windows += 1
        raise Cut

    for turn in range(20):
        try:
            done = run_push(one, folder, cut)
        except Cut:
            put += fill(folder, 1000 + turn)
        else:
            assert done.actions == 0
            break
    assert windows >= 4
    told(one, folder)
    assert one.found() == sorted(put)


def run_push(one: Brook, folder: Path, did: Any) -> push.Pushed:
    """Push in this process, everything flushed and merged first."""
    settings = Settings(data=folder)
    settle(settings)
    with (
        closing(database.connect(folder, readonly=True)) as connection,
        closing(LocalStore(folder)) as store,
        parquet.engine(folder, memory="256MB") as engine,
    ):
        columns = Columns(engine, folder / "tmp")
        return push.push(engine, columns, push.folder_of(connection, store), one.table, did)


def test_two_at_once_bring_it_once(one: Brook, tmp_path: Path) -> None:
    """Of two pushes of copies of one folder at once, what both would bring is in the table once."""
    folder, copy = tmp_path / "data", tmp_path / "copy"
    put = fill(folder, *range(0, 300, 5))
    footpath("backup", str(tmp_path / "backup"), "--data", str(folder))
    footpath("restore", str(tmp_path / "backup"), "--data", str(copy))
    failures: list[str] = []

    def work(which: Path) -> None:
        try:
            told(one, which)
        except AssertionError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work, args=(which,)) for which in (folder, copy)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("another push of the same folder is at work" in failure for failure in failures)
    assert len(failures) <= 1
    assert one.found() == put


def test_who_was_forgotten_stays_so(one: Brook, tmp_path: Path) -> None:
    """A user whom the folder has forgotten is left out of the table from then on, also what the sink brings."""
    folder = tmp_path / "data"
    fill(folder, 1, 2)
    Sqlite().bury(folder, "user 3", 30)
    told(one, folder)
    until = one.table().metadata.properties[positions.FORGOTTEN + digest_of("user 3").hex()]
    assert datetime.fromisoformat(until) > datetime.now(UTC) + timedelta(days=29)
    one.put([batch(3, "user 3"), batch(4, "user 4")])
    one.sink()
    assert {row["user_id"] for row in one.rows()} == {"user 1", "user 2", "user 4"}


def test_a_folder_that_is_none_stays_none(one: Brook, tmp_path: Path) -> None:
    """Pushing what is no data folder says so, and makes none."""
    nothing = tmp_path / "nothing"
    done = footpath("push", "--data", str(nothing), "--table", str(one.address), code=1)
    assert "is not a footpath data folder" in done.stderr
    assert not nothing.exists()
