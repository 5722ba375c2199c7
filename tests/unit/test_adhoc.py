"""SQL over the actions: every kind of SELECT is answered, and what is not a SELECT of them is refused."""

import hashlib
from pathlib import Path

import pytest

from footpath import database
from footpath.errors import BadQuery, CommandFailed
from footpath.find import adhoc
from footpath.journal.hot import HotRows
from footpath.store import parquet
from footpath.store.local import LocalStore

WRITES = [
    "COPY (SELECT 1) TO 'OUTSIDE/x.csv'",
    "COPY (SELECT 1 AS a) TO 'PART' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY actions TO 'PART' (FORMAT parquet)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'PART' (USE_TMP_FILE false)",
    "EXPLAIN (FORMAT json) COPY (SELECT 1) TO 'PART' (USE_TMP_FILE false)",
    "EXPLAIN ANALYZE (FORMAT json) COPY (SELECT 1) TO 'PART' (USE_TMP_FILE false)",
    "/* x */ COPY (SELECT 1) TO 'PART' (USE_TMP_FILE false)",
    "SELECT 1; COPY (SELECT 1) TO 'PART' (USE_TMP_FILE false)",
    "EXPLAIN SELECT 1; COPY (SELECT 1) TO 'PART' (USE_TMP_FILE false)",
    "SELECT * FROM query('COPY (SELECT 1) TO ''OUTSIDE/x.csv''')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('COPY (SELECT 1) TO ''OUTSIDE/x.csv'''))",
    "EXPORT DATABASE 'OUTSIDE/x'",
    "ATTACH 'OUTSIDE/x.db'",
    "ATTACH 'DATABASE' AS d (TYPE sqlite)",
    "CREATE TABLE x (i INT)",
    "CREATE OR REPLACE TEMP VIEW actions AS SELECT 1",
    "INSERT INTO hot VALUES (1)",
    "DELETE FROM hot",
    "DELETE FROM actions",
    "UPDATE hot SET id = 'x'",
    "DROP VIEW actions",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "PRAGMA threads = 1",
    "PRAGMA enable_profiling",
    "CALL enable_logging('QueryLog', storage = 'file', storage_path = 'OUTSIDE/log')",
    "SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_path = 'OUTSIDE/log')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PREPARE x AS SELECT 1",
    "CREATE SECRET x (TYPE s3)",
    "USE memory",
    "VACUUM",
    "CHECKPOINT",
    "BEGIN",
]
READS = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "FROM 'OUTSIDE/secret.csv'",
    "SELECT * FROM read_text('OUTSIDE/secret.csv')",
    "SELECT * FROM read_blob('DATABASE')",
    "SELECT * FROM read_parquet('OUTSIDE/*.parquet')",
    "SELECT * FROM read_json('OUTSIDE/secret.csv')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('OUTSIDE/x.parquet')",
    "SELECT * FROM 'https://example.com/x.csv'",
    "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM os",
    "SELECT * FROM read_duckdb('OUTSIDE/x.db')",
    "IMPORT DATABASE 'OUTSIDE'",
    "SELECT content FROM read_text('/proc/self/environ')",
]


KINDS = [
    "DESCRIBE actions",
    "SUMMARIZE actions",
    "SHOW TABLES",
    "WITH x AS (FROM actions) SELECT * FROM x",
    "VALUES (1)",
    "EXPLAIN SELECT * FROM actions",
    "explain analyze FROM actions -- and so on",
    "EXPLAIN (SELECT 1)",
    "SELECT now(), * FROM actions -- a comment",
    "SELECT * FROM actions;",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one part of one action, under a name that SQL and file patterns could trip over."""
    made = tmp_path_factory.mktemp("adhoc") / "it's [a] data*folder"
    database.prepare(made)
    actions = '[{"time":"2020-01-01T00:00:00Z","type":"CLICK","properties":{}}]'
    hot = HotRows(["u"], ["s"], [actions], [1], [0])
    store = LocalStore(made)
    with parquet.engine(made, memory="100MB") as engine:
        select = f"SELECT {parquet.COLUMNS} FROM ({parquet.HOT})"
        part = parquet.write_part(engine, store.parts_folder, store.next_run(), select, parquet.bind(hot))
    assert part is not None
    store.add([part], part.seq_max)
    store.close()
    return made


def ask(folder: Path, text: str) -> list[object]:
    """All rows of an answer."""
    with adhoc.run(folder, text, memory="100MB") as table:
        return list(table.rows)


@pytest.mark.parametrize("statement", WRITES + READS)
def test_a_way_out_is_closed(statement: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that reads or writes anything else is refused in one line, and leaves every file as it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_text("secret\n", encoding="utf-8")
    part = next((folder / "parts").iterdir())
    before = hashlib.sha256(part.read_bytes()).hexdigest()
    for word, path in (("PART", part), ("OUTSIDE", tmp_path), ("DATABASE", folder / "footpath.db")):
        statement = statement.replace(f"'{word}", "'" + str(path).replace("'", "''"))
    with pytest.raises((BadQuery, CommandFailed)) as caught:
        ask(folder, statement)
    assert "\n" not in str(caught.value)
    assert hashlib.sha256(part.read_bytes()).hexdigest() == before
    assert [file.name for file in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize("text", ["", "SELECT 1; SELECT 2", "SELEC 1", "SELECT nothing FROM actions", "SELECT $1", "'"])
def test_what_is_not_one_select_that_fits_is_refused(text: str, folder: Path) -> None:
    """Text that is not one SELECT, or asks for what there is not, is refused in one line."""
    with pytest.raises(BadQuery) as caught:
        ask(folder, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", KINDS)
def test_every_kind_of_select_is_answered(text: str, folder: Path) -> None:
    """What DuckDB takes as a SELECT, or as an EXPLAIN of one, has rows."""
    assert ask(folder, text)


def test_names_that_come_twice_are_told_apart(folder: Path) -> None:
    """Every column of an answer has a name of its own, and none of them is lost."""
    with adhoc.run(folder, "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a", memory="100MB") as table:
        assert table.columns == ["a", "a_2", "a_2_2", "a_3"]
        assert list(table.rows) == [(1, 2, 3, 4)]
