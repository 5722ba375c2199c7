"""Data folders before and after a crash: how they are made, what must be in them, and how they go on."""

import hashlib
import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import duckdb

from footpath import database
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.find.overviews import DuckdbOverviews
from footpath.overview import asked
from footpath.overview.told import Clicks, Counts, Flows
from footpath.query import Query
from footpath.store import forgetting, parquet
from footpath.store.local import LocalStore
from footpath.store.summaries import segments
from tests.crash import steps

THIRDS = (range(4), range(4, 8), range(8, 12))


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
    if scenario in {"begin", "prepare"}:
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


def check_after_crash(
    folder: Path, scenario: str, kept: list[str], said: list[str], engine: duckdb.DuckDBPyConnection, point: object
) -> None:
    """That a folder holds what was kept and said, once, at most what was offered, and so again when it has gone on."""
    offered = steps.OFFERED.get(scenario, [])
    all_names = Counter([*kept, *offered])
    database.prepare(folder)
    before = found(folder)
    assert Counter([*kept, *said]) <= before <= all_names, point
    check_files(folder)
    if offered:
        steps.append(folder, [offered], said_to_nobody)
    steps.flush_some(folder, engine)
    steps.merge_all(folder, engine)
    steps.tidy(folder)
    assert found(folder) == all_names, point
    check_files(folder)


def template_of_expiry(folder: Path, engine: duckdb.DuckDBPyConnection) -> tuple[list[str], list[str]]:
    """A folder as it is before expiring; the names in it that stay, and those that go."""
    expired = [f"old {number}" for number in range(15)]
    kept = [f"new {number}" for number in range(6)]
    database.prepare(folder)
    for names in (expired[:5] + kept[:3], expired[5:10]):  # a part that is to be rewritten, one to be dropped
        steps.append(folder, [names], said_to_nobody)
        steps.flush_some(folder, engine)
    steps.append(folder, [expired[10:] + kept[3:]], said_to_nobody)
    return kept, expired


def check_after_expiry(
    folder: Path, kept: list[str], expired: list[str], engine: duckdb.DuckDBPyConnection, point: object
) -> None:
    """That a folder holds what stays, once, with all or nothing of what goes; and only that when it has gone on."""
    database.prepare(folder)
    assert found(folder) in (Counter(kept), Counter(kept + expired)), point
    check_files(folder)
    database.set_keep(folder, steps.KEEP)
    assert found(folder) == Counter(kept), point
    steps.flush_some(folder, engine)
    steps.expire_all(folder, engine)
    steps.tidy(folder)
    check_files(folder)
    database.set_keep(folder, None)
    assert found(folder) == Counter(kept), point


def template_of_forgetting(folder: Path, engine: duckdb.DuckDBPyConnection) -> tuple[list[str], list[str]]:
    """A folder as it is before a user is forgotten; the names in it that stay, and those that go."""
    gone = [f"{steps.FORGOTTEN} {number}" for number in range(12)]
    kept = [f"kept {number}" for number in range(12)]
    database.prepare(folder)
    for place in (0, 3):
        steps.append(folder, [gone[place : place + 3] + kept[place : place + 3]], said_to_nobody)
        steps.flush_some(folder, engine)
    steps.merge_all(folder, engine)  # so there are replaced parts that hold the user
    steps.append(folder, [gone[6:9] + kept[6:9]], said_to_nobody)
    steps.flush_some(folder, engine)
    steps.append(folder, [gone[9:] + kept[9:]], said_to_nobody)
    return kept, gone


def check_after_forgetting(
    folder: Path, kept: list[str], gone: list[str], said: list[str], engine: duckdb.DuckDBPyConnection, point: object
) -> None:
    """That a folder holds what stays, once, and what goes at most once; and if that was ordered, no byte of it."""
    database.prepare(folder)
    assert Counter(kept) <= found(folder) <= Counter(kept + gone), point
    check_files(folder)
    with closing(database.connect(folder)) as connection:
        orders = list(connection.execute("SELECT id FROM forgetting"))
    assert orders or not said, point
    steps.forget_all(folder, engine)
    assert found(folder) == Counter(kept if orders else kept + gone), point
    check_files(folder)
    if orders:
        assert holding(folder, steps.FORGOTTEN.encode(), engine) == [], point
        with closing(database.connect(folder)) as connection:
            assert forgetting.receipt(connection, 1) == (len(gone), 2, 0, 0), point


def template_of_summaries(folder: Path, engine: duckdb.DuckDBPyConnection) -> list[str]:
    """A folder as it is before summaries are made, retired and made again; the names in it that stay."""
    names = [
        [f"{kind} {number}" for kind in ("kept", "old", steps.FORGOTTEN) for number in numbers] for numbers in THIRDS
    ]
    database.prepare(folder)
    for place, group in enumerate(names):
        steps.append(folder, [group], said_to_nobody)
        if place < len(names) - 1:
            steps.flush_some(folder, engine)
    return [name for group in names for name in group if name.startswith("kept")]


def check_after_summaries(
    folder: Path, kept: list[str], said: list[str], engine: duckdb.DuckDBPyConnection, point: object
) -> None:
    """That overviews say what the actions say, at once and when it has gone on; then nothing is left of who must go."""
    database.prepare(folder)
    check_overviews(folder, point)
    with closing(database.connect(folder)) as connection:
        is_ordered = bool(list(connection.execute("SELECT id FROM forgetting")))
    assert is_ordered or not said, point
    steps.forget_all(folder, engine)
    steps.merge_all(folder, engine)
    steps.summarise_all(folder, engine)
    check_overviews(folder, point)
    database.set_keep(folder, steps.KEEP)
    steps.flush_some(folder, engine)
    steps.expire_all(folder, engine)
    steps.summarise_all(folder, engine)
    check_overviews(folder, point)
    stays = [] if is_ordered else [name for name in found(folder) if name.startswith(steps.FORGOTTEN)]
    assert found(folder) == Counter(kept + stays), point
    check_files(folder)
    with closing(LocalStore(folder)) as store:
        wanted = {segment.name for segment in segments(store.live())}
    assert {file.name.split(".")[0] for file in (folder / "summaries").iterdir()} == wanted, point
    if is_ordered:
        assert holding(folder, steps.FORGOTTEN.encode(), engine) == [], point


def check_overviews(folder: Path, point: object) -> None:
    """That overviews with the summaries of a folder are those without, and count what is found."""
    told = overviews(folder)
    aside = folder.with_name(f"{folder.name}.aside")
    if (folder / "summaries").exists():
        (folder / "summaries").rename(aside)
        try:
            assert overviews(folder) == told, point
        finally:
            aside.rename(folder / "summaries")
    counted = sum(count.CLICK + count.VIEW + count.NAVIGATE for count in told[0].counts)
    assert counted == found(folder).total(), point


def overviews(folder: Path) -> tuple[Counts, Flows, list[Clicks]]:
    """What overviews of all days say."""
    days = {"fromTime": ["2018-01-01"], "toTime": ["2099-12-31"]}
    with closing(DuckdbFind(folder, memory="100MB", read_seconds=60)) as find:
        told = DuckdbOverviews(find)
        return (
            told.counts(asked.counts_of({**days, "bucket": ["day"]})),
            told.flows(asked.flows_of(days)),
            [told.clicks(asked.clicks_of({**days, "page": [f"page {number}"]})) for number in range(3)],
        )


def holding(folder: Path, text: bytes, engine: duckdb.DuckDBPyConnection) -> list[str]:
    """The files of a folder that hold some bytes, as they are or, if they are Parquet, unpacked."""
    holders = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and text in file.read_bytes():
            holders.append(file.name)
        elif file.suffix == ".parquet":
            rows = engine.execute("SELECT * FROM read_parquet($file)", {"file": parquet.pattern(file)}).fetchall()
            holders += [file.name] if text in repr(rows).encode() else []
    return holders
