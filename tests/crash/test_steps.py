"""A crash before any durable step of what footpath writes loses nothing and doubles nothing."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

from footpath import database
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.query import Query
from footpath.store import parquet
from footpath.store.local import LocalStore

STEPS = Path(__file__).with_name("steps.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("footpath_crash_steps", STEPS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


steps = _load()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB for what comes after the crashes."""
    with parquet.engine(tmp_path_factory.mktemp("engine"), memory="100MB") as made:
        yield made


def said_to_nobody(_name: str) -> None:
    """What is acknowledged here is not written down."""


def found(folder: Path) -> Counter[str]:
    """The names of all actions that a find gives, with how often."""
    with closing(DuckdbFind(folder, memory="100MB", read_seconds=60)) as find:
        lines = [json.loads(row[0]) for chunk in find.rows(Query(), Shape.LINES).rows for row in chunk]
    assert len({line["seq"] for line in lines}) == len(lines)
    return Counter(line["properties"]["name"] for line in lines)


def check_files(folder: Path) -> None:
    """That every part of the catalog is whole, and after a sweep there is no other file."""
    with closing(LocalStore(folder)) as store:
        store.sweep()
        for part in store.live():
            assert hashlib.sha256(store.path(part).read_bytes()).hexdigest() == part.sha256
        with closing(database.connect(folder)) as connection:
            named = {f"{row[0]}.parquet" for row in connection.execute("SELECT id FROM parts")}
            (flushed,) = database.one(connection, "SELECT flushed FROM state")
        assert {file.name for file in store.parts_folder.iterdir()} <= named
        assert max((part.seq_max for part in store.live()), default=0) <= flushed


def template(folder: Path, scenario: str, engine: duckdb.DuckDBPyConnection) -> list[str]:
    """A folder as it is before a scenario; the names that are in it."""
    if scenario == "begin":
        return []
    names = [f"old {number}" for number in range(18)]
    database.prepare(folder)
    steps.append(folder, [names[:9]], said_to_nobody)
    if scenario in {"merge", "tidy"}:
        steps.flush_some(folder, engine)
    steps.append(folder, [names[9:]], said_to_nobody)
    if scenario in {"merge", "tidy"}:
        steps.flush_some(folder, engine)
    if scenario == "tidy":
        steps.merge_all(folder, engine)
        (folder / "parts" / "left.tmp").write_bytes(b"x")
        (folder / "parts" / "left.parquet").write_bytes(b"x")
    return names


def killed(scenario: str, folder: Path, work: Path) -> list[dict[str, Any]]:
    """Run a scenario over copies of a folder, killed before each of its steps in turn; what the steps were."""
    command = [sys.executable, str(STEPS), scenario, str(folder), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
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
    points = killed(scenario, tmp_path / "template", work)
    offered = {"append": [f"new {place} {number}" for place in range(4) for number in range(3)], "begin": ["first"]}
    all_names = Counter([*kept, *offered.get(scenario, [])])
    said: list[str] = []
    for point in points:
        folder = work / str(point["number"])
        said = (work / f"{point['number']}.said").read_text(encoding="utf-8").split("\n")[:-1]
        database.prepare(folder)
        before = found(folder)
        assert Counter([*kept, *said]) <= before <= all_names, point
        check_files(folder)
        if scenario in offered:
            steps.append(folder, [offered[scenario]], said_to_nobody)
        steps.flush_some(folder, engine)
        steps.merge_all(folder, engine)
        steps.tidy(folder)
        assert found(folder) == all_names, point
        check_files(folder)
    assert said == offered.get(scenario, [])


def test_a_crash_before_any_step_of_expiring_is_safe(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Killed before any step of expiring, what has not expired is found once, and going on leaves nothing else."""
    work = tmp_path / "work"
    work.mkdir()
    folder = tmp_path / "template"
    expired = [f"old {number}" for number in range(15)]
    kept = [f"new {number}" for number in range(6)]
    database.prepare(folder)
    for names in (expired[:5] + kept[:3], expired[5:10]):  # a part that is to be rewritten, one to be dropped
        steps.append(folder, [names], said_to_nobody)
        steps.flush_some(folder, engine)
    steps.append(folder, [expired[10:] + kept[3:]], said_to_nobody)
    for point in killed("expire", folder, work):
        crashed = work / str(point["number"])
        database.prepare(crashed)
        assert found(crashed) in (Counter(kept), Counter(kept + expired)), point
        check_files(crashed)
        database.set_keep(crashed, steps.KEEP)
        assert found(crashed) == Counter(kept), point
        steps.flush_some(crashed, engine)
        steps.expire_all(crashed, engine)
        steps.tidy(crashed)
        check_files(crashed)
        database.set_keep(crashed, None)
        assert found(crashed) == Counter(kept), point
