"""What a read may take: its time ends every shape of it, and its memory follows no row that a user may send."""

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import NoReturn

import duckdb
import pyarrow.ipc
import pyarrow.parquet
import pytest

from footpath import database
from footpath.decode import read
from footpath.errors import ReadFailed
from footpath.find import answer, slices
from footpath.find.asker import Asker, serving
from footpath.find.base import Shape
from footpath.find.deadline import Deadlines
from footpath.find.duckdb import DuckdbFind
from footpath.find.view import View
from footpath.journal import hot
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.query import Query
from footpath.store import parquet
from footpath.store.local import LocalStore

WIDE = 60_000  # bytes of properties of each action


def keep(folder: Path, sizes: list[int]) -> None:
    """Keep actions of one user whose properties have about these sizes."""

    async def go() -> None:
        journal = SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9)
        for second, size in enumerate(sizes):
            time_text = f"2018-10-20T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
            action = {"time": time_text, "type": "CLICK", "properties": {"text": "x" * size}}
            body = json.dumps({"userId": "u", "sessionId": "s", "actions": [action]})
            await journal.append(read(body.encode()).entries)
        await journal.close()

    asyncio.run(go())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed in the end."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared data folder."""
    database.prepare(tmp_path)
    return tmp_path


Read = Callable[[DuckdbFind], object]


def rows_of(shape: Shape) -> Read:
    """A read of the rows of one user."""
    return lambda find: list(chain.from_iterable(find.rows(Query(user_id="u"), shape).rows))


def stream_of(form: str) -> Read:
    """A read of everything in a format of columns."""
    return lambda find: b"".join(answer.stream(find, Query(), form))


READS: dict[str, Read] = {
    **{shape.value: rows_of(shape) for shape in Shape},
    **{form: stream_of(form) for form in ("arrow", "parquet")},
    "page": lambda find: answer.page(find, Query(limit=3), "json"),
}


@pytest.mark.parametrize("read_all", READS.values(), ids=READS.keys())
def test_a_read_ends_with_its_time(folder: Path, stack: ExitStack, read_all: Read) -> None:
    """Every kind of read whose time is over fails and says so; with time it does not."""
    keep(folder, [10] * 5)
    late = stack.enter_context(closing(DuckdbFind(folder, memory="100MB", read_seconds=1e-9)))
    with pytest.raises(ReadFailed, match="took longer than 1e-09 s"):
        read_all(late)
    assert read_all(stack.enter_context(closing(DuckdbFind(folder, memory="100MB", read_seconds=60))))


def test_a_long_statement_is_interrupted(stack: ExitStack) -> None:
    """A statement of hours ends within seconds of its deadline, and the same cursor can then be used."""
    deadlines = stack.enter_context(closing(Deadlines()))
    cursor = stack.enter_context(closing(duckdb.connect(":memory:")))
    started = time.monotonic()
    with deadlines.over(cursor, started + 0.2), pytest.raises(duckdb.InterruptException):
        cursor.execute("SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b").fetchall()
    assert time.monotonic() - started < 10
    assert cursor.execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "nobody waits"])
@pytest.mark.parametrize("step", ["keep_hot", "execute"])
def test_closing_and_going_end_what_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, is_closed: bool
) -> None:
    """A read that would go on for hours fails within seconds when its find is closed, or when who asked has gone."""
    keep(folder, [10] * 2)
    monkeypatch.setattr(hot, "READ_BYTES", 1)
    begun = threading.Event()

    def for_hours(view: View, *_: object) -> bool:
        begun.set()
        with view.reading():
            view.cursor.execute(
                "SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b"
            ).fetchall()
        return True

    monkeypatch.setattr(View, step, for_hours)
    find = DuckdbFind(folder, memory="100MB", read_seconds=3_600)
    asker = Asker()
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(serving, asker, lambda: rows_of(Shape.PATHS)(find))
        assert begun.wait(10)
        started = time.monotonic()
        if is_closed:
            find.close()
        else:
            asker.gone = True
        with pytest.raises(ReadFailed):
            reading.result(10)
    assert time.monotonic() - started < 4
    find.close()


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("limit", [None, 700])
def test_chunks_of_wide_rows_are_short(folder: Path, stack: ExitStack, shape: Shape, limit: int | None) -> None:
    """Of a user with hundreds of the largest actions no chunk holds more than 300, and together they are all."""
    keep(folder, [WIDE] * 600)
    find = stack.enter_context(closing(DuckdbFind(folder, memory="200MB", read_seconds=60)))
    lengths = [len(chunk) for chunk in find.rows(Query(user_id="u", limit=limit), shape).rows]
    assert sum(lengths) == 600
    assert max(lengths) <= 300


def test_columns_of_wide_rows_come_in_slices(folder: Path, stack: ExitStack) -> None:
    """As columns no slice holds more than 17 MB, small rows are not cut for that, and the order is kept."""
    keep(folder, [WIDE] * 400 + [10] * 2_000)
    find = stack.enter_context(closing(DuckdbFind(folder, memory="200MB", read_seconds=60)))
    slices = [relation.fetchall() for relation in find.columns(Query(user_id="u"))]
    assert [sum(len(row[5]) for row in rows) < 17_000_000 for rows in slices] == [True, True]
    assert [row[7] for row in chain.from_iterable(slices)] == list(range(1, 2_401))


def test_a_flush_that_needs_too_much_memory_takes_less(folder: Path, stack: ExitStack) -> None:
    """What does not fit into the engine's memory is flushed in smaller pieces, and is all there."""
    keep(folder, [WIDE] * 250)
    engine = stack.enter_context(parquet.engine(folder, memory="40MB"))
    store = stack.enter_context(closing(LocalStore(folder)))
    connection = stack.enter_context(closing(database.connect(folder)))
    flushed = []
    while number := flush(connection, engine, store, 1_000):
        flushed.append(number)
    assert sum(flushed) == 250
    assert len(flushed) > 1


def too_little(*_: object) -> NoReturn:
    """What a step does whose memory is not enough."""
    try:
        raise duckdb.OutOfMemoryException("no more")
    except duckdb.OutOfMemoryException as error:
        raise ReadFailed("it could not be read") from error


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_what_is_too_wide_to_sort_is_read_by_places(
    folder: Path, stack: ExitStack, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that the engine has no memory to sort is the same as with memory enough, in every format."""
    keep(folder, [5_000, 100] * 100)
    find = stack.enter_context(closing(DuckdbFind(folder, memory="200MB", read_seconds=60)))
    queries = [Query(user_id="u"), Query(types=("CLICK",), order="desc"), Query(user_id="v")]
    expected = [rows_in(b"".join(answer.stream(find, query, form)), form) for query in queries]
    monkeypatch.setattr(slices, "SLICE_BYTES", 50_000)
    monkeypatch.setattr(slices, "_sorted", too_little)
    monkeypatch.setattr(View, "execute", too_little)
    assert [rows_in(b"".join(answer.stream(find, query, form)), form) for query in queries] == expected
    assert answer.page(find, Query(user_id="u", limit=7), "ndjson").body.count(b"\n") == 7


def rows_in(content: bytes, form: str) -> object:
    """What an answer holds; its bytes where they are text."""
    if form == "arrow":
        return pyarrow.ipc.open_stream(io.BytesIO(content)).read_all().to_pylist()
    if form == "parquet":
        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    return content
