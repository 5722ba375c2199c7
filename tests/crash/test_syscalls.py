"""A crash, or an error, at any system call that changes the data folder loses nothing and doubles nothing.

Each scenario of `steps` is run under strace once, to see what it calls; then once for each call, with a fault there, on
a fresh copy of the folder; and some of the folders that a crash left are started again and crashed at the calls of
that. STRIDE is the distance between the calls that are tried: 1 tries all. AGAIN is how many crashed folders of each
scenario are crashed again, AGAIN_STRIDE the distance between the calls of their recovery. SCENARIOS are those to try.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import duckdb
import pytest

from footpath import database
from tests.crash import steps
from tests.crash.state import (
    check_after_crash,
    check_after_expiry,
    check_after_forgetting,
    check_after_summaries,
    check_files,
    found,
    template,
    template_of_expiry,
    template_of_forgetting,
    template_of_summaries,
)
from tests.crash.tracing import Point, broken, points
from tests.proof import publish, times

STRIDE = times("STRIDE", 37)
AGAIN = times("AGAIN", 0)
AGAIN_STRIDE = times("AGAIN_STRIDE", 1)
SCENARIOS = os.environ.get("SCENARIOS", "").split() or [
    "prepare",
    "append",
    "flush",
    "merge",
    "tidy",
    "expire",
    "forget",
    "summarise",
]
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
    """So many of some things, evenly over them: one is that in the middle."""
    return [things[(2 * place + 1) * len(things) // (2 * number)] for place in range(number)]


class Scenario:
    """One of the scenarios: the folder that it begins with, and what must be in one that a fault left."""

    def __init__(self, name: str, before: Path, engine: duckdb.DuckDBPyConnection) -> None:
        """Make the folder `before`."""
        self.name = name
        self.before = before
        self._engine = engine
        self._goes: list[str] = []
        if name == "expire":
            self._kept, self._goes = template_of_expiry(before, engine)
        elif name == "forget":
            self._kept, self._goes = template_of_forgetting(before, engine)
        elif name == "summarise":
            self._kept = template_of_summaries(before, engine)
        else:
            self._kept = template(before, name, engine)

    def check(self, folder: Path, said: list[str], point: object) -> None:
        """That a folder holds the state before or after, at once, and the one after when it has gone on."""
        if self.name == "forget":
            check_after_forgetting(folder, self._kept, self._goes, said, self._engine, point)
        elif self.name == "summarise":
            check_after_summaries(folder, self._kept, said, self._engine, point)
        elif self.name == "expire":
            check_after_expiry(folder, self._kept, self._goes, self._engine, point)
        else:
            check_after_crash(folder, self.name, self._kept, said, self._engine, point)

    def crash_again(self, folder: Path, work: Work, said: list[str]) -> Iterator[Point]:
        """Start from a folder that a crash left, and crash at calls of the start."""
        for point in work.points(folder, "restart")[0][::AGAIN_STRIDE]:
            status, _ = work.broken(folder, "restart", point, KILL)
            if status is None:
                continue
            assert status == 137, point
            if self._goes or self.name == "summarise":
                self.check(work.data, said, (self.name, "restart", point))
            else:
                self._check_restarted(work.data, said, (self.name, "restart", point))
            yield point

    def _check_restarted(self, folder: Path, said: list[str], point: object) -> None:
        database.prepare(folder)
        check_files(folder)
        kept_now = found(folder)
        offered = Counter([*self._kept, *steps.OFFERED.get(self.name, [])])
        assert Counter([*self._kept, *said]) <= kept_now <= offered, point
        check_after_crash(folder, "restart", list(kept_now.elements()), [], self._engine, point)


@pytest.mark.parametrize(
    "fault", [KILL, *(pytest.param(f"error={name}", marks=pytest.mark.torture) for name in ERRORS)]
)
def test_a_fault_at_any_system_call_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection, fault: str) -> None:
    """Killed or failed at any call, what was kept or acknowledged is found once, at once and after going on.

    What was offered and not acknowledged is found once at most; offered again with its key it is there once.
    """
    tried: Counter[str] = Counter()
    again = out_of_reach = 0
    numbers = count()
    begin = 0 if fault == KILL else STRIDE // 2
    for name in SCENARIOS:
        scenario = Scenario(name, tmp_path / f"{name}-before", engine)
        work = Work(tmp_path / name)
        all_points, hidden = work.points(scenario.before, name)
        out_of_reach += hidden
        tried_points = all_points[begin::STRIDE]
        twice = spread(tried_points, AGAIN) if fault == KILL else []
        for point in tried_points:
            status, said = work.broken(scenario.before, name, point, fault)
            if status is None:
                out_of_reach += 1
                continue
            assert status == 137 or fault != KILL, f"{name}, {point}: not killed, but {status}"
            tried[f"{name}: {point.call}"] += 1
            if point in twice and work.data.exists():
                left = shutil.copytree(work.data, tmp_path / f"left-{next(numbers)}")
                more = Work(tmp_path / f"again-{next(numbers)}")
                again += sum(1 for _ in scenario.crash_again(left, more, said))
            scenario.check(work.data, said, (name, point, status))
        print(f"{fault}, {name}: {len(all_points)} calls, {hidden} more out of reach", flush=True)
    publish(
        f"syscalls-{fault.partition('=')[2].lower()}",
        stride=STRIDE,
        points=tried.total(),
        during_recovery=again,
        out_of_reach=out_of_reach,
        lost=0,
        calls=tried,
    )
    assert tried.total() >= len(SCENARIOS)
