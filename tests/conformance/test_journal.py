"""What `footpath.journal.base` promises, kept by every fitting. Ids of actions and rejects: see `test_journal_once`."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from footpath.errors import JournalFailed, JournalFull, KeyReused
from footpath.journal.base import ALL_NEW, Journal, Kept
from tests.conformance.journals import Fitting, entries, names_of, once, run


def test_what_was_appended_is_kept_in_order(fitting: Fitting, tmp_path: Path) -> None:
    """Each append's batches are kept with their ids and actions, with rising seqs, one for each action."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        for place in range(5):
            batches = entries(f"{place}a", f"{place}b", user="v") + entries(f"{place}c", size=3_000)
            assert await journal.append(batches) == ALL_NEW
            assert len(fitting.kept(tmp_path)) == 2 * (place + 1)
        await journal.close()

    run(work)
    rows = fitting.kept(tmp_path)
    assert [(row.user, row.session) for row in rows] == [("v", "s"), ("u", "s")] * 5
    assert names_of(rows) == [f"{place}{letter}" for place in range(5) for letter in "abc"]
    for row, following in pairwise(rows):
        assert following.seq >= row.seq + len(row.actions)


def test_appends_at_once_are_each_kept_once(fitting: Fitting, tmp_path: Path) -> None:
    """Of 500 appends in the same moment, over two openings of the journal, each is kept once with seqs of its own."""

    async def work() -> None:
        journals = [fitting.open(tmp_path), fitting.open(tmp_path)]
        waiting = [journals[place % 2].append(entries(f"{place}a", f"{place}b")) for place in range(500)]
        assert set(await asyncio.gather(*waiting)) == {ALL_NEW}
        for journal in journals:
            await journal.close()

    run(work)
    rows = fitting.kept(tmp_path)
    assert sorted(row.actions for row in rows) == sorted([f"{place}a", f"{place}b"] for place in range(500))
    given = [seq for row in rows for seq in range(row.seq, row.seq + len(row.actions))]
    assert len(set(given)) == 1_000


def test_nothing_to_append_is_kept_at_once(fitting: Fitting, tmp_path: Path) -> None:
    """An append without entries succeeds and keeps no row."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        assert await journal.append([]) == ALL_NEW
        assert await journal.append([], once("k", answer=b"nothing")) == ALL_NEW
        assert await journal.append([], once("k", answer=b"other")) == Kept(b"nothing")
        await journal.close()

    run(work)
    assert fitting.kept(tmp_path) == []


def test_a_key_that_comes_twice_appends_once(fitting: Fitting, tmp_path: Path) -> None:
    """A key and digest that were kept before append nothing and give the first answer, also after a restart."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        assert await journal.append(entries("a"), once("k", answer=b"first")) == ALL_NEW
        assert await journal.append(entries("a"), once("k", answer=b"second")) == Kept(b"first")
        await journal.close()
        journal = fitting.open(tmp_path)
        assert await journal.append(entries("a"), once("k", answer=b"third")) == Kept(b"first")
        fitting.empty(tmp_path)
        assert await journal.append(entries("a"), once("k", answer=b"fourth")) == Kept(b"first")
        assert await journal.append(entries("b"), once("K")) == ALL_NEW
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["b"]


def test_a_key_that_comes_twice_in_the_same_moment_appends_once(fitting: Fitting, tmp_path: Path) -> None:
    """Of appends with one key that wait together, one is kept, and the others get its answer."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        waiting = [journal.append(entries(f"{place}"), once("k", answer=b"%d" % place)) for place in range(20)]
        answers = await asyncio.gather(*waiting)
        await journal.close()
        (kept,) = names_of(fitting.kept(tmp_path))
        assert answers.count(ALL_NEW) == 1
        assert answers.index(ALL_NEW) == int(kept)
        assert {answer.earlier for answer in answers if answer != ALL_NEW} == {kept.encode()}

    run(work)


def test_a_key_with_another_body_is_refused(fitting: Fitting, tmp_path: Path) -> None:
    """A key that was kept with another digest raises KeyReused and keeps nothing; appends beside it are kept."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        assert await journal.append(entries("a"), once("k")) == ALL_NEW
        answers = await asyncio.gather(
            journal.append(entries("b")),
            journal.append(entries("c"), once("k", body=b"other")),
            journal.append(entries("d"), once("l", body=b"one")),
            journal.append(entries("e"), once("l", body=b"two")),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Kept, KeyReused, Kept, KeyReused]
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["a", "b", "d"]


def test_too_much_in_the_journal_is_refused_whole(fitting: Fitting, tmp_path: Path) -> None:
    """A journal that holds its limit raises JournalFull and keeps nothing, also no key, until it has been emptied."""

    async def work() -> None:
        journal = fitting.open(tmp_path, max_actions=4)
        await journal.append(entries("a", "b"))
        await journal.append(entries("c", "d", "e"))
        for _ in range(2):
            with pytest.raises(JournalFull):
                await journal.append(entries("f"), once("k"))
        assert names_of(fitting.kept(tmp_path)) == list("abcde")
        assert journal.trouble() is None
        fitting.empty(tmp_path)
        assert await journal.append(entries("f"), once("k")) == ALL_NEW
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["f"]


def test_too_much_that_waits_is_refused_at_once(fitting: Fitting, tmp_path: Path) -> None:
    """When more bytes wait than are allowed, further appends raise JournalFull, and those that wait are kept."""

    async def work() -> None:
        journal = fitting.open(tmp_path, max_waiting_bytes=1_000)
        waiting = [journal.append(entries(f"{place}", size=600)) for place in range(20)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        kept = [place for place, answer in enumerate(answers) if answer == ALL_NEW]
        assert 1 <= len(kept) < 20
        assert all(isinstance(answer, JournalFull) for answer in answers if answer != ALL_NEW)
        assert names_of(fitting.kept(tmp_path)) == [f"{place}" for place in kept]
        assert await journal.append(entries("later", size=600)) == ALL_NEW
        await journal.close()

    run(work)


def test_seqs_are_never_given_again(fitting: Fitting, tmp_path: Path) -> None:
    """After the journal was emptied and opened again, its next seq is higher than any before."""
    highest = 0

    async def append(name: str) -> None:
        journal = fitting.open(tmp_path)
        await journal.append(entries(name, name))
        await journal.close()

    for place in range(4):
        asyncio.run(append(f"{place}"))
        (row,) = fitting.kept(tmp_path)
        assert row.seq > highest
        highest = row.seq + 1
        fitting.empty(tmp_path)
        assert fitting.kept(tmp_path) == []


def test_closing_finishes_what_was_appended(fitting: Fitting, tmp_path: Path) -> None:
    """Appends that wait when the journal is closed are kept and answered."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        waiting = [asyncio.ensure_future(journal.append(entries(f"{place}"))) for place in range(50)]
        await journal.close()
        assert [task.result() for task in waiting] == [ALL_NEW] * 50

    run(work)
    assert len(fitting.kept(tmp_path)) == 50


def test_whoever_stops_waiting_harms_nobody(fitting: Fitting, tmp_path: Path) -> None:
    """An append whose caller has gone is kept whole or not at all, and those beside it are kept and answered."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        waiting = [asyncio.ensure_future(journal.append(entries(f"{place}a", f"{place}b"))) for place in range(40)]
        for gone in waiting[::2]:
            gone.cancel()
        assert await asyncio.gather(*waiting[1::2]) == [ALL_NEW] * 20
        assert await journal.append(entries("after")) == ALL_NEW
        await journal.close()

    run(work)
    rows = fitting.kept(tmp_path)
    assert {row.actions[0] for row in rows} >= {f"{place}a" for place in range(1, 40, 2)} | {"after"}
    assert all(len(row.actions) == 2 for row in rows if row.actions != ["after"])


async def until_mended(journal: Journal) -> None:
    """Wait until a journal takes appends again."""
    while journal.trouble() is not None:  # noqa: ASYNC110 - a journal has no event to wait for
        await asyncio.sleep(0.05)


def test_a_journal_that_fails_says_so_and_mends_itself(fitting: Fitting, small_disk: Any) -> None:
    """On a full disk appends raise JournalFailed, and with space again they are kept within seconds.

    What was kept before stays readable all the time, and is there once in the end.
    """
    folder = small_disk.path / "data"
    acknowledged: list[str] = []
    offered: list[str] = []

    async def fill(journal: Journal) -> None:
        for place in range(10_000):
            offered.append(f"fill {place}")
            try:
                await journal.append(entries(offered[-1], size=30_000 + place))
            except JournalFailed:
                return
            acknowledged.append(offered[-1])

    async def work() -> None:
        journal = fitting.open(folder)
        await journal.append(entries("before"))
        acknowledged.append("before")
        for cycle in range(2):
            with small_disk.full():
                await fill(journal)
                assert journal.trouble() is not None
                for place in range(3):
                    offered.append(f"refused {cycle} {place}")
                    with pytest.raises(JournalFailed):
                        await journal.append(entries(offered[-1]))
                assert set(acknowledged) <= set(names_of(fitting.kept(folder)))
            await asyncio.wait_for(until_mended(journal), 10)
            await journal.append(entries(f"after {cycle}"))
            acknowledged.append(f"after {cycle}")
        await journal.close()

    run(work)
    found = names_of(fitting.kept(folder))
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found) <= set(acknowledged) | set(offered)


def test_a_journal_that_fails_can_be_closed(fitting: Fitting, small_disk: Any) -> None:
    """A journal is closed while its disk is full, and opened again it holds what was acknowledged."""
    folder = small_disk.path / "data"
    acknowledged: list[str] = []

    async def fill(journal: Journal) -> None:
        while True:
            await journal.append(entries(f"{len(acknowledged)}", size=30_000))
            acknowledged.append(f"{len(acknowledged)}")

    async def work() -> None:
        journal = fitting.open(folder)
        with small_disk.full():
            with pytest.raises(JournalFailed):
                await fill(journal)
            await journal.close()
        journal = fitting.open(folder)
        await journal.append(entries("after"))
        await journal.close()

    run(work)
    found = names_of(fitting.kept(folder))
    assert found[: len(acknowledged)] == acknowledged
    assert found[-1] == "after"
    assert len(found) == len(set(found))
