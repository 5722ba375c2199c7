"""A part that is not what was written is never read: not by a find, and not by a merge."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footpath import database
from footpath.errors import PartDamaged, ReadFailed
from footpath.find import adhoc
from footpath.find.base import Shape
from footpath.find.duckdb import DuckdbFind
from footpath.keeper.merge import merge, runs_of
from footpath.query import Query
from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore
from tests.crash import steps
from tests.crash.state import said_to_nobody


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one part."""
    made = tmp_path_factory.mktemp("whole")
    database.prepare(made)
    with parquet.engine(made, memory="100MB") as engine:
        for turn in range(2):
            steps.append(made, [[f"{turn} {number}" for number in range(5)]], said_to_nobody)
            steps.flush_some(made, engine)
    return made


@pytest.fixture
def store(folder: Path) -> Iterator[LocalStore]:
    """Its store; its files are put back in the end."""
    with closing(LocalStore(folder)) as made:
        before = {made.path(part): made.path(part).read_bytes() for part in made.live()}
        yield made
        for file, content in before.items():
            file.write_bytes(content)


def names(find: DuckdbFind) -> list[str]:
    """All that a find gives."""
    return [json.loads(row[0])["properties"]["name"] for rows in find.rows(Query(), Shape.LINES).rows for row in rows]


@given(st.data())
def test_a_flipped_bit_is_never_served(folder: Path, data: st.DataObject) -> None:
    """Whichever bit of a part is flipped, a find that reads it fails, and names the part and the command that looks."""
    with closing(LocalStore(folder)) as store, closing(DuckdbFind(folder, memory="100MB", read_seconds=60)) as find:
        part = store.live()[0]
        content = store.path(part).read_bytes()
        place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        try:
            store.path(part).write_bytes(damaged)
            with pytest.raises(ReadFailed, match=f"{part.id}.*footpath check"):
                names(find)
        finally:
            store.path(part).write_bytes(content)


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: os.truncate(path, 100), lambda path: path.write_bytes(b"PAR1")]
)
def test_damage_that_comes_later_is_seen_and_so_is_its_repair(
    folder: Path, store: LocalStore, damage: Callable[[Path], object]
) -> None:
    """A part that was read is looked at again when its file has changed, whether for the worse or the better."""
    path = store.path(store.live()[0])
    content = path.read_bytes()
    with closing(DuckdbFind(folder, memory="100MB", read_seconds=60)) as find:
        assert len(names(find)) == 10
        damage(path)
        with pytest.raises(ReadFailed, match=path.stem):
            names(find)
        path.write_bytes(content)
        assert len(names(find)) == 10


def test_a_merge_does_not_launder_damage(folder: Path, store: LocalStore) -> None:
    """A merge of a damaged part fails and replaces nothing, and the part is known as damaged until it is mended."""
    before = store.live()
    bad: Part = before[0]
    content = bytearray(store.path(bad).read_bytes())
    content[200] ^= 1
    store.path(bad).write_bytes(content)
    with parquet.engine(folder, memory="100MB") as engine, pytest.raises(PartDamaged, match=bad.id):
        list(merge(engine, store, runs_of(before), 5))
    assert store.live() == before
    assert [store.whole.is_known_damaged(part) for part in before] == [True, False]
    content[200] ^= 1
    store.path(bad).write_bytes(content)
    os.utime(store.path(bad), ns=(1, 1))
    assert not store.whole.is_known_damaged(bad)


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM actions", "SELECT id FROM actions LIMIT 0", "SELECT 1"])
@pytest.mark.parametrize("place", [0, 1])
def test_no_statement_reads_beside_damage(folder: Path, store: LocalStore, place: int, statement: str) -> None:
    """While any live part is damaged or gone no statement is run, and the refusal names the part."""
    path = store.path(store.live()[place])
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        with (
            pytest.raises(PartDamaged, match=rf"parts/{path.name} .*footpath check"),
            adhoc.run(folder, statement, memory="100MB"),
        ):
            pass
        path.unlink(missing_ok=True)
