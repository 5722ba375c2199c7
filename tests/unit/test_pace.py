"""Work of less weight takes what others leave of a process, and a little in any case."""

import pytest

from footpath.web.pace import FREE, MOST, Pace


class Machine:
    """A clock, and a processor that is used as the test says."""

    def __init__(self) -> None:
        """At the beginning of time."""
        self.clock = self.cpu = 0.0

    def go(self, seconds: float, used: float) -> None:
        """Let so much time pass, in which this much of a processor is used."""
        self.clock += seconds
        self.cpu += seconds * used


@pytest.fixture
def machine() -> Machine:
    """A machine that the test drives."""
    return Machine()


@pytest.fixture
def pace(machine: Machine) -> Pace:
    """The pace of work that has at least a twentieth of the time."""
    return Pace(0.05, lambda: machine.clock, lambda: machine.cpu)


@pytest.mark.parametrize(
    ("others", "share"),
    [(0.0, MOST), (0.1, MOST), (0.5, 1 - FREE - 0.5), (0.7, 1 - FREE - 0.7), (0.8, 0.05), (1.0, 0.05), (1.9, 0.05)],
)
def test_the_share_is_what_others_leave(machine: Machine, pace: Pace, others: float, share: float) -> None:
    """Work may take what the others left while it rested, half of the time at most, and its least at least."""
    pace.rest()
    machine.go(0.2, others)
    pace.begin()
    machine.go(1.0, 1.0)  # the work itself, during which the process is busy with it
    pace.spend(1.0)
    assert 1.0 / (1.0 + pace.rest()) == pytest.approx(share)


def test_a_moment_of_rest_tells_nothing(machine: Machine, pace: Pace) -> None:
    """After a rest too short to see how busy the others are, what was seen before holds."""
    machine.go(0.2, 1.0)
    pace.begin()
    pace.rest()
    machine.go(0.001, 0.0)
    pace.begin()
    pace.spend(1.0)
    assert pace.rest() == pytest.approx(1.0 / 0.05 - 1.0)


def test_without_work_there_is_no_rest(pace: Pace) -> None:
    """Who has spent nothing rests for nothing, and what was spent before counts once."""
    pace.spend(1.0)
    assert pace.rest() > 0
    assert pace.rest() == 0
