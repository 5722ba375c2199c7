"""A crash, or an error, at any system call that changes the data folder loses nothing and doubles nothing.

Each scenario of `steps` is run under strace once, to see what it calls; then once for each call, with a fault there, on
a fresh copy of the folder; and some of the folders that a crash left are started again and crashed at each call of
that. STRIDE is the distance between the calls that are tried: 1 tries all. AGAIN is how many crashed folders of each
scenario are crashed again.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import duckdb
import pytest

from tests.crash import steps
from tests.crash.state import (
    check_after_crash,
    check_after_expiry,
    check_after_forgetting,
    check_files,
    found,
    template,
    template_of_expiry,
    template_of_forgetting,
)
from tests.crash.tracing import Point, broken, points
from tests.proof import publish, times

STRIDE = times("STRIDE", 37)
AGAIN = times("AGAIN", 0)
SCENARIOS = ("prepare", "append", "flush", "merge", "tidy", "expire", "forget")
KILL = "signal=SIGKILL"
ERRORS = ("EIO", "ENOSPC")


class Work:
    """A folder in which a scenario is run again and again, always in `data`, so that file names are the same."""

    def __init__(self, folder: Path) -> None:
        """Work in a new `folder`."""
        folder.mkdir()
        self.data = folder / "data"
        self._said = folder / "said"
        self._log = folder / "strace.log"

    def _lay(self, template_: Path, scenario: str) -> list[str]:
        shutil.rmtree(self.data, ignore_errors=True)
        self._said.unlink(missing_ok=True)
        if template_.exists():
            shutil.copytree(template_, self.data)
        return [sys.executable, str(steps.__file__), "run", scenario, str(self.data), str(self._said)]

    def points(self, template_: Path, scenario: str) -> tuple[list[Point], int]:
        """The points of a scenario that begins with a copy of a folder."""
        return points(self._lay(template_, scenario), self.data, self._log)

    def broken(self, template_: Path, scenario: str, point: Point, fault: str) -> tuple[int | None, list[str]]:
        """Run a scenario with a fault; its exit status (None: it was not reached), and what it said was kept."""
        status = broken(self._lay(template_, scenario), self.data, self._log, point, fault)
        said = self._said.read_text(encoding="utf-8") if self._said.exists() else ""
        return status, said.split("\n")[:-1]


def spread(things: Sequence[Point], number: int) -> list[Point]:
    """So many of some things, evenly over them."""
    return [things[place * len(things) // number] for place in range(min(number, len(things)))]


def crash_again(
    folder: Path, work: Work, scenario: str, kept: list[str], said: list[str], engine: duckdb.DuckDBPyConnection
) -> Iterator[Point]:
    """Start from a folder that a crash left, and crash at each call of the start."""
    offered = Counter([*kept, *steps.OFFERED.get(scenario, [])])
    for point in work.points(folder, "restart")[0]:
        status, _ = work.broken(folder, "restart", point, KILL)
        if status is None:
            continue
        assert status == 137, point
        kept_now = list(_found_at_last(work.data).elements())
        assert Counter([*kept, *said]) <= Counter(kept_now) <= offered, point
        check_after_crash(work.data, "restart", kept_now, [], engine, point)
        yield point


def _found_at_last(folder: Path) -> Counter[str]:
    steps.SCENARIOS["prepare"](folder, print)
    check_files(folder)
    return found(folder)


@pytest.mark.parametrize(
    "fault", [KILL, *(pytest.param(f"error={name}", marks=pytest.mark.torture) for name in ERRORS)]
)
def test_a_fault_at_any_system_call_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection, fault: str) -> None:
    """Killed or failed at any call, what was kept or acknowledged is found once, at once and after going on.

    What was offered and not acknowledged is found once at most; offered again with its key it is there once.
    """
    tried: Counter[str] = Counter()
    again = out_of_reach = 0
    names = count()
    begin = 0 if fault == KILL else STRIDE // 2
    for scenario in SCENARIOS:
        before = tmp_path / f"{scenario}-before"
        expired: list[str] = []
        if scenario == "expire":
            kept, expired = template_of_expiry(before, engine)
        elif scenario == "forget":
            kept, expired = template_of_forgetting(before, engine)
        else:
            kept = template(before, scenario, engine)
        work = Work(tmp_path / scenario)
        all_points, hidden = work.points(before, scenario)
        out_of_reach += hidden
        twice = spread(all_points, AGAIN) if fault == KILL and not expired else []
        for point in all_points[begin::STRIDE]:
            status, said = work.broken(before, scenario, point, fault)
            if status is None:
                out_of_reach += 1
                continue
            assert status == 137 or fault != KILL, f"{scenario}, {point}: not killed, but {status}"
            tried[f"{scenario}: {point.call}"] += 1
            if point in twice and work.data.exists():
                left = shutil.copytree(work.data, tmp_path / f"left-{next(names)}")
                more = Work(tmp_path / f"again-{next(names)}")
                again += sum(1 for _ in crash_again(left, more, scenario, kept, said, engine))
            if scenario == "forget":
                check_after_forgetting(work.data, kept, expired, said, engine, (scenario, point, status))
            elif expired:
                check_after_expiry(work.data, kept, expired, engine, (scenario, point, status))
            else:
                check_after_crash(work.data, scenario, kept, said, engine, (scenario, point, status))
        print(f"{fault}, {scenario}: {len(all_points)} calls, {hidden} more out of reach", flush=True)
    name = f"syscalls-{fault.partition('=')[2].lower()}"
    publish(
        name, stride=STRIDE, points=tried.total(), during_recovery=again, out_of_reach=out_of_reach, lost=0, calls=tried
    )
    assert tried.total() >= len(SCENARIOS)
