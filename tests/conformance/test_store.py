"""What `footpath.store.base` promises, kept by every fitting."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import apsw
import pytest

from footpath import database
from footpath.store import parquet
from footpath.store.base import Part, Store
from footpath.store.local import LocalStore


class Fitting(Protocol):
    """A kind of store, as its tests need it."""

    def open(self, folder: Path) -> Store:
        """Open the store that a folder stands for; it may have been opened before."""
        ...

    def write(self, run: int, *users: str) -> Part:
        """A part of a run, written and in no catalog, with an action of each of these users."""
        ...

    def flushed(self) -> int:
        """Up to which seq the journal is dead."""
        ...

    def cannot(self) -> type[Exception] | tuple[type[Exception], ...]:
        """What the store raises when its disk is full."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Local:
    """The embedded store."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._seq = 0

    def open(self, folder: Path) -> LocalStore:
        """See `Fitting.open`."""
        if not (folder / database.FILE_NAME).exists():
            database.prepare(folder)
            self._engine = self._stack.enter_context(parquet.engine(folder, memory="100MB"))
        self._folder = folder
        store = LocalStore(folder)
        self._stack.callback(store.close)
        return store

    def write(self, run: int, *users: str) -> Part:
        """See `Fitting.write`."""
        self._seq += len(users)
        rows = (
            "SELECT unnest($users::VARCHAR[]) AS user_id, 's' AS session_id, make_timestamp($seq) AS time, 0::SMALLINT"
            " AS utc_offset, 'CLICK' AS type, '{}' AS properties, NULL::VARCHAR AS id, $seq::BIGINT AS seq,"
            " make_timestamp($seq) AS received_at"
        )
        bindings = {"users": list(users), "seq": self._seq}
        part = parquet.write_part(self._engine, self._folder / "parts", run, rows, bindings)
        assert part is not None
        return part._replace(members=b"")  # the catalog gives them back apart

    def flushed(self) -> int:
        """See `Fitting.flushed`."""
        connection = database.connect(self._folder, readonly=True)
        (flushed,) = database.one(connection, "SELECT flushed FROM state")
        connection.close()
        return int(flushed)

    def cannot(self) -> type[Exception]:
        """See `Fitting.cannot`."""
        return apsw.FullError

    def close(self) -> None:
        """See `Fitting.close`."""
        self._stack.close()


@pytest.fixture(params=[Local], ids=["local"])
def fitting(request: pytest.FixtureRequest) -> Iterator[Fitting]:
    """Each fitting in turn."""
    made: Fitting = request.param()
    yield made
    made.close()


def test_an_empty_store_has_no_parts(fitting: Fitting, tmp_path: Path) -> None:
    """A new store has nothing live and has flushed nothing."""
    assert list(fitting.open(tmp_path).live()) == []
    assert fitting.flushed() == 0


def test_added_parts_are_live_in_order(fitting: Fitting, tmp_path: Path) -> None:
    """What was added is live, as it was described, by run and then by user, also after opening again."""
    store = fitting.open(tmp_path)
    late = [fitting.write(2, "a"), fitting.write(2, "b", "c")]
    early = [fitting.write(1, "x", "z"), fitting.write(1, "a\x00", "m")]
    store.add(late, 3)
    assert fitting.flushed() == 3
    store.add(early, 7)
    assert fitting.flushed() == 7
    assert list(store.live()) == [early[1], early[0], *late] == list(fitting.open(tmp_path).live())
    assert (late[1].user_min, late[1].user_max, late[1].rows) == ("b", "c", 2)


def test_adding_no_parts_moves_flushed_alone(fitting: Fitting, tmp_path: Path) -> None:
    """Adding nothing makes the journal dead up to its seq and changes no part."""
    store = fitting.open(tmp_path)
    part = fitting.write(1, "a")
    store.add([part], 5)
    store.add([], 9)
    assert fitting.flushed() == 9
    assert list(store.live()) == [part]


def test_a_part_cannot_be_added_twice(fitting: Fitting, tmp_path: Path) -> None:
    """Adding a part again, beside a new one or within one call, is ValueError and changes nothing."""
    store = fitting.open(tmp_path)
    known, new = fitting.write(1, "a"), fitting.write(2, "b")
    store.add([known], 5)
    for parts in ([known], [new, known], [new, new]):
        with pytest.raises(ValueError, match="catalog"):
            store.add(parts, 9)
        assert (list(store.live()), fitting.flushed()) == ([known], 5)
    store.add([new], 9)
    assert (list(store.live()), fitting.flushed()) == ([known, new], 9)


def test_flushed_never_goes_back(fitting: Fitting, tmp_path: Path) -> None:
    """Adding with a lower seq than before is ValueError and changes nothing: those rows are in parts already."""
    store = fitting.open(tmp_path)
    store.add([], 5)
    with pytest.raises(ValueError, match="flushed"):
        store.add([fitting.write(1, "a")], 4)
    assert (list(store.live()), fitting.flushed()) == ([], 5)


def test_replacing_swaps_whole_runs(fitting: Fitting, tmp_path: Path) -> None:
    """After replace the new parts are live and the old ones are not, others stay, and flushed does not move."""
    store = fitting.open(tmp_path)
    old = [fitting.write(1, "a"), fitting.write(2, "b"), fitting.write(2, "c")]
    other = fitting.write(3, "d")
    store.add([*old, other], 4)
    new = [fitting.write(4, "a", "b"), fitting.write(4, "c")]
    store.replace(old, new)
    assert list(store.live()) == [other, *new] == list(fitting.open(tmp_path).live())
    assert fitting.flushed() == 4


def test_a_run_cannot_be_replaced_twice(fitting: Fitting, tmp_path: Path) -> None:
    """Replacing what was replaced, is not live or was never added is ValueError and changes nothing."""
    store = fitting.open(tmp_path)
    first, second, never = (fitting.write(run, "a") for run in (1, 2, 3))
    store.add([first, second], 4)
    merged, again = fitting.write(4, "a"), fitting.write(5, "a")
    store.replace([first], [merged])
    for old in ([first], [second, first], [second, never], [second, second]):
        with pytest.raises(ValueError, match="not live"):
            store.replace(old, [again])
        assert list(store.live()) == [second, merged]
    with pytest.raises(ValueError, match="catalog"):
        store.replace([second], [again, merged])
    with pytest.raises(ValueError, match="catalog"):
        store.replace([second], [first])
    assert list(store.live()) == [second, merged]


def test_dropping_leaves_nothing_of_a_part(fitting: Fitting, tmp_path: Path) -> None:
    """Dropped parts, live or replaced, are not in the catalog any more, and what was put in their place is live."""
    store = fitting.open(tmp_path)
    first, second, other = (fitting.write(run, "a", "b") for run in (1, 2, 3))
    store.add([first, second, other], 6)
    store.replace([first], [merged := fitting.write(4, "a", "b")])
    store.drop([second, merged], [first], [left := fitting.write(4, "b")])
    assert list(store.live()) == [other, left] == list(fitting.open(tmp_path).live())
    assert fitting.flushed() == 6
    store.add([first], 7)  # which would be refused if the catalog knew it
    assert first in store.live()


def test_only_what_is_as_said_can_be_dropped(fitting: Fitting, tmp_path: Path) -> None:
    """Dropping as live what is replaced, or the other way round, or what is gone, is ValueError and changes nothing."""
    store = fitting.open(tmp_path)
    live, old, never = (fitting.write(run, "a") for run in (1, 2, 3))
    store.add([live, old], 2)
    store.replace([old], [merged := fitting.write(4, "a")])
    new = fitting.write(5, "a")
    for lives, replaced in (([old], []), ([], [live]), ([live, never], []), ([live], [never]), ([live, live], [])):
        with pytest.raises(ValueError, match="part"):
            store.drop(lives, replaced, [new])
        assert list(store.live()) == [live, merged]
    store.drop([live], [old], [])
    assert list(store.live()) == [merged]


def test_a_full_disk_changes_nothing(fitting: Fitting, small_disk: Any) -> None:
    """On a full disk add and replace raise and nothing changes; with space again the same calls succeed."""
    folder = small_disk.path / "data"
    store = fitting.open(folder)
    first = fitting.write(1, "a")
    store.add([first], 1)
    many = [fitting.write(2, f"{place}" * 200) for place in range(60)]
    merged = fitting.write(3, "b")
    with small_disk.full():
        for _ in range(2):
            with pytest.raises(fitting.cannot()):
                store.add(many, 9)
            with pytest.raises(fitting.cannot()):
                store.replace([first], [*many, merged])
            assert list(store.live()) == [first]
            assert fitting.flushed() == 1
    store.add(many, 9)
    store.replace([first], [merged])
    assert {part.id for part in store.live()} == {part.id for part in [*many, merged]}
    assert fitting.flushed() == 9
