"""What `footpath.journal.base` promises of ids of actions and of rejects, kept by every fitting."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from footpath.action import Checked, Entry, RejectRow
from footpath.decode import read
from footpath.errors import JournalFull
from footpath.journal.base import ALL_NEW, Kept, Once
from tests.conformance.journals import Fitting, entries, names_of, once, run


def identified(*ids: str | None, user: str = "u", session: str = "s", bad: int = 0) -> Checked:
    """A request of one batch of actions that have these ids, and are named like them, and of some bad ones."""
    actions: list[object] = [
        {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {"name": f"{name}"}, "id": name}
        for name in ids
    ]
    actions += [{"time": "yesterday", "type": "CLICK", "place": place} for place in range(bad)]
    return read(json.dumps({"userId": user, "sessionId": session, "actions": actions}).encode())


def known(*ids: str | None, user: str = "u", session: str = "s") -> list[Entry]:
    """The entries of `identified`."""
    return identified(*ids, user=user, session=session).entries


def rejects(number: int, size: int = 0) -> list[RejectRow]:
    """Some rejects of about this size."""
    return [RejectRow("u", "s", "bad_time", "no time", size, b"%06d" % place + b"x" * size) for place in range(number)]


def test_an_action_that_comes_again_is_left_out(fitting: Fitting, tmp_path: Path) -> None:
    """An action whose user and id were kept is a duplicate in any session, also after a flush and a restart."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        assert await journal.append(known("a", "b")) == ALL_NEW
        assert await journal.append(known("b", "c", "a", session="other")) == Kept(duplicates=2)
        fitting.empty(tmp_path)
        await journal.close()
        journal = fitting.open(tmp_path)
        assert await journal.append(known("c", "d")) == Kept(duplicates=1)
        assert await journal.append(known("a", "b", "c", "d")) == Kept(duplicates=4)
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["d"]


def test_an_id_is_its_users_own(fitting: Fitting, tmp_path: Path) -> None:
    """The same id of another user is another action, whatever the two are when written together; so is another case."""
    pairs = [("u", "ab"), ("ua", "b"), ("uab", ""), ("U", "ab"), ("u", "AB"), ("u\0", "ab"), ("u", "\0ab"), ("u", "é")]
    pairs += [("u", "e\u0301")]

    async def work() -> None:
        journal = fitting.open(tmp_path)
        for user, name in pairs:
            assert await journal.append(known(name or "x", user=user)) == ALL_NEW
        await journal.close()

    run(work)
    assert len(fitting.kept(tmp_path)) == len(pairs)


def test_without_an_id_nothing_is_a_duplicate(fitting: Fitting, tmp_path: Path) -> None:
    """Actions without an id are all kept, also beside a duplicate of the same batch."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        for _ in range(2):
            assert await journal.append(entries("a", "a")) == ALL_NEW
        assert await journal.append(known(None, "b", None)) == ALL_NEW
        assert await journal.append(known(None, "b", None)) == Kept(duplicates=1)
        await journal.close()

    run(work)
    assert Counter(names_of(fitting.kept(tmp_path))) == {"a": 4, "None": 4, "b": 1}


def test_twice_in_one_append_is_kept_once(fitting: Fitting, tmp_path: Path) -> None:
    """Of actions with one id in one append, in one batch or several, the first is kept."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        batches = known("a", "b", "a", "a") + known("c", "b", session="t") + known("a", session="t")
        assert await journal.append(batches) == Kept(duplicates=4)
        await journal.close()

    run(work)
    assert [(row.session, row.actions) for row in fitting.kept(tmp_path)] == [("s", ["a", "b"]), ("t", ["c"])]


def test_in_the_same_moment_each_is_kept_once(fitting: Fitting, tmp_path: Path) -> None:
    """Of ids that many appends have at once, over two openings of the journal, each is kept once; the rest counts."""

    async def work() -> None:
        journals = [fitting.open(tmp_path), fitting.open(tmp_path)]
        names = [[f"{place + more}" for more in range(10)] for place in range(0, 300, 3)]
        waiting = [journals[place % 2].append(known(*some)) for place, some in enumerate(names * 2)]
        found = await asyncio.gather(*waiting)
        kept = names_of(fitting.kept(tmp_path))
        assert sorted(kept) == sorted({name for some in names for name in some})
        assert len(kept) + sum(one.duplicates for one in found) == 2 * 10 * len(names)
        for journal in journals:
            await journal.close()

    run(work)


def test_thousands_in_one_append(fitting: Fitting, tmp_path: Path) -> None:
    """Ten thousand ids in one append, and again with one that is new, are each kept once."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        names = [f"{place}" for place in range(10_000)]
        assert await journal.append(known(*names[:-1])) == ALL_NEW
        assert await journal.append(known(*names)) == Kept(duplicates=9_999)
        await journal.close()

    run(work)
    assert len(set(names_of(fitting.kept(tmp_path)))) == 10_000


def test_a_replay_tells_the_same_duplicates(fitting: Fitting, tmp_path: Path) -> None:
    """A key's answer holds what was found when its request was kept, also for one that comes in the same moment."""

    def counted(key: str) -> Once:
        return Once(key, b"body".ljust(32), lambda kept: b"%d duplicates" % kept.duplicates)

    async def work() -> None:
        journal = fitting.open(tmp_path)
        assert await journal.append(known("a")) == ALL_NEW
        found = await asyncio.gather(
            journal.append(known("a", "b"), counted("k")),
            journal.append(known("a", "b"), counted("k")),
            journal.append(known("a", "b"), counted("l")),
        )
        assert tuple(found) == (Kept(duplicates=1), Kept(b"1 duplicates"), Kept(duplicates=2))
        assert await journal.append(known("a", "b"), counted("k")) == Kept(b"1 duplicates")
        assert await journal.append(known("a", "b"), counted("l")) == Kept(b"2 duplicates")
        await journal.close()

    run(work)


def test_what_was_not_kept_is_not_known(fitting: Fitting, tmp_path: Path) -> None:
    """Ids of an append that was refused, or whose key was used before, are new when they come again."""

    async def work() -> None:
        journal = fitting.open(tmp_path, max_actions=1)
        await journal.append(entries("x", "y"), once("k"))
        for _ in range(2):
            with pytest.raises(JournalFull):
                await journal.append(known("a"))
        fitting.empty(tmp_path)
        assert (await journal.append(known("b"), once("k"))).earlier is not None
        assert await journal.append(known("a", "b")) == ALL_NEW
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["a", "b"]


def test_rejects_are_kept_with_their_request(fitting: Fitting, tmp_path: Path) -> None:
    """Rejects are durable when the append returns, with or without entries, once for each key."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        some = identified("a", bad=2)
        assert await journal.append(some.entries, None, some.reject_rows) == ALL_NEW
        assert fitting.rejects(tmp_path) == some.reject_rows
        only = identified(bad=1, user="v")
        for _ in range(2):
            await journal.append(only.entries, once("k"), only.reject_rows)
        assert fitting.rejects(tmp_path) == [*some.reject_rows, *only.reject_rows]
        assert await journal.append([], None, only.reject_rows) == ALL_NEW
        await journal.close()
        assert [row.user_id for row in fitting.rejects(tmp_path)] == ["u", "u", "v", "v"]

    run(work)


def test_the_oldest_rejects_make_room(fitting: Fitting, tmp_path: Path) -> None:
    """Of more rejects than there is room for the newest are kept, also of one append, and none where there is none."""

    async def work() -> None:
        journal = fitting.open(tmp_path, max_reject_bytes=50_000)
        for place in range(20):
            await journal.append([], None, rejects(10, 1_000 + place))
        kept = fitting.rejects(tmp_path)
        assert 30 <= len(kept) <= 50
        assert kept == [row for place in range(20) for row in rejects(10, 1_000 + place)][-len(kept) :]
        await journal.append([], None, rejects(5_000))
        kept = fitting.rejects(tmp_path)
        assert 150 <= len(kept) <= 250
        assert kept == rejects(5_000)[-len(kept) :]
        await journal.close()
        journal = fitting.open(tmp_path, max_reject_bytes=0)
        await journal.append([], None, rejects(5))
        assert fitting.rejects(tmp_path) == []
        await journal.close()

    run(work)


def test_rejects_of_a_refused_append_are_not_kept(fitting: Fitting, tmp_path: Path) -> None:
    """A journal that is full keeps neither the entries nor the rejects of an append."""

    async def work() -> None:
        journal = fitting.open(tmp_path, max_actions=1)
        await journal.append(entries("x", "y"))
        with pytest.raises(JournalFull):
            await journal.append(entries("z"), None, rejects(3))
        await journal.close()

    run(work)
    assert fitting.rejects(tmp_path) == []


def test_what_a_forgotten_user_sends_is_refused(fitting: Fitting, tmp_path: Path) -> None:
    """While a user has a tombstone neither entries, ids nor rejects of theirs are kept, by any journal, also by key."""

    async def work() -> None:
        journals = [fitting.open(tmp_path), fitting.open(tmp_path)]
        both = entries("u", user="gone") + entries("v", user="stays")
        for journal in journals:
            assert await journal.append(both) == ALL_NEW
        fitting.bury(tmp_path, "gone", 1)
        refused = Kept(refused=frozenset({0}))
        for place, journal in enumerate(journals):
            key = Once(f"{place}", b"body".ljust(32), lambda kept: b"%d" % len(kept.refused))
            assert await journal.append(both, key) == refused
            assert await journal.append(both, key) == Kept(b"1")
            late = identified("id", user="gone", bad=1)
            assert await journal.append(late.entries, None, late.reject_rows) == refused
            assert await journal.append(entries("x", user="Gone"), None, rejects(1)) == ALL_NEW
        fitting.bury(tmp_path, "gone", None)
        assert await journals[0].append(known("id", user="gone")) == ALL_NEW
        fitting.bury(tmp_path, "gone", 1e-9)
        await asyncio.sleep(0.001)
        assert await journals[1].append(entries("over", user="gone")) == ALL_NEW
        for journal in journals:
            await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == [*"uvuvvxvx", "id", "over"]
    assert [row.user_id for row in fitting.rejects(tmp_path)] == ["u", "u"]
