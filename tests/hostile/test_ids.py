"""Ids that mean something to a file system, SQL, a log, a spreadsheet, a browser or a terminal are only ids here.

Each stands as userId, sessionId and id of an action of its own. What cannot be an id is refused by name.
"""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.system.conftest import Server, Start, wait_until

TIME = "2018-10-20T21:37:28Z"

IDS: dict[str, str] = {
    "a folder up": "../../etc/passwd",
    "a folder up, backslashes": "..\\..\\windows\\win.ini",
    "a folder up, encoded": "%2e%2e%2f%2e%2e%2fetc",
    "a folder up, encoded twice": "%252e%252e%252f",
    "one dot": ".",
    "two dots": "..",
    "three dots": "...",
    "dots and slashes": "./.././..",
    "a hidden file": ".ssh",
    "an absolute path": "/etc/passwd",
    "a drive": "C:\\autoexec.bat",
    "a share": "\\\\host\\share",
    "a file URL": "file:///etc/passwd",
    "a stream of NTFS": "a.txt::$DATA",
    "CON": "CON",
    "con with an extension": "con.ndjson",
    "NUL the device": "NUL",
    "COM1": "COM1",
    "LPT9": "lpt9.txt",
    "a dot at the end": "a.",
    "a space at the end": "a ",
    "a space": " ",
    "a home": "~root",
    "a pattern": "*?[a-z]{1,2}",
    "a NUL": "a\0b",
    "only a NUL": "\0",
    "a line feed": "a\nb",
    "CR LF": 'a\r\n{"event": "forged", "level": "error"}',
    "a header": "a\r\nSet-Cookie: b=c",
    "tab": "\ta",
    "an escape sequence": "\x1b[2J\x1b]0;title\x07",
    "a C1 escape": "\u009b31m",
    "backspaces": "a\b\bb",
    "a DEL": "a\x7f",
    "a quote": "O'Brien",
    "two quotes": "''",
    "double quotes": '"a"',
    "a backquote": "`id`",
    "or 1=1": "' OR 1=1--",
    "or 1=1 in double quotes": '" OR ""="',
    "drop table": "'); DROP TABLE journal; --",
    "union": "x' UNION SELECT * FROM keys --",
    "a parameter of SQL": "$user_id ? :name @name",
    "a comment of SQL": "/* */ --",
    "read_parquet": "x') FROM read_parquet('/etc/passwd') --",
    "like": "%",
    "under": "_",
    "a formula": "=cmd|' /C calc'!A0",
    "a formula with plus": "+1+1",
    "a formula with minus": "-1+1",
    "a formula with at": "@SUM(1,1)",
    "a formula after a tab": "\t=1+1",
    "a formula after CR": "\r=1+1",
    "a formula after LF": "\n=1+1",
    "a formula of full width": "\uff1d1+1",
    "a cell": 'a","b',
    "a shell": "$(reboot); `reboot` | reboot && reboot",
    "a script": "<script>alert(1)</script>",
    "an attribute": '" onload="alert(1)',
    "an entity": "&lt;b&gt;",
    "a template": "{{7*7}} ${7*7} {% raw %}",
    "a format": "%s %n {0} {user_id}",
    "log4j": "${jndi:ldap://x/a}",
    "JSON": '{"userId": "other"}',
    "true": "true",
    "null": "null",
    "zero": "0",
    "a number": "1e400",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "a ligature": "\ufb01",
    "kelvin": "\u212a",
    "sharp s": "stra\u00dfe",
    "upper case": "ABC",
    "lower case": "abc",
    "a dotless i": "\u0131",
    "right to left": "\u202etxt.exe",
    "isolates": "\u2066a\u2069",
    "zero width": "a\u200bb",
    "byte order mark": "\ufeffa",
    "line separator": "a\u2028b",
    "no character": "\uffff",
    "private use": "\ue000",
    "highest": "\U0010ffff",
    "an emoji": "\U0001f600",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a flag": "\U0001f1fa\U0001f1f3",
    "256 letters": "a" * 256,
    "256 other letters": "a" * 255 + "b",
    "256 emoji": "\U0001f600" * 256,
    "256 slashes": "/" * 256,
    "many combining marks": "e" + "\u0301" * 255,
}
REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ('""', "not_batches"),
    "257 letters": (json.dumps("a" * 257), "not_batches"),
    "257 emoji": (json.dumps("\U0001f600" * 257, ensure_ascii=False), "not_batches"),
    "a number": ("7", "not_batches"),
    "null": ("null", "not_batches"),
    "an object": ('{"$ne": null}', "not_batches"),
    "an array": ('["a"]', "not_batches"),
    "true": ("true", "not_batches"),
    "half a pair": (r'"\ud800"', "not_json"),
    "the other half": (r'"a\udfff"', "not_json"),
    "a raw line feed": ('"a\nb"', "not_json"),
}


def action(place: int, name: str) -> dict[str, Any]:
    """An action with this id and a place to know it by."""
    return {"time": TIME, "type": "CLICK", "properties": {"place": place}, "id": name}


@pytest.fixture(scope="module")
def settled(start: Start) -> Server:
    """A server with all ids, half of them in parts."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "1"})
    batches = [
        {"userId": name, "sessionId": name, "actions": [action(place, name)]} for place, name in enumerate(IDS.values())
    ]
    half = len(batches) // 2
    assert server.submit(batches[:half]).json()["accepted"] == half
    wait_until("half is in parts", server.parts)
    assert server.submit(batches[half:]).json()["accepted"] == len(batches) - half
    return server


def test_each_id_is_itself_alone(settled: Server) -> None:
    """As a filter each id finds its own action and no other, and comes back as it was sent."""
    for place, (name, text) in enumerate(IDS.items()):
        for parameter in ("userId", "sessionId"):
            answer = settled.retrieve(**{parameter: text})
            assert answer.status_code == 200, (name, answer.text)
            assert answer.json() == [{"userId": text, "sessionId": text, "actions": [action(place, text)]}], name


def test_every_format_gives_each_id_back(settled: Server) -> None:
    """NDJSON has each id as it is, CSV has each as one cell that is no formula, and no line is forged."""
    lines = [
        json.loads(line)
        for line in settled.retrieve(accept="application/x-ndjson", logType="click").content.split(b"\n")[:-1]
    ]
    assert sorted(line["userId"] for line in lines) == sorted(IDS.values())
    assert all(line["userId"] == line["sessionId"] == line["id"] for line in lines)
    text = settled.retrieve(accept="text/csv", logType="click").content.decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert len(rows) == len(IDS)
    for row, line in zip(rows, lines, strict=True):
        assert {cell.removeprefix("'") for cell in (row[0], row[1], row[5])} <= {
            line["id"],
            line["id"].removeprefix("'"),
        }
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_no_answer_is_a_page(settled: Server, accept: str) -> None:
    """What is said of an id is never HTML, and a browser is not let guess."""
    for text in IDS.values():
        for answer in (
            settled.retrieve(accept=accept, userId=text),
            settled.client.get("/api/retrievelogs", params={text: "x"}),
            settled.client.get("/api/retrievelogs", params={"logType": text}),
            settled.client.get("/api/retrievelogs", params={"userId": "u", "cursor": text, "limit": "1"}),
        ):
            assert not answer.headers["content-type"].startswith("text/html")
            assert answer.status_code in {200, 400}


def test_pages_hold_nothing_that_was_sent(settled: Server) -> None:
    """The pages of the server do not change with what is in a path or parameter of theirs."""
    for path in ("/", "/docs"):
        plain = settled.client.get(path)
        for text in IDS.values():
            assert settled.client.get(f"{path}?q={quote(text, safe='')}").content == plain.content
    for text in IDS.values():
        answer = settled.client.get(f"/no/x{quote(text, safe='')}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


def test_a_page_goes_on_behind_any_id(settled: Server) -> None:
    """`Link` with any id in it leads to the next page, in one header line."""
    for text in IDS.values():
        assert (
            settled.submit({"userId": text, "sessionId": "second", "actions": [action(9, "second")]}).status_code == 200
        )
        first = settled.retrieve(userId=text, limit=1)
        link = first.headers["link"]
        second = settled.client.get(link[1 : link.index(">")])
        assert [batch["sessionId"] for batch in second.json()] == ["second"], text
        assert settled.retrieve(sessionId="second", userId=text).json()[0]["userId"] == text


def test_the_log_is_lines_of_json(settled: Server) -> None:
    """Whatever was sent, each line of the log is one JSON object of the server's own, and none was forged."""
    for text in IDS.values():
        settled.client.get(f"/{quote(text, safe='')}", headers={"x-id": quote(text)})
        settled.submit({"userId": text, "sessionId": "s", "actions": [{"time": text, "type": text, "properties": {}}]})
    lines = settled.log.read_text(encoding="utf-8").split("\n")
    events = [json.loads(line) for line in lines if line]
    assert all({"event", "level", "timestamp"} <= event.keys() for event in events)
    assert "forged" not in {event["event"] for event in events}
    assert not any(character < " " or character == "\x7f" for line in lines for character in line)


def test_a_file_for_each_session_stays_in_its_folder(settled: Server, tmp_path: Path) -> None:
    """An export by session makes one folder a user and one file a session under the named folder, and nothing else."""
    users = 2 + len(IDS)  # those of this module's other tests come under the same ids, but for two
    out = tmp_path / "deep" / "er" / "out"
    out.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "footpath", "export", "--data", str(settled.data), "--sessions", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert [path.name for path in tmp_path.rglob("*") if not path.is_relative_to(out)] == ["deep", "er"]
    folders = list(out.iterdir())
    assert len(folders) <= users
    names = {folder.name for folder in folders}
    assert len({name.upper() for name in names}) >= len(names) - 1  # ABC and abc are two here
    for folder in folders:
        assert folder.is_dir()
        for file in folder.iterdir():
            assert file.is_file()
            assert file.suffix == ".ndjson"
            for name in (folder.name, file.stem):
                assert len(name.encode()) <= 255
                assert not name.startswith(".")
                assert not name.endswith(".")
                assert name.partition(".")[0].upper() not in {"CON", "NUL", "COM1", "LPT9"}
                assert all(letter.isalnum() or letter in "-_~.%= " for letter in name)
            told = json.loads(file.read_bytes().splitlines()[0])
            assert "=" in folder.name or unquote(folder.name) == told["userId"]
    kept = {json.loads(file.read_bytes().splitlines()[0])["userId"] for file in out.glob("*/*.ndjson")}
    assert kept >= set(IDS.values())


@pytest.mark.parametrize("field", ["userId", "sessionId"])
def test_what_is_no_id_is_refused(settled: Server, field: str) -> None:
    """What cannot be a user's or a session's id refuses the request with its code."""
    other = "sessionId" if field == "userId" else "userId"
    for name, (text, code) in REFUSED.items():
        body = f'{{"{field}": {text}, "{other}": "refused", "actions": [{json.dumps(action(1, "a"))}]}}'
        answer = settled.submit(body.encode())
        assert (answer.status_code, answer.json()["code"]) == (400, code), name
    assert settled.retrieve(**{other: "refused"}).json() == []


def test_what_is_no_id_of_an_action_refuses_it_alone(settled: Server) -> None:
    """What cannot be an action's id refuses that action and leaves the one beside it; null is no id."""
    for name, (text, code) in REFUSED.items():
        if code == "not_json" and "\n" in text:
            continue  # where that string ends is not told
        body = f'{{"userId": "id {name}", "sessionId": "s", "actions": [%s, {json.dumps(action(1, "good"))}]}}'
        bad = json.dumps(action(0, "HERE")).replace('"HERE"', text)
        answer = settled.submit((body % bad).encode()).json()
        if name == "null":
            assert (answer["accepted"], answer["rejected"]) == (2, [])
        else:
            assert [(one["action"], one["code"]) for one in answer["rejected"]] == [(0, "bad_id")], name
            assert answer["accepted"] == 1
