"""Parts are written in bounded memory, in a folder to spill to of their own, and leave nothing when they fail."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import duckdb
import pytest

from footpath import database, decode
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper import expire
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.store import parquet
from footpath.store.local import LocalStore

KEEP_SPILLING = """
import sys, time
from pathlib import Path
from footpath.store import parquet
with parquet.engine(Path(sys.argv[1]), memory="50MB") as engine:
    engine.execute("SET enable_progress_bar = false")  # it takes `python -c` for a terminal
    engine.execute("CREATE TEMP TABLE t AS SELECT md5(CAST(r AS VARCHAR)) AS h FROM range(3000000) AS t(r)")
    print("spilt", flush=True)
    time.sleep(600)
"""


def append(folder: Path, actions: int, size: int) -> None:
    """Keep actions of about this many bytes, of many users, a batch of ten at a time."""
    noise = random.Random(7)

    async def go() -> None:
        journal = SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9)
        for _ in range(actions // 10):
            batch = [
                {"time": "2018-10-20T21:37:28Z", "type": "CLICK", "properties": {"p": noise.randbytes(size // 2).hex()}}
                for _ in range(10)
            ]
            body = json.dumps({"userId": noise.randbytes(4).hex(), "sessionId": "s", "actions": batch})
            await journal.append(decode.read(body.encode()).entries)
        await journal.close()

    asyncio.run(go())


def test_the_largest_actions_fit_into_the_memory_of_the_keeper(tmp_path: Path) -> None:
    """A thousand actions of nearly 64 KB are flushed and merged within the default keeper_memory."""
    database.prepare(tmp_path)
    append(tmp_path, 1_000, 60_000)
    with ExitStack() as stack:
        connection = stack.enter_context(closing(database.connect(tmp_path)))
        store = stack.enter_context(closing(LocalStore(tmp_path)))
        engine = stack.enter_context(parquet.engine(tmp_path, memory="384MB"))
        while flush(connection, engine, store, 250_000):
            pass
        runs = runs_of(store.live())
        assert len(runs) > 2
        assert sum(merge(engine, store, runs, 250_000)) == 1_000
        assert len(runs_of(store.live())) == 1


def test_engines_never_share_a_folder_to_spill_to(tmp_path: Path) -> None:
    """Each engine spills to another folder, and its folder goes with it."""
    with ExitStack() as stack:
        engines = [stack.enter_context(parquet.engine(tmp_path, memory="50MB")) for _ in range(3)]
        rows = [engine.execute("SELECT current_setting('temp_directory')").fetchone() for engine in engines]
        folders = {Path(row[0]) for row in rows if row is not None}
        assert len(folders) == 3
        assert {folder.parent for folder in folders} == {tmp_path / "tmp"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_killed_engine_spilt_is_removed_by_the_next(tmp_path: Path) -> None:
    """An engine removes what a killed process spilt, and leaves what a living one did."""
    processes = [
        subprocess.Popen([sys.executable, "-c", KEEP_SPILLING, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"spilt\n"
        spilt = [path for path in (tmp_path / "tmp").iterdir() if path.is_dir()]
        assert len(spilt) == 2
        assert all(list(path.iterdir()) for path in spilt)
        processes[0].kill()
        processes[0].wait()
        with parquet.engine(tmp_path, memory="50MB"):
            assert len([path for path in spilt if path.exists()]) == 1
        processes[1].kill()
        processes[1].wait()
        with parquet.engine(tmp_path, memory="50MB"):
            assert [path for path in spilt if path.exists()] == []


def test_a_part_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush or merge that fails before it is in the catalog leaves no file, and the next one does all of it."""
    database.prepare(tmp_path)
    append(tmp_path, 40, 100)
    with ExitStack() as stack:
        connection = stack.enter_context(closing(database.connect(tmp_path)))
        store = stack.enter_context(closing(LocalStore(tmp_path)))
        engine = stack.enter_context(parquet.engine(tmp_path, memory="50MB"))

        def fail(_handle: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="No space"):
                flush(connection, engine, store, 10)
        assert list(store.parts_folder.iterdir()) == []
        with monkeypatch.context() as patch:
            patch.setattr(parquet, "sync_folder", fail)
            with pytest.raises(OSError, match="No space"):
                flush(connection, engine, store, 10)
        assert list(store.parts_folder.iterdir()) == []
        while flush(connection, engine, store, 10):
            pass
        before = store.live()
        with monkeypatch.context() as patch:
            patch.setattr(parquet, "sync_folder", fail)
            with pytest.raises(OSError, match="No space"):
                list(merge(engine, store, runs_of(before), 10))
        assert store.live() == before
        assert len(list(store.parts_folder.iterdir())) == len(before)
        with pytest.raises(duckdb.Error):
            parquet.write_part(engine, store.parts_folder, 1, "SELECT nothing", {})
        assert sum(merge(engine, store, runs_of(before), 10)) == 40


@pytest.mark.parametrize(("fault", "stays"), [(apsw.FullError, False), (apsw.IOError, True)])
def test_files_of_a_failed_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[apsw.Error], *, stays: bool
) -> None:
    """On a full disk a flush, merge or rewriting that cannot be entered makes room; else its file waits for the sweep.

    After another error the log may hold the transaction, and a crash bring it back: then its parts must be there.
    """
    database.prepare(tmp_path)
    with ExitStack() as stack:
        connection = stack.enter_context(closing(database.connect(tmp_path)))
        store = stack.enter_context(closing(LocalStore(tmp_path)))
        engine = stack.enter_context(parquet.engine(tmp_path, memory="100MB"))
        for _ in range(2):
            append(tmp_path, 20, 10)
            assert flush(connection, engine, store, 1_000) == 20
        append(tmp_path, 20, 10)

        def fail(_: object) -> None:
            raise fault("it does not work")

        attempts: list[Callable[[], object]] = [
            lambda: flush(connection, engine, store, 1_000),
            lambda: list(merge(engine, store, runs_of(store.live()), 1_000)),
            lambda: expire.rewrite(engine, store, store.live()[0], 0),
        ]
        for attempt in attempts:
            held = set(store.parts_folder.iterdir())
            with monkeypatch.context() as patched:
                patched.setattr(store, "_insert", fail)
                with pytest.raises(fault):
                    attempt()
            assert bool(set(store.parts_folder.iterdir()) - held) == stays
        store.sweep()
        assert flush(connection, engine, store, 1_000) == 20
        assert sum(part.rows for part in store.live()) == 60
        assert {file.stem for file in store.parts_folder.iterdir()} == {part.id for part in store.live()}
