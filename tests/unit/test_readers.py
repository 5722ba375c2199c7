"""The threads that read."""

import asyncio
import os
import sys
import threading

import pytest

from footpath.web.readers import NICENESS, SWITCH_SECONDS, Readers


def niceness() -> int:
    """Of the thread that asks."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux has a priority a thread")
@pytest.mark.parametrize("is_long", [False, True])
def test_readers_give_way(*, is_long: bool) -> None:
    """A step of a read has a lower priority than the thread that answers, which keeps its own."""
    before = niceness()

    async def read() -> int:
        async with Readers(2, 1).place(is_long=is_long) as place:
            return await place.run(niceness)

    assert asyncio.run(read()) == min(19, before + NICENESS)
    assert niceness() == before


def test_the_interpreters_lock_changes_hands_sooner_while_somebody_reads() -> None:
    """The switch interval is short from the first place that is taken to the last that is left, and then as before."""
    usual = sys.getswitchinterval()

    async def read() -> list[float]:
        readers = Readers(2, 2)
        async with readers.place():
            async with readers.place():
                seen = [sys.getswitchinterval()]
            seen.append(sys.getswitchinterval())
        return seen

    assert asyncio.run(read()) == pytest.approx([SWITCH_SECONDS, SWITCH_SECONDS])
    assert sys.getswitchinterval() == usual


def test_long_answers_are_worked_at_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two cores a step of a long answer waits for that of another, and a short read for neither."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    under_way = threading.Event()
    may_end = threading.Event()

    def one() -> None:
        under_way.set()
        assert may_end.wait(10)

    async def read() -> None:
        readers = Readers(4, 4)
        async with (
            readers.place(is_long=True) as first,
            readers.place(is_long=True) as second,
            readers.place() as short,
        ):
            running = first.start(one)
            assert under_way.wait(10)
            behind = second.start(under_way.clear)
            assert await short.run(under_way.is_set), "the second long step ran beside the first"
            assert not behind.running()
            assert not behind.done()
            may_end.set()
            await asyncio.gather(asyncio.wrap_future(running), asyncio.wrap_future(behind))
            assert not under_way.is_set()

    asyncio.run(read())


def test_a_step_apart_waits_for_no_long_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is started apart runs while another long answer is worked at."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    may_end = threading.Event()

    async def read() -> None:
        readers = Readers(4, 4)
        async with readers.place(is_long=True) as first, readers.place(is_long=True) as second:
            running = first.start(may_end.wait, 10)
            await asyncio.wrap_future(second.start_apart(may_end.set))
            assert await asyncio.wrap_future(running)

    asyncio.run(read())
