"""Summaries: used where they can be, right whatever happens to parts, and never needed. See also test_overviews."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from footpath import database, decode
from footpath.errors import ReadFailed
from footpath.find.duckdb import DuckdbFind
from footpath.find.overviews import DuckdbOverviews
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper import expire, forget
from footpath.keeper.flush import flush
from footpath.keeper.merge import merge, runs_of
from footpath.keeper.summarise import Summariser
from footpath.overview import asked
from footpath.query import instant
from footpath.store import forgetting, parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore
from footpath.store.summaries import MOST_PARTS, Summaries, segments

DAY = {"fromTime": ["2026-03-01"], "toTime": ["2026-03-01"]}
PAGE = {"page": ["home"], **DAY}


class Folder:
    """A data folder with its keeper's work and its overviews at hand."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        """Make it."""
        database.prepare(path)
        self.path = path
        self.store = stack.enter_context(closing(LocalStore(path)))
        self.engine = stack.enter_context(parquet.engine(path, memory="100MB"))
        self.summariser = Summariser(Summaries(path), grace_seconds=0, smallest=1)
        self._connection = stack.enter_context(closing(database.connect(path)))

    def append(self, user: str, hour: int, page: str = "home") -> None:
        """Keep a click, a view and a navigation of a user, and put them into a part."""
        click = {"locationX": 1, "locationY": 1, "pageWidth": 10, "pageHeight": 10}
        actions = [
            {"type": "CLICK", "properties": {"page": page, **click}},
            {"type": "VIEW", "properties": {"page": page}},
            {"type": "NAVIGATE", "properties": {"pageFrom": page, "pageTo": "inventory"}},
        ]
        time = f"2026-03-{1 + hour // 24:02}T{hour % 24:02}:07:00Z"
        body = {"userId": user, "sessionId": "s", "actions": [{"time": time, **action} for action in actions]}

        async def go() -> None:
            journal = SqliteJournal(self.path, max_actions=10**9, max_waiting_bytes=10**9)
            await journal.append(decode.read(json.dumps(body).encode()).entries)
            await journal.close()

        asyncio.run(go())
        while flush(self._connection, self.engine, self.store, 10**6):
            pass

    def sum_up(self, *, anew: bool = False) -> int:
        """Make all summaries; how many actions that took. `anew` is as a keeper that has just started."""
        rows = 0
        if anew:
            self.summariser = Summariser(Summaries(self.path), grace_seconds=0, smallest=1)
        while step := self.summariser.step(self.engine, self.store, self.store.live()):
            rows += step
        return rows

    def forget(self, user: str) -> None:
        """Forget a user."""
        forgetting.ask(self._connection, user, before=None, refuse_days=None)
        forget.finish(self._connection, self.engine, self.store, flush_actions=10**6)

    def overviews(self) -> list[Any]:
        """Counts, clicks and flows of the day, as a server tells them that has just started."""
        with closing(DuckdbFind(self.path, memory="100MB", read_seconds=60)) as find:
            overviews = DuckdbOverviews(find)
            return [
                to_builtins(told)
                for told in (
                    overviews.counts(asked.counts_of(DAY)),
                    overviews.clicks(asked.clicks_of(PAGE)),
                    overviews.flows(asked.flows_of(DAY)),
                )
            ]

    def files(self) -> list[Path]:
        """The files of summaries."""
        return sorted((self.path / "summaries").iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """One with three runs of a part each, all summed up."""
    with ExitStack() as stack:
        made = Folder(tmp_path / "foot path [1]", stack)
        for hour, user in enumerate(["a", "b", "VICTIM"]):
            made.append(user, hour, page="home" if user != "VICTIM" else "page-of-VICTIM")
        assert made.sum_up() == 9
        yield made


def test_whole_days_are_told_without_the_parts(folder: Folder) -> None:
    """Overviews of a whole day are told by summaries alone; where a bucket is cut, the parts are read."""
    before = folder.overviews()
    for part in folder.store.live():
        folder.store.path(part).unlink()
    assert folder.overviews() == before
    with closing(DuckdbFind(folder.path, memory="100MB", read_seconds=60)) as find, pytest.raises(ReadFailed):
        DuckdbOverviews(find).counts(asked.counts_of({"fromTime": ["2026-03-01T00:05:00Z"], "toTime": ["2026-03-02"]}))


def test_what_came_later_is_added(folder: Folder) -> None:
    """An action that came after the summaries counts beside what they tell."""
    before = folder.overviews()
    folder.append("c", 5)
    counts, clicks, flows = folder.overviews()
    assert len(counts["counts"]) == len(before[0]["counts"]) + 1
    assert clicks["clicks"] == before[1]["clicks"] + 1
    assert flows["flows"][0] == {"from": "home", "to": "inventory", "count": 3}


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_summary_is_not_used(folder: Folder, how: str) -> None:
    """When summaries are changed on disk or gone, the answers are the same, and the next keeper makes them anew."""
    before = folder.overviews()
    for file in folder.files():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        if how == "gone":
            file.unlink()
        else:
            file.write_bytes(content if how == "flipped" else content[:-9])
    assert folder.overviews() == before
    assert folder.sum_up(anew=True) == 9
    assert len(folder.files()) == 3


def test_a_merge_changes_no_answer(folder: Folder) -> None:
    """After a merge the old summaries go, new ones come, and the answers are the same all the way."""
    before, old = folder.overviews(), folder.files()
    list(merge(folder.engine, folder.store, runs_of(folder.store.live()), 10**6))
    assert folder.overviews() == before
    assert folder.sum_up() == 9
    assert folder.overviews() == before
    assert not set(folder.files()) & set(old)


def test_old_summaries_outlive_the_reads_that_may_want_them(folder: Folder) -> None:
    """The summary of a segment that is live no more stays for the grace period."""
    folder.summariser.grace_seconds = 60
    old = folder.files()
    list(merge(folder.engine, folder.store, runs_of(folder.store.live()), 10**6))
    folder.sum_up()
    assert set(old) < set(folder.files())


def test_forgetting_reaches_summaries(folder: Folder) -> None:
    """When a user is forgotten, no summary holds what they did, nor do the overviews; those of others stay."""

    def holding() -> list[Path]:
        rows = "SELECT * FROM read_parquet($file)"
        return [
            file
            for file in folder.files()
            if "VICTIM" in repr(folder.engine.execute(rows, {"file": parquet.pattern(file)}).fetchall())
        ]

    assert len(holding()) == 1
    folder.forget("VICTIM")
    assert holding() == []
    assert len(folder.files()) == 2
    assert [flow["count"] for flow in folder.overviews()[2]["flows"]] == [2]


def test_expiring_reaches_summaries(folder: Folder) -> None:
    """When a part is rewritten without what has expired, the answers no longer hold it, from summaries or not."""
    oldest = instant("fromTime", "2026-03-01T01:00:00Z")
    for part in folder.store.live():
        if part.time_min < oldest:
            expire.rewrite(folder.engine, folder.store, part, oldest)
    without = folder.overviews()
    assert [count["time"] for count in without[0]["counts"]] == ["2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z"]
    assert folder.sum_up() == 0
    assert folder.overviews() == without
    assert len(folder.files()) == 2


def test_a_damaged_part_is_left_out(folder: Folder) -> None:
    """A segment with a damaged part gets no summary, is not tried again, and does not keep others from theirs."""
    folder.append("c", 5)
    folder.append("d", 6)
    damaged = folder.store.live()[-2]
    folder.store.path(damaged).write_bytes(b"damaged")
    assert folder.sum_up() == 6
    assert len(folder.files()) == 4


def test_a_segment_is_of_one_run_and_bounded() -> None:
    """Segments hold every part once, of one run each, at most so many; one part less changes one or two of them."""
    parts = [part(run, place) for run in (1, 2) for place in range(300)]
    found = segments(parts)
    assert [one for segment in found for one in segment.parts] == parts
    assert all(len({one.run for one in segment.parts}) == 1 for segment in found)
    assert max(len(segment.parts) for segment in found) <= MOST_PARTS
    assert len(found) > 8
    names = {segment.name for segment in found}
    for gone in (0, 150, 299):
        left = {segment.name for segment in segments([*parts[:gone], *parts[gone + 1 :]])}
        assert len(names - left) <= 3


def part(run: int, place: int) -> Part:
    """A part of a run; its id is as if drawn."""
    number = (run * 1000 + place) * 2_654_435_761 % 2**32
    return Part(f"{number:08x}{place:024x}", run, f"{place:04}", f"{place:04}", 0, 1, 1, 2, 2, 100, "")


def test_nothing_else_is_left_in_the_folder(folder: Folder) -> None:
    """The folder holds one whole summary for each live segment, and nothing else; a left piece is swept."""
    (folder.path / "summaries" / "left.tmp").write_bytes(b"x")
    assert folder.sum_up(anew=True) == 0
    made = Summaries(folder.path).found()
    assert sorted(made.values()) == folder.files()
    assert made.keys() == {segment.name for segment in segments(folder.store.live())}
