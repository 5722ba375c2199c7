"""`footpath import`: every form of file, what is refused, and running it again after anything."""

import gzip
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.commands.conftest import Run, batch, click, environment, facts, facts_of, ndjson
from tests.system.conftest import Start, wait_until

ALL = "12000 accepted, 0 duplicates, 0 rejected\n"
AGAIN = "0 accepted, 12000 duplicates, 0 rejected\n"


@pytest.mark.parametrize("form", ["pretty", "packed"])
def test_every_form_of_file_holds_the_same_actions(
    form: str, run: Run, data: Path, tmp_path: Path, some_batches: list[dict[str, Any]]
) -> None:
    """Batches are all imported, whether they stand in one array over many lines or one a line in two gzip members."""
    content = json.dumps(some_batches, indent=2).encode()
    if form == "packed":
        content = gzip.compress(b"\xef\xbb\xbf" + ndjson(some_batches[:1000])) + gzip.compress(
            ndjson(some_batches[1000:])
        )
    file = tmp_path / "file"
    file.write_bytes(content)
    assert run("import", file, "--data", data).out == ALL
    assert facts(run("export", "--data", data).rows()) == facts_of(some_batches)


def test_an_export_can_be_imported(run: Run, data: Path, tmp_path: Path, some_batches: list[dict[str, Any]]) -> None:
    """The rows and the batches of an export, imported into another folder, are the same actions there."""
    some = some_batches[:600]
    run("import", "-", "--data", data, given=ndjson(some))
    rows = run("export", "--data", data).out.encode()
    paths = run("export", "--format", "json", "--data", data).out.encode()
    for place, given in enumerate((rows, paths)):
        other = tmp_path / f"other-{place}"
        assert run("import", "-", "--data", other, given=given).out == "3000 accepted, 0 duplicates, 0 rejected\n"
        assert facts(run("export", "--data", other).rows()) == facts_of(some)


def test_what_is_refused_is_told_with_its_place_and_kept_with_its_text(run: Run, data: Path, tmp_path: Path) -> None:
    """Each refusal names file, line and reason; the rejects file has its text; the rest is imported; the exit is 0."""
    zap = {"time": "2020-01-01T00:00:00Z", "type": "ZAP\x1b[31m"}
    lines = [
        json.dumps(batch("a", "s", click(1), zap, click(2))),
        "this is not JSON {",
        json.dumps({"userId": "a", "sessionId": "s", "time": "noon", "type": "CLICK"}),
        json.dumps([batch("b", "s", click(3)), {"userId": 7, "sessionId": "s", "actions": []}]),
        '{"userId": "a", "sessionId": "s", "actions": [' + "[" * 100_000,
        json.dumps({"userId": "a", "sessionId": "s", "deep": json.loads("[" * 300 + "]" * 300)}),
        json.dumps(batch("c", "s", click(4))),
    ]
    file, rejects = tmp_path / "file.ndjson", tmp_path / "rejects.ndjson"
    file.write_text("\n".join(lines), encoding="utf-8")
    done = run("import", file, "--data", data, "--rejects", rejects)
    assert done.out == "4 accepted, 0 duplicates, 6 rejected\n"
    kept = {(row["line"], row["action"]): row for row in map(json.loads, rejects.read_text("utf-8").splitlines())}
    assert {place: row["code"] for place, row in kept.items()} == {
        (1, 1): "unknown_type",
        (2, None): "not_json",
        (3, None): "bad_time",
        (4, None): "not_batches",
        (5, None): kept[5, None]["code"],
        (6, None): "too_deep",
    }
    assert kept[5, None]["code"] in {"not_json", "too_deep"}
    assert json.loads(kept[1, 1]["raw"]) == zap
    assert kept[2, None]["raw"] == "this is not JSON {"
    assert f"{file}:1 action 1: unknown_type: " in done.err
    assert f"{file}:2: not_json: " in done.err
    assert "\x1b" not in done.err


def test_importing_twice_stores_once(run: Run, data: Path, tmp_path: Path, some_batches: list[dict[str, Any]]) -> None:
    """The same content under another name, in other blanks and packed, is known again and stored no second time."""
    run("import", "-", "--data", data, given=ndjson(some_batches))
    file = tmp_path / "other.gz"
    file.write_bytes(gzip.compress(ndjson(some_batches).replace(b"\n", b"\n\n")))
    assert run("import", file, "--data", data).out == AGAIN
    assert len(run("export", "--data", data).rows()) == 12_000


def test_a_killed_import_goes_on(run: Run, data: Path, tmp_path: Path, some_batches: list[dict[str, Any]]) -> None:
    """After kill -9 in the middle, the same import stores exactly what was missing."""
    many = [one | {"userId": f"{one['userId']}-{turn}"} for turn in range(4) for one in some_batches]
    file = tmp_path / "file.ndjson"
    file.write_bytes(ndjson(many))
    process = subprocess.Popen(
        [sys.executable, "-m", "footpath", "import", str(file), "--data", str(data)], env=environment()
    )
    log = data / "footpath.db-wal"
    wait_until("a commit is in the log", lambda: log.exists() and log.stat().st_size > 500_000)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    first = len(run("export", "--data", data).rows())
    assert 0 < first < 48_000
    assert run("import", file, "--data", data).out == f"{48_000 - first} accepted, {first} duplicates, 0 rejected\n"
    assert facts(run("export", "--data", data).rows()) == facts_of(many)
    run("check", "--data", data)


def test_a_folder_that_a_server_holds(run: Run, start: Start, some_batches: list[dict[str, Any]]) -> None:
    """The folder is refused with its holder's address, where the import succeeds; done again offline, it is known."""
    server = start()
    done = run("import", "-", "--data", server.data, given=ndjson(some_batches), code=1)
    assert server.url in done.err
    assert "--url" in done.err
    assert run("import", "-", "--url", server.url, given=ndjson(some_batches)).out == ALL
    assert run("import", "-", "--url", server.url, given=ndjson(some_batches)).out == AGAIN
    server.stop()
    assert run("import", "-", "--data", server.data, given=ndjson(some_batches)).out == AGAIN
    assert facts(run("export", "--data", server.data).rows()) == facts_of(some_batches)


def test_rejects_of_a_server_are_placed(run: Run, start: Start) -> None:
    """What a server refuses is told with its line in the file."""
    server = start()
    given = ndjson([batch("a", "s", click(1)), batch("a", "s", click(2), {"type": "CLICK"})])
    done = run("import", "-", "--url", server.url, given=given)
    assert done.out == "2 accepted, 0 duplicates, 1 rejected\n"
    assert "standard input:2 action 1: bad_time: " in done.err


def test_a_cut_file_stores_only_what_a_whole_one_continues(
    run: Run, data: Path, tmp_path: Path, some_batches: list[dict[str, Any]]
) -> None:
    """A cut gzip file fails with exit 1; the whole one, imported then, stores nothing twice."""
    packed = gzip.compress(ndjson(some_batches))
    file = tmp_path / "file.gz"
    file.write_bytes(packed[: len(packed) * 3 // 4])
    assert "cannot be read to its end" in run("import", file, "--data", data, code=1).err
    file.write_bytes(packed)
    accepted, duplicates = re.findall(r"\d+", run("import", file, "--data", data).out)[:2]
    assert int(duplicates) > 0
    assert int(accepted) + int(duplicates) == 12_000
    assert facts(run("export", "--data", data).rows()) == facts_of(some_batches)


def test_a_session_larger_than_a_request(run: Run, data: Path, tmp_path: Path) -> None:
    """A batch of 25,000 actions, too many for a request, is imported in order."""
    file = tmp_path / "file.json"
    file.write_text(json.dumps([batch("u", "s", *(click(i // 3, i=i) for i in range(25_000)))]), encoding="utf-8")
    assert run("import", file, "--data", data).out == "25000 accepted, 0 duplicates, 0 rejected\n"
    rows = run("export", "--data", data).rows()
    assert [row["properties"]["i"] for row in rows] == list(range(25_000))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"once upon a time\nthere was a text\n", "nothing could be read"),
        (b"\xff\xfe[\x00]\x00", "UTF-16"),
    ],
)
def test_nothing_to_read_fails(given: bytes, says: str, run: Run, data: Path) -> None:
    """A file without one readable record ends with 1 and a sentence."""
    assert says in run("import", "-", "--data", data, given=given, code=1).err


def test_an_absent_file_fails_before_anything_is_imported(run: Run, data: Path, tmp_path: Path) -> None:
    """When one of the files is not there, nothing of the others is stored."""
    file = tmp_path / "file.ndjson"
    file.write_bytes(ndjson([batch("a", "s", click(1))]))
    assert "absent.ndjson" in run("import", file, tmp_path / "absent.ndjson", "--data", data, code=1).err
    assert not data.exists()


def test_an_empty_file_is_imported(run: Run, data: Path) -> None:
    """An empty file is no failure."""
    assert run("import", "-", "--data", data).out == "0 accepted, 0 duplicates, 0 rejected\n"


def test_a_server_that_is_not_there(run: Run) -> None:
    """An address where nobody listens is told in a sentence, at once."""
    given = ndjson([batch("a", "s", click(1))])
    assert (
        "is `footpath serve` running there?"
        in run("import", "-", "--url", "http://127.0.0.1:1", given=given, code=1).err
    )
