"""`footpath export` and `footpath find`: every format and filter, hostile ids, and what a terminal shows."""

import csv
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import nanoarrow
import nanoarrow.ipc
import pytest

from tests.system.commands.conftest import Run, batch, click, facts, facts_of, ndjson
from tests.system.conftest import Start, wait_until

FORMATS = ("ndjson", "json", "csv", "parquet", "arrow")

HOSTILE = [
    "..",
    ".",
    "../../etc/passwd",
    "/etc/passwd",
    "a\\b",
    "con:nul|*?",
    "\x1b[31mred\x1b]0;title\x07",
    "[bold]not bold[/bold]",
    "line\nbreak\rreturn",
    "right\u202eleft",
    "é" * 256,
    "é" * 255 + "e",
    "%2E%2E",
    "~" * 256,
    "%" * 256,
    "x=y",
]


@pytest.fixture(scope="module")
def batches(some_batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Batches with ids that are up to no good among them."""
    pages = {"pageFrom": "a\x1b[2J", "pageTo": "b"}
    shown = {"time": "2018-10-20T23:00:00+05:45", "type": "navigate", "properties": pages}
    return [*some_batches[:200], *(batch(name, other, click(1), shown) for name in HOSTILE for other in HOSTILE)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, run: Run, batches: list[dict[str, Any]]) -> Path:
    """A data folder that holds them."""
    folder = tmp_path_factory.mktemp("export") / "it's [a] data*folder"
    run("import", "-", "--data", folder, given=ndjson(batches))
    return folder


def upper(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Batches with their types as they are kept."""
    return [one | {"actions": [act | {"type": act["type"].upper()} for act in one["actions"]]} for one in batches]


def test_every_format_holds_the_same(run: Run, kept: Path, tmp_path: Path, batches: list[dict[str, Any]]) -> None:
    """Each of the five formats has every action once, says how many, and leaves nothing but its file."""
    wanted = facts_of(upper(batches))
    for form in FORMATS:
        done = run("export", "--data", kept, "--format", form, "--out", tmp_path / f"all.{form}")
        assert f"exported {len(wanted)} actions" in done.err
    assert {file.name for file in tmp_path.iterdir()} == {f"all.{form}" for form in FORMATS}
    assert facts([json.loads(line) for line in (tmp_path / "all.ndjson").read_text("utf-8").splitlines()]) == wanted
    assert facts_of(json.loads((tmp_path / "all.json").read_text("utf-8"))) == wanted
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == len(wanted)
    with duckdb.connect() as engine:
        columns = "SELECT user_id, session_id, type, properties FROM read_parquet($file)"
        found = engine.execute(columns, {"file": str(tmp_path / "all.parquet")}).fetchall()
    names = ("userId", "sessionId", "type", "properties")
    rows = [[*row[:3], json.loads(row[3])] for row in found]
    assert sorted(map(str, rows)) == sorted(str([json.loads(one)[name] for name in names]) for one in wanted)
    with nanoarrow.ipc.InputStream.from_path(str(tmp_path / "all.arrow")) as stream:
        assert sum(len(array) for array in nanoarrow.ArrayStream(stream)) == len(wanted)


def test_filters_narrow_an_export(run: Run, kept: Path) -> None:
    """User, session, types and one or both ends of a time range narrow an export to just what they say."""
    everything = run("export", "--data", kept).rows()
    times = sorted({row["time"] for row in everything if row["type"] == "CLICK"})
    low, high = times[len(times) // 4], times[len(times) // 2]
    for options, wanted in (
        (["--user", "user-07"], lambda row: row["userId"] == "user-07"),
        (["--session", ".."], lambda row: row["sessionId"] == ".."),
        (["--type", "Navigate", "--type", "click", "--user", "."], lambda row: row["userId"] == "."),
        (["--from", low, "--type", "click"], lambda row: row["type"] == "CLICK" and row["time"] >= low),
        (["--to", high, "--type", "click"], lambda row: row["type"] == "CLICK" and row["time"] <= high),
        (["--from", "2018-10-20", "--to", "2018-10-20"], lambda row: True),  # noqa: ARG005
    ):
        found = run("export", "--data", kept, *options).rows()
        assert facts(found) == facts([row for row in everything if wanted(row)]), options


def test_a_file_for_each_session(run: Run, kept: Path, tmp_path: Path, batches: list[dict[str, Any]]) -> None:
    """Every session has one file in its user's folder, under a safe name; the lines in all are the actions."""
    folder = tmp_path / "sessions"
    done = run("export", "--data", kept, "--sessions", folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["sessions"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    sessions = {(one["userId"], one["sessionId"]) for one in batches}
    assert f"of {len(sessions)} sessions" in done.err
    assert len(files) == len(sessions)
    rows = []
    for file in files:
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        assert len({(line["userId"], line["sessionId"]) for line in lines}) == 1
        for name, text in ((file.parent.name, lines[0]["userId"]), (file.stem, lines[0]["sessionId"])):
            assert re.fullmatch(r"[A-Za-z0-9_~%=-][A-Za-z0-9_~%=.-]*", name)
            assert len(f"{name}.ndjson") <= 255
            assert "=" in name or unquote(name) == text
        assert file.parent.parent == folder
        rows += lines
    assert facts(rows) == facts_of(upper(batches))
    assert "is there already" in run("export", "--data", kept, "--sessions", folder, code=1).err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "xml"], "ndjson, csv, json, parquet, arrow"),
        (["--type", "hover"], "click, view, navigate"),
        (["--from", "2020-01-01", "--to", "2019-01-01"], "swap them"),
        (["--from", "soon"], "is not a time"),
        (["--user", ""], "1 to 256"),
        (["--out", "/nowhere/at/all"], "cannot write"),
        (["--data", "/nowhere"], "is not a footpath data folder"),
    ],
)
def test_what_cannot_be_exported(options: list[str], says: str, run: Run, kept: Path) -> None:
    """An option that makes no sense ends with 1 and one sentence on standard error."""
    done = run("export", "--data", kept, *options, code=1)
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert not done.out


def test_a_failed_export_leaves_no_file(run: Run, tmp_path: Path, some_batches: list[dict[str, Any]]) -> None:
    """When a part cannot be read, the export ends with 1, and the file that was there before is as it was."""
    data, out = tmp_path / "data", tmp_path / "out" / "all.ndjson"
    run("import", "-", "--data", data, given=ndjson(some_batches[:10]))
    next((data / "parts").iterdir()).write_bytes(b"PAR1 is not enough")
    out.parent.mkdir()
    out.write_text("before", encoding="utf-8")
    assert "footpath check" in run("export", "--data", data, "--out", out, code=1).err
    assert [(file.name, file.read_text("utf-8")) for file in out.parent.iterdir()] == [("all.ndjson", "before")]


def test_a_terminal_gets_a_table_without_control_characters(run: Run, kept: Path) -> None:
    """A table shows local time and readable properties; of ids and properties a terminal gets no control character."""
    for user in HOSTILE[6:8]:
        shown = run("find", "--data", kept, "--user", user, terminal=200).out
        assert "went a\\x1b[2J → b" in shown
        assert "2018-10-20 23:00:00 +05:45" in shown
        assert_harmless(shown)
    shown = run("find", "--data", kept, "--to", "2018-10-20T23:00:00+05:45", "--limit", "300", terminal=200).out
    assert "[bold]not bold[/bold]" in shown
    assert "\\x1b[31mred" in shown
    assert "right\\u202eleft" in shown
    assert_harmless(shown)


def assert_harmless(shown: str) -> None:
    """Check that a terminal is sent nothing but text, line ends and bold."""
    left = re.sub(r"\x1b\[(0|1)?m|\r\n", "", shown)
    assert left.isprintable(), {letter for letter in left if not letter.isprintable()}


def test_a_pipe_gets_lines(run: Run, kept: Path) -> None:
    """In a pipe find gives NDJSON: as many as limit says from the end that order says, or everything."""
    everything = run("find", "--data", kept).rows()
    assert len(everything) == len(run("export", "--data", kept).rows())
    newest = run("find", "--data", kept, "--order", "desc", "--limit", 3).rows()
    assert [row["seq"] for row in newest] == [row["seq"] for row in reversed(everything[-3:])]


def test_a_long_table_says_that_there_is_more(run: Run, kept: Path) -> None:
    """Without limit a terminal gets fifty actions."""
    shown = run("find", "--data", kept, "--type", "click", terminal=250).out
    assert shown.count("CLICK") == 50


def test_reads_go_beside_a_server(run: Run, start: Start, some_batches: list[dict[str, Any]]) -> None:
    """While a server holds the folder, export sees what is in its journal and in its parts, each once."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "3600", "FOOTPATH_FLUSH_ACTIONS": "4000"})
    for place in range(0, 1400, 100):  # 7,000 actions: one flush, the rest stays in the journal
        assert server.submit(some_batches[place : place + 100]).status_code == 200
    wait_until("there is a part", server.parts)
    assert facts(run("export", "--data", server.data).rows()) == facts_of(some_batches[:1400])
