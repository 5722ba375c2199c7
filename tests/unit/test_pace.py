"""Work of less weight takes what others leave of a process, and a little in any case."""

import time

import pytest

from footpath.web.pace import MOST, Pace


def burn(seconds: float) -> float:
    """Use a processor for so long; how long it took on the wall."""
    began, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < seconds:
        pass
    return time.perf_counter() - began


def test_in_a_process_that_does_nothing_else_it_may_take_half() -> None:
    """After work that took a while, the rest is no longer than the work was, where nothing else runs."""
    pace = Pace(0.05)
    took = burn(0.1)
    pace.spend(took)
    assert pace.rest() == pytest.approx(took / MOST - took, rel=0.3)


def test_in_a_busy_process_it_has_its_least() -> None:
    """Where others take all of the time, the rest makes the work one twentieth of it, what has gone by included."""
    pace = Pace(0.05)
    gone = burn(0.2)
    pace.spend(0.04)
    assert pace.rest() == pytest.approx(0.04 / 0.05 - gone, abs=0.1)


def test_without_work_there_is_no_rest() -> None:
    """Who has spent nothing rests for nothing, and what was spent before counts once."""
    pace = Pace(0.05)
    pace.spend(1.0)
    assert pace.rest() > 0
    assert pace.rest() == 0
