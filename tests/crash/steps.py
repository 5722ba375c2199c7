"""Runs one piece of footpath again and again, and kills it before its first durable step, its second, and so on.

`python steps.py run SCENARIO FOLDER SAID` runs it once, without killing it, and with file names that are the same each
time: for strace, which knows better places to kill it at. What it acknowledges is in the file SAID, a name a line.

`python steps.py SCENARIO TEMPLATE WORK EVERY`: for N = 1, 1 + EVERY, … a copy of the folder TEMPLATE is made as WORK/N,
and a forked process runs the scenario in it until its N-th step: an SQL statement to SQLite, an fsync, or a rename or
removal of a file. There it kills itself as `kill -9` does. What it acknowledged before is in WORK/N.said, a name a
line. It ends with the first N that the scenario outlives, and prints a line of JSON for each.
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
import uuid
import zlib
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import duckdb

from footpath import database
from footpath.decode import read
from footpath.journal.base import Once
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper import expire, forget
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.keeper.summarise import Summariser
from footpath.store import forgetting, parquet
from footpath.store.local import LocalStore
from footpath.store.summaries import Summaries

PART_ACTIONS = 5
FORGOTTEN = "VICTIM"  # the user of the names that begin so
KEEP = 30 * 86_400 * 1_000_000  # microseconds; the names that begin with "old" are of 2018, the others of now
NOW = datetime.now(UTC).isoformat()
Said = Callable[[str], object]


def append(folder: Path, groups: list[list[str]], said: Said) -> None:
    """Keep a group of actions with these names at a time, each name with an Idempotency-Key of its own."""

    async def one(journal: SqliteJournal, name: str) -> None:
        at = "2018-10-20T21:37:28-06:00" if name.startswith("old") else NOW
        action = {"time": at, **did(name)}
        user = FORGOTTEN if name.startswith(FORGOTTEN) else f"u{len(name) * 7 % 5}"
        body = json.dumps({"userId": user, "sessionId": name[-1], "actions": [action]}).encode()
        await journal.append(read(body).entries, Once(name, hashlib.sha256(name.encode()).digest(), lambda _: b"kept"))
        said(name)

    async def all_of_them() -> None:
        journal = SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9)
        for group in groups:
            await asyncio.gather(*[one(journal, name) for name in group])
        await journal.close()

    asyncio.run(all_of_them())


def did(name: str) -> dict[str, Any]:
    """Type and properties of the action of a name: a click on one of three pages, a view, or a way between two."""
    number = zlib.crc32(name.encode())
    page = f"page of {FORGOTTEN}" if name.startswith(FORGOTTEN) else f"page {number % 3}"
    of_type: dict[str, dict[str, Any]] = {
        "CLICK": {"locationX": number % 100, "locationY": 5, "pageWidth": 100, "pageHeight": 10},
        "VIEW": {"viewedId": "FDJKLHSLD"},
        "NAVIGATE": {"pageFrom": page, "pageTo": f"page {number % 5}"},
    }
    kind = list(of_type)[number // 7 % 3]
    return {"type": kind, "properties": {"name": name, "page": page, **of_type[kind]}}


def flush_some(folder: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Flush twice."""
    with closing(database.connect(folder)) as connection, closing(LocalStore(folder)) as store:
        for _ in range(2):
            flush(connection, engine, store, PART_ACTIONS)


def merge_all(folder: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Merge all runs, if there are several."""
    with closing(LocalStore(folder)) as store:
        runs = runs_of(store.live())
        if len(runs) > 1:
            for _ in merge(engine, store, runs, PART_ACTIONS):
                pass


def expire_all(folder: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Remove what has expired, from every part."""
    with closing(LocalStore(folder)) as store:
        kept = store.kept()
        if kept is not None:
            store.replace(expire.whole(store.live(), kept.oldest), [])
            for part in expire.due(store.live(), *kept):
                expire.rewrite(engine, store, part, kept.oldest)


def forget_all(folder: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Finish what was asked to be forgotten."""
    with closing(database.connect(folder)) as connection, closing(LocalStore(folder)) as store:
        forget.finish(connection, engine, store, flush_actions=PART_ACTIONS)


def summarise_all(folder: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Make the summaries of all segments, and remove those of segments that are no more."""
    summariser = Summariser(Summaries(folder), 0.0, smallest=1)
    with closing(LocalStore(folder)) as store:
        while summariser.step(engine, store, store.live()):
            pass


def tidy(folder: Path) -> None:
    """All that is removed now and then."""
    with closing(LocalStore(folder)) as store:
        store.sweep()
        store.trim(step=3)
        store.purge(0)
        store.forget_keys(hours=10**6)


OFFERED = {"begin": ["first"], "append": [f"new {place} {number}" for place in range(4) for number in range(3)]}
"""The names that a scenario offers."""


def _prepare(folder: Path, _said: Said) -> None:
    database.prepare(folder)


def _begin(folder: Path, said: Said) -> None:
    database.prepare(folder)
    append(folder, [OFFERED["begin"]], said)


def _append(folder: Path, said: Said) -> None:
    names = OFFERED["append"]
    append(folder, [names[place : place + 3] for place in range(0, len(names), 3)], said)


def _flush(folder: Path, _said: Said) -> None:
    with parquet.engine(folder, memory="100MB") as engine:
        flush_some(folder, engine)


def _merge(folder: Path, _said: Said) -> None:
    with parquet.engine(folder, memory="100MB") as engine:
        merge_all(folder, engine)


def _expire(folder: Path, _said: Said) -> None:
    database.set_keep(folder, KEEP)
    with parquet.engine(folder, memory="100MB") as engine:
        expire_all(folder, engine)
        flush_some(folder, engine)


def _forget(folder: Path, said: Said) -> None:
    with closing(forgetting.LocalForget(folder)) as orders:
        asked = orders.ask(FORGOTTEN, before=None, refuse_days=30)
    said("asked")
    with parquet.engine(folder, memory="100MB") as engine:
        forget_all(folder, engine)
    with closing(forgetting.LocalForget(folder)) as orders:
        said(str(tuple(orders.receipt(asked.number) or ())))


def _summarise(folder: Path, said: Said) -> None:
    """Make summaries, and make them again after each thing that has them retired."""
    with parquet.engine(folder, memory="100MB") as engine:
        summarise_all(folder, engine)
        merge_all(folder, engine)
        summarise_all(folder, engine)
    _expire(folder, said)
    with parquet.engine(folder, memory="100MB") as engine:
        summarise_all(folder, engine)
    _forget(folder, said)
    with parquet.engine(folder, memory="100MB") as engine:
        summarise_all(folder, engine)


def _tidy(folder: Path, _said: Said) -> None:
    tidy(folder)


def _restart(folder: Path, _said: Said) -> None:
    """What a start does, and a keeper soon after it: it goes on with whatever was interrupted."""
    database.prepare(folder)
    tidy(folder)
    with parquet.engine(folder, memory="100MB") as engine:
        forget_all(folder, engine)
        flush_some(folder, engine)
        merge_all(folder, engine)
        expire_all(folder, engine)
        summarise_all(folder, engine)


def _write(said: int, name: str) -> None:
    os.write(said, f"{name}\n".encode())


def _migrate(folder: Path, said: Said) -> None:
    database.prepare(folder)
    said("migrated")


SCENARIOS: dict[str, Callable[[Path, Said], None]] = {
    "prepare": _prepare,
    "begin": _begin,
    "append": _append,
    "flush": _flush,
    "merge": _merge,
    "expire": _expire,
    "forget": _forget,
    "tidy": _tidy,
    "summarise": _summarise,
    "migrate": _migrate,
    "restart": _restart,
}


def run(scenario: str, folder: Path, said: Path) -> None:
    """Run a scenario once; the names of new files are the same each time, and those of another scenario others."""
    numbers = count(zlib.crc32(scenario.encode()) << 64)
    setattr(uuid, "uuid4", lambda: uuid.UUID(int=next(numbers)))  # noqa: B010 - mypy refuses the plain way
    noted = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    SCENARIOS[scenario](folder, partial(_write, noted))


def kill_at(number: int, note: Path) -> None:
    """From now on count the steps of this process, and kill it before the one with this number."""
    count = 0

    def step(name: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            note.write_text(name, encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            step(name)
            return call(*args, **kwargs)

        return counting

    def statement(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        if not sql.lstrip().startswith("SELECT"):  # before one is as good as after the step that was before it
            step(" ".join(sql.split())[:60])
        return True

    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(statement))
    setattr(os, "fsync", counted("fsync", os.fsync))  # noqa: B010 - mypy refuses the plain way
    for name in ("replace", "unlink", "mkdir"):
        setattr(Path, name, counted(name, getattr(Path, name)))


def main() -> None:
    """Kill at each step in turn, or run once."""
    if sys.argv[1] == "run":
        run(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        return
    scenario, template, work, every = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    for number in range(1, 10_000, every):
        folder = work / str(number)
        said = os.open(work / f"{number}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        note = work / f"{number}.step"
        if template.exists():
            shutil.copytree(template, folder)
        child = os.fork()
        if child == 0:
            kill_at(number, note)
            SCENARIOS[scenario](folder, partial(_write, said))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.close(said)
        if status != 0 and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            raise SystemExit(f"step {number} of {scenario} ended with status {status}")
        step = note.read_text(encoding="utf-8") if status else None
        print(json.dumps({"number": number, "step": step}), flush=True)
        if status == 0:
            return


if __name__ == "__main__":
    main()
