"""`footpath sql`: what it answers, and everything that it must refuse."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.commands.conftest import Run, batch, click, ndjson, peak
from tests.system.conftest import Start, wait_until


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A data folder with three actions in a part, under a name that SQL and file patterns could trip over."""
    folder = tmp_path_factory.mktemp("sql") / "it's [a] data*folder"
    evil = {"time": "2020-02-29T23:59:59.5Z", "type": "VIEW", "properties": {"viewedId": "\x1b[31m", "n": 1}}
    run("import", "-", "--data", folder, given=ndjson([batch("a", "s", click(1), click(2)), batch("b", "t", evil)]))
    return folder


def content(folder: Path) -> dict[str, str]:
    """Every part of a folder with its sha256."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "parts").iterdir()}


REFUSED = [
    "COPY (SELECT 1 AS a) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)",
    "ATTACH '{outside}/x.db'",
    "SELECT * FROM read_text('{outside}/secret.csv')",
    "SELECT getenv('HOME')",
]
"""One of each way out; tests/unit has the others."""


def test_nothing_but_the_actions_can_be_read_and_nothing_written(run: Run, kept: Path, tmp_path: Path) -> None:
    """A statement that reads or writes elsewhere ends with 1, a sentence and no output, and leaves all as it was."""
    (tmp_path / "secret.csv").write_text("secret\n", encoding="utf-8")
    part = next((kept / "parts").iterdir())
    before = content(kept)
    names = {"part": str(part).replace("'", "''"), "outside": str(tmp_path)}
    for statement in REFUSED:
        done = run("sql", statement.format(**names), "--data", kept, code=1)
        assert len(done.err.splitlines()) == 1, (statement, done.err)
        assert not done.out, (statement, done.out)
    assert content(kept) == before
    assert [file.name for file in tmp_path.iterdir()] == ["secret.csv"]


def test_rows_in_a_pipe_are_json_with_every_digit(run: Run, kept: Path) -> None:
    """Big numbers, decimals, times, nested values and doubled names come as JSON that says the same."""
    done = run(
        "sql",
        "SELECT 170141183460469231731687303715884105727::HUGEINT AS huge, 1.50 AS exact, time, [1, NULL] AS list,"
        " {'t': time} AS struct, 1 AS a, 2 AS a, 'nan'::DOUBLE AS nan, now() > time AS zoned, MAP {1: 2} AS map,"
        " TIMESTAMPTZ '2020-01-01 00:00:00+02' AS tz, 'x'::BLOB AS blob, DATE '2020-01-01' AS day"
        " FROM actions WHERE user_id = 'b'",
        "--data",
        kept,
    )
    assert done.out.strip() == (
        '{"huge":170141183460469231731687303715884105727,"exact":1.50,"time":"2020-02-29T23:59:59.500000Z",'
        '"list":[1,null],"struct":{"t":"2020-02-29T23:59:59.500000Z"},"a":1,"a_2":2,"nan":"nan","zoned":true,'
        '"map":{"1":2},"tz":"2019-12-31T22:00:00Z","blob":"eA==","day":"2020-01-01"}'
    )


def test_a_terminal_gets_a_table(run: Run, kept: Path) -> None:
    """On a terminal the result is a table, and what the data holds is not obeyed."""
    shown = run("sql", "SELECT properties->>'viewedId' AS viewed, time FROM actions", "--data", kept, terminal=120).out
    assert "viewed" in shown
    assert "\\x1b[31m" in shown
    assert "\x1b[31m" not in shown
    assert "2020-02-29T23:59:59.500000Z" in shown


def test_what_is_in_the_journal_is_seen(run: Run, start: Start, some_batches: list[dict[str, Any]]) -> None:
    """While a server runs, actions are counted once, whether they are in the journal or in a part."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "3600", "FOOTPATH_FLUSH_ACTIONS": "4000"})
    for place in range(0, 1400, 100):
        assert server.submit(some_batches[place : place + 100]).status_code == 200
    wait_until("there is a part", server.parts)
    found = run("sql", "SELECT count(*) AS n, count(DISTINCT seq) AS seqs FROM actions", "--data", server.data).rows()
    assert found == [{"n": 7000, "seqs": 7000}]


def test_an_empty_folder_has_an_empty_view(run: Run, start: Start) -> None:
    """Before the first action the view is there, with its columns and no rows."""
    assert run("sql", "SELECT count(*) AS n, max(time) AS t FROM actions", "--data", start().data).rows() == [
        {"n": 0, "t": None}
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_result_is_not_held(kept: Path) -> None:
    """A result of 300 MB goes through a pipe without the process growing over 200 MB."""
    command = [
        sys.executable,
        "-m",
        "footpath",
        "sql",
        "SELECT repeat('x', 1000) FROM range(300000)",
        "--data",
        str(kept),
    ]
    assert peak(command, Path("/dev/null")) < 200_000
