"""What a find gives is what a list comprehension gives over the same actions, wherever they are kept.

Random actions go into a folder, some into the journal only, others through flushes and merges into parts of a few rows;
random queries are answered from it in every shape, with and without pages.
"""

import asyncio
import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footpath import database, decode
from footpath.action import MAX_DEPTH, MAX_MICROS, MIN_MICROS, TYPE_BITS
from footpath.find import duckdb as finding
from footpath.find import slices
from footpath.find import view as viewing
from footpath.find.answer import page
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.journal import hot
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, plan, runs_of
from footpath.query import Query, parse, rfc3339
from footpath.store import parquet
from footpath.store.local import LocalStore
from tests.conformance.model import matching
from tests.proof import publish, times

PART_ACTIONS = 5
EXAMPLES = times("EXAMPLES", 0)  # queries, and values of properties, in `make torture`
QUERIES = (10, 40) if EXAMPLES else (2, 4)  # over one folder, which takes as long to make as ten take to be answered
VALUES = (50, 100) if EXAMPLES else (1, 20)  # of properties, likewise
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
IDS = [
    "a",
    "A",
    "á",
    "a\u0301",
    "a\x00",
    "a\x00b",
    " ",
    "' OR 1=1--",
    "[a]*",
    "x" * 256,
    "x" * 255 + "y",
    "\uffff",
    "😀",
]
EDGES = [MIN_MICROS, MIN_MICROS + 1, -1, 0, 1, 999_999, 1_540_092_000_000_000, MAX_MICROS - 1, MAX_MICROS]
OFFSETS = [0, -360, 60, 120, 345, -1, 1, 1439, -1439]  # an hour that is there twice differs in its offset alone

ids = st.sampled_from(IDS) | st.text(min_size=1, max_size=3)
instants = st.sampled_from(EDGES) | st.integers(MIN_MICROS, MAX_MICROS)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@dataclass(frozen=True)
class Kept:
    """An action that was kept. Its property n is its seq."""

    user: str
    session: str
    time: int
    offset: int
    type: str
    value: object
    id: str | None
    seq: int

    def wire(self) -> dict[str, Any]:
        """The action as it is sent."""
        return {
            "time": moment(self.time, self.offset).isoformat(),
            "type": self.type,
            "properties": {"n": self.seq, "value": self.value},
        } | ({} if self.id is None else {"id": self.id})


def moment(time: int, offset: int) -> datetime:
    """An instant as a clock with this offset shows it."""
    return (EPOCH + timedelta(microseconds=time)).astimezone(timezone(timedelta(minutes=offset)))


@st.composite
def actions(draw: st.DrawFn) -> tuple[int, int, str, object, str | None]:
    """What is free in an action: time, offset, type, a value among its properties, id."""
    time, offset = draw(instants), draw(st.sampled_from(OFFSETS))
    if not MIN_MICROS <= time + offset * 60_000_000 <= MAX_MICROS:
        offset = 0
    return time, offset, draw(st.sampled_from(sorted(TYPE_BITS))), draw(json_values), draw(st.none() | ids)


Step = tuple[str, str, list[tuple[int, int, str, object, str | None]]] | Literal["flush", "merge"]
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(ids, st.sampled_from(["s", "S", "t"]) | ids, st.lists(actions(), min_size=1, max_size=4))
    | st.sampled_from(["flush", "merge"]),
    max_size=14,
)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """A query without limit, with any filters."""
    first, last = sorted([draw(instants), draw(instants)])
    in_range = draw(st.booleans())
    return Query(
        user_id=draw(st.none() | st.none() | ids),
        session_id=draw(st.none() | st.none() | st.sampled_from(["s", "S", "t"]) | ids),
        types=tuple(sorted(draw(st.sets(st.sampled_from(sorted(TYPE_BITS)), max_size=2)))),
        time_from=first if in_range else None,
        time_to=last if in_range else None,
        order=draw(st.sampled_from(["asc", "desc"])),
    )


@dataclass
class World:
    """A data folder, and the list of what was kept in it."""

    folder: Path
    engine: duckdb.DuckDBPyConnection
    store: LocalStore
    find: DuckdbFind
    kept: list[Kept] = field(default_factory=list)
    flush_actions: int = PART_ACTIONS

    def go(self, plan_: list[Step]) -> None:
        """Append batches, flush the oldest few, and merge all runs, in the order of the plan."""
        for flushing, group in _groups(plan_):
            if flushing == "flush":
                with ExitStack() as stack:
                    connection = database.connect(self.folder)
                    stack.callback(connection.close)
                    flush(connection, self.engine, self.store, self.flush_actions)
            elif flushing == "merge":
                runs = runs_of(self.store.live())
                chosen = plan(runs, PART_ACTIONS) or runs
                if len(chosen) > 1:
                    list(merge(self.engine, self.store, chosen, PART_ACTIONS))
            else:
                self._append(group)

    def _append(self, batches: list[Any]) -> None:
        async def append() -> None:
            journal = SqliteJournal(self.folder, max_actions=10**9, max_waiting_bytes=10**9)
            for user, session, given_actions in batches:
                used = {one.id for one in self.kept if one.user == user and one.id is not None}
                batch: list[Kept] = []
                for *action, action_id in given_actions:
                    unique = None if action_id in used else action_id  # a second of its user would be left out
                    used.add(action_id)
                    seq = len(self.kept) + len(batch) + 1
                    batch.append(Kept(user, session, *action, unique, seq))  # type: ignore[call-arg]  # a starred list
                body = {"userId": user, "sessionId": session, "actions": [one.wire() for one in batch]}
                checked = decode.read(json.dumps(body).encode())
                assert checked.rejects == []
                kept = await journal.append(checked.entries)
                assert kept.duplicates == 0
                self.kept += batch
            await journal.close()

        asyncio.run(append())

    def matching(self, query: Query) -> list[Kept]:
        """What a query asks for, in its order of time."""
        found = matching(self.kept, query)
        return found if query.order == "asc" else found[::-1]

    def paths(self, query: Query) -> list[Kept]:
        """What a query asks for, in the order of paths."""
        found = self.matching(query)
        sign = 1 if query.order == "asc" else -1
        first: dict[tuple[str, str], int] = {}
        for one in found:
            first.setdefault((one.user, one.session), sign * one.time)
        return sorted(
            found,
            key=lambda one: (one.user, first[one.user, one.session], one.session, sign * one.time, sign * one.seq),
        )


def _groups(plan_: list[Step]) -> Iterator[tuple[str, list[Any]]]:
    batches: list[Any] = []
    for step in plan_:
        if isinstance(step, str):
            if batches:
                yield "append", batches
                batches = []
            yield step, []
        else:
            batches.append(step)
    if batches:
        yield "append", batches


@contextmanager
def world(lookup_rows: int = 3) -> Iterator[World]:
    """A new folder, read in windows, chunks and slices of a few rows, hot ones too, and short users in the short way.

    Those are users of up to `lookup_rows`.
    """
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(finding, "WINDOW_ROWS", 8)
        patch.setattr(finding, "LOOKUP_ROWS", lookup_rows)
        patch.setattr(viewing, "FETCH_ROWS", 2)
        patch.setattr(slices, "SLICE_BYTES", 300)
        patch.setattr(hot, "READ_BYTES", 100 * lookup_rows)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foot path [1]")))
        database.prepare(folder)
        store = LocalStore(folder)
        stack.callback(store.close)
        engine = stack.enter_context(parquet.engine(folder, memory="256MB"))
        find = DuckdbFind(folder, memory="256MB", read_seconds=60)
        stack.callback(find.close)
        yield World(folder, engine, store, find)


def check_action(one: Kept, action: dict[str, Any]) -> None:
    """That an answered action is the one that was sent: the same JSON values, instant and offset."""
    assert repr(action["properties"]) == repr({"n": one.seq, "value": one.value})
    assert datetime.fromisoformat(action["time"]).isoformat() == moment(one.time, one.offset).isoformat()
    assert (action["type"], action.get("id")) == (one.type, one.id)


def check(here: World, query: Query) -> None:
    """That every shape of the answer to a query without limit is right."""
    expected = here.matching(query)
    last_seq, chunks = here.find.rows(query, Shape.LINES)
    assert last_seq == len(here.kept)
    lines = [json.loads(row[0]) for row in chain.from_iterable(chunks)]
    assert [(line["userId"], line["sessionId"], line["seq"]) for line in lines] == [
        (one.user, one.session, one.seq) for one in expected
    ]
    for one, line in zip(expected, lines, strict=True):
        check_action(one, line)
    cells = list(chain.from_iterable(here.find.rows(query, Shape.CELLS).rows))
    assert [(cell[0], cell[1], cell[3], cell[5], cell[6]) for cell in cells] == [
        (one.user, one.session, one.type, one.id, one.seq) for one in expected
    ]
    for one, cell in zip(expected, cells, strict=True):
        check_action(one, {"time": cell[2], "type": cell[3], "properties": json.loads(cell[4])} | ({"id": one.id}))
    paths = list(chain.from_iterable(here.find.rows(query, Shape.PATHS).rows))
    ordered = here.paths(query)
    assert [(user, session) for user, session, _ in paths] == [(one.user, one.session) for one in ordered]
    for one, (_, _, action) in zip(ordered, paths, strict=True):
        check_action(one, json.loads(action))
    columns = [row for relation in here.find.columns(query) for row in relation.fetchall()]
    assert [(row[0], row[1], row[3], row[4], row[6], row[7]) for row in columns] == [
        (one.user, one.session, one.offset, one.type, one.id, one.seq) for one in expected
    ]


def test_every_shape_is_the_list_comprehension() -> None:
    """Any filters over any mix of journal and parts give, in every shape, what a list comprehension gives, in order."""
    tried: Counter[str] = Counter()

    @given(steps, st.lists(queries(), min_size=QUERIES[0], max_size=QUERIES[1]), st.sampled_from([1, 1_000]))
    @settings(max_examples=max(60, EXAMPLES // (2 * QUERIES[0])))
    def compare(given_steps: list[Step], given_queries: list[Query], lookup_rows: int) -> None:
        with world(lookup_rows) as here:
            here.go(given_steps)
            for query in [*given_queries, Query()]:
                check(here, query)
                tried["queries"] += 1
            tried["folders"] += 1

    compare()
    publish("filters", wrong=0, **tried)


def test_properties_come_back_the_same() -> None:
    """Any JSON in properties comes back as the same JSON, out of the journal and out of a part."""
    tried: Counter[str] = Counter()

    @given(st.lists(json_values, min_size=VALUES[0], max_size=VALUES[1]))
    @settings(max_examples=max(20, EXAMPLES // VALUES[0]))
    def compare(values: list[object]) -> None:
        with world() as here:
            here.flush_actions = VALUES[1] // 4
            here.go([("u", "s", [(0, 0, "CLICK", value, None) for value in values])])
            check(here, Query(user_id="u"))
            here.go(["flush"] * 4)
            check(here, Query(user_id="u"))
            tried["values"] += len(values)

    compare()
    publish("properties", wrong=0, **tried)


@given(steps, st.lists(steps, max_size=3), queries(), st.integers(1, 6), st.sampled_from(["json", "ndjson", "csv"]))
@settings(max_examples=40)
def test_pages_neither_skip_nor_repeat(
    given_steps: list[Step], meanwhile: list[list[Step]], query: Query, limit: int, form: str
) -> None:
    """The pages of a query together are what it found at first, each full but the last, whatever is done in between."""
    first = MIN_MICROS if query.time_from is None else query.time_from
    last = MAX_MICROS if query.time_to is None else query.time_to
    parameters = {"limit": str(limit), "order": query.order, "fromTime": rfc3339(first), "toTime": rfc3339(last)}
    if query.user_id is not None:
        parameters["userId"] = query.user_id
    if query.session_id is not None:
        parameters["sessionId"] = query.session_id
    if query.types:
        parameters["logType"] = query.types[0]
    with world() as here:
        here.go(given_steps)
        expected = [one.seq for one in here.matching(parse(urlencode(parameters).encode()))]
        found: list[int] = []
        while True:
            body, cursor = page(here.find, parse(urlencode(parameters).encode()), form)
            seqs = seqs_of(body.decode(), form)
            wanted = expected[len(found) : len(found) + limit]
            assert sorted(seqs) == sorted(wanted) if form == "json" else seqs == wanted
            found += seqs
            if cursor is None:
                break
            assert len(seqs) == limit
            parameters["cursor"] = cursor
            if meanwhile:
                here.go(meanwhile.pop())
        assert len(found) == len(expected)


def seqs_of(body: str, form: str) -> list[int]:
    """The seqs of the actions of a page, in its order."""
    if form == "json":
        return [action["properties"]["n"] for batch in json.loads(body) for action in batch["actions"]]
    if form == "csv":
        return [int(row["seq"]) for row in csv.DictReader(io.StringIO(body, newline=""))]
    return [json.loads(line)["seq"] for line in body.split("\n")[:-1]]


@given(st.lists(st.integers(0, 12), min_size=20, max_size=40), st.integers(0, 12), st.sampled_from(["asc", "desc"]))
@settings(max_examples=12)
def test_windows_cut_where_actions_are(times: list[int], some: int, order: Literal["asc", "desc"]) -> None:
    """When many actions share few instants, so that windows begin and end on them, each is found once."""
    with world() as here:
        for place in range(0, len(times), PART_ACTIONS):
            group = [(time, 0, "CLICK", None, None) for time in times[place : place + PART_ACTIONS]]
            here.go([("u", f"{place}", group), "flush"])  # type: ignore[list-item]
        for query in (Query(order=order), Query(time_from=some, time_to=MAX_MICROS), Query(time_from=0, time_to=some)):
            check(here, query)


@pytest.mark.parametrize("flushes", [0, 1])
@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_the_deepest_properties_come_back(flushes: int, opening: str) -> None:
    """Properties nested as deep as is allowed come back the same, out of the journal and out of a part."""
    depth = MAX_DEPTH - 2
    value = json.loads(opening * depth + "1" + ("]" if opening == "[" else "}") * depth)
    with world() as here:
        here.go([("u", "s", [(0, 0, "CLICK", value, None)]), *["flush"] * flushes])  # type: ignore[list-item]
        check(here, Query(user_id="u"))


@pytest.mark.parametrize(
    "text", ["9" * 4_300, "-" + "9" * 4_299, "1e308", "5e-324", "-0.0", "1e22", "12345678901234568.0"]
)
def test_numbers_at_the_edge_come_back(text: str) -> None:
    """The largest integer that is accepted, and doubles at the ends of their range, come back the same."""
    with world() as here:
        here.go([("u", "s", [(0, 0, "CLICK", json.loads(text), None)])])
        check(here, Query(user_id="u"))
        here.go(["flush"])
        check(here, Query(user_id="u"))
