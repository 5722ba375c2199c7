"""A crash before any durable step of what footpath writes loses nothing and doubles nothing."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.crash import steps
from tests.crash.state import (
    check_after_crash,
    check_after_expiry,
    check_after_forgetting,
    check_after_summaries,
    check_overviews,
    template,
    template_of_expiry,
    template_of_forgetting,
    template_of_summaries,
)
from tests.proof import publish, times


def killed(scenario: str, folder: Path, work: Path, every: int = 1) -> list[dict[str, Any]]:
    """Run a scenario over copies of a folder, killed before each `every`-th of its steps; what the steps were."""
    command = [sys.executable, str(steps.__file__), scenario, str(folder), str(work), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_800)
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"{scenario}: killed before {len(points) - 1} steps")
    assert len(points) > 5
    assert {point["step"] is None for point in points[:-1]} == {False}
    return points


@pytest.mark.parametrize("scenario", ["begin", "append", "flush", "merge", "tidy"])
def test_a_crash_before_any_step_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection, scenario: str) -> None:
    """Killed before any step, each action that was kept or acknowledged is found once, at once and after going on.

    What was offered and not acknowledged is found once at most; offered again with its key it is there once.
    """
    work = tmp_path / "work"
    work.mkdir()
    kept = template(tmp_path / "template", scenario, engine)
    said: list[str] = []
    for point in killed(scenario, tmp_path / "template", work):
        said = (work / f"{point['number']}.said").read_text(encoding="utf-8").split("\n")[:-1]
        check_after_crash(work / str(point["number"]), scenario, kept, said, engine, point)
    assert said == steps.OFFERED.get(scenario, [])


def test_a_crash_before_any_step_of_expiring_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Killed before any step of expiring, what has not expired is found once, and going on leaves nothing else."""
    work = tmp_path / "work"
    work.mkdir()
    kept, expired = template_of_expiry(tmp_path / "template", engine)
    for point in killed("expire", tmp_path / "template", work):
        check_after_expiry(work / str(point["number"]), kept, expired, engine, point)


def test_a_crash_before_any_step_of_forgetting_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Killed before any step of forgetting, others keep everything, and an order is finished with the right counts."""
    work = tmp_path / "work"
    work.mkdir()
    kept, gone = template_of_forgetting(tmp_path / "template", engine)
    said: list[str] = []
    every = times("EVERY", 4)
    points = killed("forget", tmp_path / "template", work, every)
    for point in points:
        said = (work / f"{point['number']}.said").read_text(encoding="utf-8").split("\n")[:-1]
        check_after_forgetting(work / str(point["number"]), kept, gone, said, engine, point)
    assert said == ["asked", "(12, 2, 0, 0)"]
    publish("forget-steps", every=every, steps=len(points) - 1, brought_back=0, lost_of_others=0)


def test_a_crash_before_any_step_of_summarising_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Killed while summaries are made, or retired by merge, expiry and forgetting, overviews say what actions say."""
    work = tmp_path / "work"
    work.mkdir()
    kept = template_of_summaries(tmp_path / "template", engine)
    every = times("EVERY", 4)
    points = killed("summarise", tmp_path / "template", work, every)
    for point in points:
        said = (work / f"{point['number']}.said").read_text(encoding="utf-8").split("\n")[:-1]
        check_after_summaries(work / str(point["number"]), kept, said, engine, point)
    publish("summary-steps", every=every, steps=len(points) - 1, wrong_overviews=0)


def test_a_summary_that_is_not_true_would_be_seen(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """The control: summaries are used, for a whole one that counts everything twice makes the check fail."""
    template_of_summaries(tmp_path / "data", engine)
    steps.summarise_all(tmp_path / "data", engine)
    check_overviews(tmp_path / "data", "before")
    for file in (tmp_path / "data" / "summaries").iterdir():
        twice = file.with_name("twice")
        engine.execute(
            f"COPY (SELECT * REPLACE (2 * n AS n) FROM read_parquet($file)) TO '{twice}' (FORMAT parquet)",
            {"file": str(file)},
        )
        digest = hashlib.sha256(twice.read_bytes()).hexdigest()
        twice.rename(file.with_name(f"{file.name.split('.')[0]}.{digest}.parquet"))
        file.unlink()
    with pytest.raises(AssertionError):
        check_overviews(tmp_path / "data", "twice")
