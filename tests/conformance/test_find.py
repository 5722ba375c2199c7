"""What `footpath.find.base` promises, kept by every fitting."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest

from footpath import database
from footpath.decode import read
from footpath.errors import ReadFailed
from footpath.find import view
from footpath.find.base import Find, Shape
from footpath.find.duckdb import DuckdbFind
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.query import Query
from footpath.store import parquet
from footpath.store.local import LocalStore


class Fitting(Protocol):
    """A kind of find, with what fills it, as its tests need it; `times` it is tried where few tries tell nothing."""

    find: Find
    times: int

    def keep(self, *names: str, user: str = "u") -> None:
        """Say yes to a batch of a user's actions with these names, one each second."""
        ...

    def settle(self) -> None:
        """Put all that is hot into parts, and merge these."""
        ...

    def lose(self) -> None:
        """Make the parts unreadable, as a damaged disk does."""
        ...

    def cut_off(self) -> None:
        """Make the journal and the catalog unreadable."""
        ...

    def give_on(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        """Let it give on as many rows at once at most."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def request(names: Sequence[str], user: str, second: int) -> dict[str, Any]:
    """A batch of a user's actions with these names, one each second after a second of the day."""
    actions = []
    for place, name in enumerate(names, second + 1):
        minutes, seconds = divmod(place, 60)
        time = f"2018-10-20T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"
        actions.append({"time": time, "type": "VIEW", "properties": {"name": name}})
    return {"userId": user, "sessionId": "s", "actions": actions}


class Duckdb:
    """The embedded find over a data folder."""

    times = 100

    def __init__(self, folder: Path) -> None:
        database.prepare(folder)
        self._folder = folder
        self._stack = ExitStack()
        self._engine = self._stack.enter_context(parquet.engine(folder, memory="200MB"))
        self._store = self._stack.enter_context(closing(LocalStore(folder)))
        self.find = self._stack.enter_context(closing(DuckdbFind(folder, memory="200MB", read_seconds=60)))
        self._second = 0

    def keep(self, *names: str, user: str = "u") -> None:
        """See `Fitting.keep`."""
        body = json.dumps(request(names, user, self._second)).encode()
        self._second += len(names)

        async def append() -> None:
            journal = SqliteJournal(self._folder, max_actions=10**9, max_waiting_bytes=10**9)
            await journal.append(read(body).entries)
            await journal.close()

        asyncio.run(append())

    def settle(self) -> None:
        """See `Fitting.settle`."""
        with closing(database.connect(self._folder)) as connection:
            while flush(connection, self._engine, self._store, 1_000):
                pass
        runs = runs_of(self._store.live())
        if len(runs) > 1:
            list(merge(self._engine, self._store, runs, 1_000))

    def lose(self) -> None:
        """See `Fitting.lose`."""
        for part in self._store.live():
            content = self._store.path(part).read_bytes()
            self._store.path(part).unlink()
            self._store.path(part).write_bytes(content[: len(content) // 2])

    def cut_off(self) -> None:
        """See `Fitting.cut_off`."""
        for file in self._folder.glob("footpath.db*"):
            file.unlink()

    def give_on(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        """See `Fitting.give_on`."""
        monkeypatch.setattr(view, "FETCH_ROWS", rows)

    def close(self) -> None:
        """See `Fitting.close`."""
        self._stack.close()


@pytest.fixture(params=[Duckdb], ids=["duckdb"])
def fitting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fitting]:
    """Each fitting in turn."""
    made: Fitting = request.param(tmp_path)
    yield made
    made.close()


def rows_of(find: Find, query: Query, shape: Shape) -> list[tuple[Any, ...]]:
    """All rows of an answer."""
    return list(itertools.chain.from_iterable(find.rows(query, shape).rows))


def names_of(find: Find, query: Query) -> list[str]:
    """The names of the actions that a query finds, in the order of lines."""
    return [json.loads(row[0])["properties"]["name"] for row in rows_of(find, query, Shape.LINES)]


def columns_of(find: Find, query: Query) -> list[tuple[Any, ...]]:
    """All rows of the columns of an answer."""
    return [tuple(row.values()) for piece in find.columns(query) for row in pa.table(piece).to_pylist()]


QUERIES = [Query(), Query(user_id="u"), Query(session_id="s"), Query(types=("VIEW",)), Query(user_id="u", limit=10_000)]


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("query", [Query(user_id="v"), Query(types=("CLICK",)), Query(time_from=5, time_to=6)])
def test_nothing_that_matches_ends_at_once(fitting: Fitting, shape: Shape, query: Query) -> None:
    """When nothing matches, in an empty find, one with hot actions or one with parts, there are no rows."""
    for step in range(3):
        if step == 1:
            fitting.keep("a", "b")
        elif step == 2:
            fitting.settle()
        assert rows_of(fitting.find, query, shape) == []
        assert columns_of(fitting.find, query) == []


def test_what_was_kept_is_seen_at_once_and_once(fitting: Fitting) -> None:
    """An action is found once as soon as it was said to be kept, and once when it is in parts, by each query."""
    expected: list[str] = []
    for place in range(6):
        names = [f"{place}{letter}" for letter in "abc"]
        fitting.keep(*names)
        expected += names
        for _ in range(2):
            for query in QUERIES:
                assert names_of(fitting.find, query) == expected
            last_seq, chunks = fitting.find.rows(Query(), Shape.CELLS)
            assert max(row[6] for row in itertools.chain.from_iterable(chunks)) == last_seq
            if place % 2:
                break
            fitting.settle()


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("query", QUERIES)
def test_a_find_that_has_begun_does_not_change(fitting: Fitting, shape: Shape, query: Query) -> None:
    """Rows that are taken after further appends, a flush and a merge are those of the moment when the find began."""
    fitting.keep("a", "b")
    fitting.settle()
    fitting.keep("c", "d")
    before = rows_of(fitting.find, query, shape)
    last_seq, chunks = fitting.find.rows(query, shape)
    fitting.keep("e")
    fitting.settle()
    fitting.keep("f")
    assert list(itertools.chain.from_iterable(chunks)) == before
    assert len(before) == 4
    assert fitting.find.rows(query, shape).last_seq > last_seq


def test_a_large_answer_comes_in_chunks(fitting: Fitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of many rows comes in chunks of a bounded number, hot or out of parts, and together they are all."""
    fitting.give_on(monkeypatch, 100)
    for place in range(6):
        fitting.keep(*[f"{place} {number}" for number in range(200)], user=f"u{place % 2}")
    for _ in range(2):
        for shape in Shape:
            sizes = [len(chunk) for chunk in fitting.find.rows(Query(), shape).rows]
            assert sum(sizes) == 1_200
            assert max(sizes) <= 100
        fitting.settle()


@pytest.mark.parametrize("shape", Shape)
def test_closing_early_lets_go(fitting: Fitting, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many answers that are closed after their first chunk, or before it, disturb none after them."""
    fitting.give_on(monkeypatch, 2)
    fitting.keep(*"abcdefgh")
    fitting.settle()
    fitting.keep(*"ijkl")
    for place in range(fitting.times):
        chunks = fitting.find.rows(Query(), shape).rows
        if place % 2:
            assert next(chunks)
        assert hasattr(chunks, "close")
        chunks.close()
        columns = fitting.find.columns(Query())
        next(columns)
        assert hasattr(columns, "close")
        columns.close()
    assert names_of(fitting.find, Query()) == list("abcdefghijkl")


READS: list[Callable[[Find, Query], object]] = [
    lambda find, query: rows_of(find, query, Shape.PATHS),
    lambda find, query: rows_of(find, query, Shape.LINES),
    lambda find, query: rows_of(find, query, Shape.CELLS),
    columns_of,
]


@pytest.mark.parametrize("read_all", READS)
@pytest.mark.parametrize("query", QUERIES)
def test_what_cannot_be_read_never_just_ends(
    fitting: Fitting, read_all: Callable[[Find, Query], object], query: Query
) -> None:
    """When a part is damaged, an answer that needs it raises ReadFailed, and the others are as before."""
    fitting.keep("a", "b")
    fitting.settle()
    fitting.keep("c")
    fitting.lose()
    with pytest.raises(ReadFailed):
        read_all(fitting.find, query)
    fitting.keep("v", user="v")
    assert names_of(fitting.find, Query(user_id="v")) == ["v"]


@pytest.mark.parametrize("read_all", READS)
def test_a_find_that_is_cut_off_says_so(fitting: Fitting, read_all: Callable[[Find, Query], object]) -> None:
    """When journal and catalog cannot be read, every answer raises ReadFailed."""
    fitting.keep("a")
    fitting.cut_off()
    with pytest.raises(ReadFailed):
        read_all(fitting.find, Query())


def test_many_threads_share_a_find(fitting: Fitting) -> None:
    """Eight threads that read while actions are kept and settled each see every action once that was kept before."""
    stop = False
    kept: list[str] = []

    def reader(query: Query) -> int:
        reads = 0
        while not stop or reads == 0:
            least = len(kept)
            found = Counter(names_of(fitting.find, query))
            assert set(found.values()) <= {1}
            assert set(found) >= set(kept[:least])
            reads += 1
        return reads

    with ThreadPoolExecutor(8) as threads:
        readers = [threads.submit(reader, query) for query in QUERIES[:4] * 2]
        try:
            for place in range(30):
                fitting.keep(f"{place}")
                kept.append(f"{place}")
                if place % 5 == 4:
                    fitting.settle()
        finally:
            stop = True
        assert all(done.result() for done in readers)
