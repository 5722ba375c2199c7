"""What the check of a folder says of a catalog, a state or a journal that is not right, and of rows out of order."""

import hashlib
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import duckdb
import pytest
import zstandard

from footpath import database
from footpath.journal.hot import HotRows
from footpath.store import parquet
from footpath.store.check import look_at_database, look_at_parts
from footpath.store.local import LocalStore

ACTION = '{"time":"2020-01-01T00:00:00Z","type":"CLICK","properties":{}}'
AT = 1_577_836_800_000_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seq 1 to 3 of users a and b in one part, and seq 4 and 5 to 54 in the journal."""
    folder = tmp_path_factory.mktemp("check") / "data"
    database.prepare(folder)
    hot = HotRows(["a", "b"], ["s", "s"], [f"[{ACTION},{ACTION}]", f"[{ACTION}]"], [1, 3], [0, 0])
    with closing(LocalStore(folder)) as store, parquet.engine(folder, memory="100MB") as engine:
        select = f"SELECT {parquet.COLUMNS} FROM ({parquet.HOT})"
        part = parquet.write_part(engine, store.parts_folder, store.next_run(), select, parquet.bind(hot))
        assert part is not None
        store.add([part], 3)
    large = zstandard.compress(f"[{','.join([ACTION] * 50)}]".encode())
    for row in ((4, "c", "s", 1, AT, AT, 1, AT, f"[{ACTION}]".encode()), (5, "d", "s", 50, AT, AT, 1, AT, large)):
        change(folder, "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    change(folder, "UPDATE state SET seq = 54")
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "data")


def change(folder: Path, statement: str, bindings: tuple[object, ...] = ()) -> None:
    """Change its database."""
    with closing(apsw.Connection(str(folder / "footpath.db"))) as connection:
        connection.execute(statement, bindings)


def problems(folder: Path) -> list[str]:
    """What a check says, as `file: what`."""
    with closing(database.connect(folder, readonly=True)) as connection:
        catalog = look_at_database(connection)
    with look_at_parts(folder, "100MB") as look:
        found = [look.problem(part) for part in catalog.parts]
    return [f"{one.file}: {one.what}" for one in [*catalog.problems, *found] if one is not None]


def test_what_is_whole_has_no_problem(copy: Path) -> None:
    """A folder that nothing happened to has no problem."""
    assert problems(copy) == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE parts SET rows = rows + 1", "has 3 rows, the catalog says 4"),
        ("UPDATE parts SET user_max = 'a'", "has user_id"),
        ("UPDATE parts SET time_min = time_min + 1", "has time"),
        ("UPDATE parts SET seq_min = seq_min + 1", "has seq"),
        ("UPDATE parts SET sha256 = 'x'", "is not what was written"),
        ("UPDATE state SET flushed = 2", "what is flushed ends at 2"),
        ("UPDATE state SET seq = 3", "footpath.db: the journal row 4"),
        ("UPDATE state SET run = 0", "the highest run is 0"),
        ("UPDATE journal SET actions = x'00' WHERE seq = 4", "footpath.db: the journal row 4 cannot be read"),
        ("UPDATE journal SET actions = substr(actions, 1, 50) WHERE seq = 5", "footpath.db: the journal row 5"),
        ("UPDATE journal SET count = 2 WHERE seq = 5", "footpath.db: the journal row 5"),
        ("UPDATE journal SET types = 7 WHERE seq = 4", "holds other actions than its columns say"),
        ("DROP TABLE idempotency", "footpath.db: cannot be read: "),
        (
            (
                "INSERT INTO parts SELECT 'x', run, 'b', 'z', time_min, time_max, 1, 3, rows, bytes, sha256, NULL"
                " FROM parts"
            ),
            "overlaps in user_id",
        ),
    ],
)
def test_what_does_not_fit_is_told(statement: str, says: str, copy: Path) -> None:
    """A catalog, state or journal row that does not fit what is there is told."""
    change(copy, statement)
    assert says in "\n".join(problems(copy))


def test_rows_out_of_order_are_told(copy: Path) -> None:
    """A part whose rows are not sorted is told, though its size and sha256 are the catalog's."""
    (part,) = (copy / "parts").iterdir()
    with duckdb.connect() as engine:
        engine.execute(f"CREATE TABLE rows AS FROM read_parquet('{part}') ORDER BY seq DESC")
        engine.execute(f"COPY rows TO '{part}' (FORMAT parquet)")
    content = part.read_bytes()
    change(copy, "UPDATE parts SET bytes = ?, sha256 = ?", (len(content), hashlib.sha256(content).hexdigest()))
    assert any("not in the order" in one for one in problems(copy))


def test_a_part_that_was_replaced_is_not_missed(copy: Path) -> None:
    """A part whose file goes after the catalog was read is no problem once it is not live."""
    with closing(database.connect(copy, readonly=True)) as connection:
        (part,) = look_at_database(connection).parts
    change(copy, "UPDATE parts SET removed_at = 1")
    (copy / "parts" / f"{part.id}.parquet").unlink()
    with look_at_parts(copy, "100MB") as look:
        assert look.problem(part) is None
