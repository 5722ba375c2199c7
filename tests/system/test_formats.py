"""The formats of a read hold the same actions: lines, CSV, Arrow and Parquet against the JSON answer.

Read back with the tools of others: the csv module and pyarrow.
"""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from tests.system.conftest import Server, Start, wait_until

Json = dict[str, Any]

NDJSON, CSV = "application/x-ndjson", "text/csv"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
EVERYTHING = {"fromTime": "0001-01-01", "toTime": "9999-12-31"}
COLUMNS = ["user_id", "session_id", "time", "utc_offset", "type", "properties", "id", "seq", "received_at"]
HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"]
MILD = ["plain", 'a "quoted", one', "two\nlines", "CR\r\nLF", "\u00e9\U0001f463", "'", "a=1", "\0"]


def action(number: int, **members: Any) -> Json:
    """An action that differs from the others."""
    time = f"2018-10-20T21:{number // 60:02}:{number % 60:02}.{number:06}-06:00"
    return {"time": time, "type": ["CLICK", "VIEW", "NAVIGATE"][number % 3], "properties": {"n": number}, **members}


@pytest.fixture(scope="module", params=["journal", "parts"])
def server(request: pytest.FixtureRequest, start: Start) -> Server:
    """A server that holds actions with ids of every kind, in the journal or in parts."""
    seconds = "3600" if request.param == "journal" else "0.05"
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": seconds})
    body = [
        {"userId": text, "sessionId": text, "actions": [action(2 * place), action(2 * place + 1, id=text)]}
        for place, text in enumerate([*HOSTILE, *MILD])
    ]
    odd = {"": 1, "deep": [{"x": None}, 2**70, -0.0, "\u2028"], "text": 'a"b,c\nd'}
    body.append({"userId": "odd", "sessionId": "s", "actions": [action(90, properties=odd)]})
    body.append({"userId": "ends", "sessionId": "s", "actions": [action(91, time="0001-01-01T00:00:00Z")]})
    body.append({"userId": "ends", "sessionId": "s", "actions": [action(92, time="9999-12-31T23:59:59.999999Z")]})
    answer = server.submit(body).json()
    assert answer["accepted"] == 2 * len([*HOSTILE, *MILD]) + 3, answer
    if request.param == "parts":
        wait_until("they are in a part", server.parts)
    return server


def rows(server: Server) -> list[Json]:
    """All lines of the NDJSON answer."""
    answer = server.retrieve(accept=NDJSON, **EVERYTHING)
    assert answer.status_code == 200
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.split("\n")[:-1]]


def test_lines_are_the_actions_of_the_json_answer(server: Server) -> None:
    """NDJSON has one object an action, in time order, with the ids of its batch, seq and receivedAt."""
    lines = rows(server)
    flat = [
        {"userId": batch["userId"], "sessionId": batch["sessionId"], **told}
        for batch in server.retrieve(**EVERYTHING).json()
        for told in batch["actions"]
    ]
    assert lines == sorted(lines, key=lambda line: (datetime.fromisoformat(line["time"]), line["seq"]))
    assert sorted(line["seq"] for line in lines) == list(range(1, len(flat) + 1))
    for line in lines:
        assert abs((datetime.fromisoformat(line.pop("receivedAt")) - datetime.now(UTC)).total_seconds()) < 600
        del line["seq"]
    assert sorted(map(json.dumps, lines)) == sorted(map(json.dumps, flat))


def test_csv_reads_back(server: Server) -> None:
    """CSV has a header and one record an action, and gives back every cell, formulas with a ' in front."""
    answer = server.retrieve(accept=CSV, **EVERYTHING)
    records = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    lines = rows(server)
    assert list(records[0]) == ["userId", "sessionId", "time", "type", "properties", "id", "seq", "receivedAt"]
    assert len(records) == len(lines)
    for record, line in zip(records, lines, strict=True):
        for name in ("userId", "sessionId", "id"):
            text = line.get(name, "")
            assert record[name] == (f"'{text}" if text in HOSTILE else text)
        assert json.loads(record["properties"]) == line["properties"]
        assert [record[name] for name in ("time", "type", "seq", "receivedAt")] == [
            line["time"], line["type"], str(line["seq"]), line["receivedAt"],
        ]  # fmt: skip


def test_no_cell_of_csv_is_a_formula(server: Server) -> None:
    """No cell of CSV begins with a character that makes a spreadsheet run it."""
    answer = server.retrieve(accept=CSV, **EVERYTHING)
    for record in csv.reader(io.StringIO(answer.content.decode(), newline="")):
        assert not [cell for cell in record if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}]


def check_table(table: pa.Table, lines: Sequence[Json]) -> None:
    """Hold that a table has the columns of a part and the actions of these lines, in their order."""
    assert table.schema.names == COLUMNS
    assert table.schema.field("time").type == pa.timestamp("us")
    assert table.schema.field("seq").type == pa.int64()
    found = table.to_pylist()
    assert [row["seq"] for row in found] == [line["seq"] for line in lines]
    for row, line in zip(found, lines, strict=True):
        time = datetime.fromisoformat(line["time"])
        offset = time.utcoffset()
        assert offset is not None
        assert row["time"].replace(tzinfo=UTC) == time
        assert row["utc_offset"] * 60 == offset.total_seconds()
        assert json.loads(row["properties"]) == line["properties"]
        assert [row[name] for name in ("user_id", "session_id", "type", "id")] == [
            line["userId"], line["sessionId"], line["type"], line.get("id"),
        ]  # fmt: skip
        assert row["received_at"].replace(tzinfo=UTC) == datetime.fromisoformat(line["receivedAt"])


def test_arrow_reads_back(server: Server) -> None:
    """The Arrow stream, read by pyarrow, has the columns of a part and the actions in time order."""
    with ipc.open_stream(server.retrieve(accept=ARROW, **EVERYTHING).content) as stream:
        check_table(stream.read_all(), rows(server))


def test_parquet_reads_back(server: Server) -> None:
    """The Parquet file, read by pyarrow, has the columns of a part and the actions in time order."""
    check_table(parquet.read_table(io.BytesIO(server.retrieve(accept=PARQUET, **EVERYTHING).content)), rows(server))


def test_parts_are_plain_parquet(server: Server) -> None:
    """The files in the data folder are read by pyarrow and hold what the server answers."""
    files = sorted((server.data / "parts").glob("*.parquet"))
    if not files:
        assert "3600" in server.environment.values()
        return
    table = pa.concat_tables([parquet.read_table(file) for file in files]).sort_by(
        [("time", "ascending"), ("seq", "ascending")]
    )
    check_table(table.select(COLUMNS), rows(server))


def test_nothing_found_in_every_format(server: Server) -> None:
    """What finds nothing is an empty answer of its format: no lines, a header, a schema without rows."""
    assert server.retrieve(userId="nobody", accept=NDJSON).content == b""
    assert server.retrieve(userId="nobody", accept=CSV).content.count(b"\n") == 1
    with ipc.open_stream(server.retrieve(userId="nobody", accept=ARROW).content) as stream:
        check_table(stream.read_all(), [])
    check_table(parquet.read_table(io.BytesIO(server.retrieve(userId="nobody", accept=PARQUET).content)), [])


@pytest.mark.parametrize("accept", [NDJSON, CSV, ARROW, PARQUET])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_every_format_are_the_whole(server: Server, accept: str, order: str) -> None:
    """Pages of seven, put together, are the answer without limit in the same order, whatever the format."""
    expected = [line["seq"] for line in rows(server)]
    seqs: list[int] = []
    url = f"/api/retrievelogs?fromTime=0001-01-01&toTime=9999-12-31&limit=7&order={order}"
    while url:
        answer = server.client.get(url, headers={"accept": accept})
        assert answer.status_code == 200
        page = seqs_of(answer.content, accept)
        assert len(page) <= 7
        seqs += page
        url = answer.links.get("next", {}).get("url", "")
    assert seqs == (expected if order == "asc" else expected[::-1])


def seqs_of(content: bytes, accept: str) -> list[int]:
    """The seqs in an answer."""
    if accept == NDJSON:
        return [json.loads(line)["seq"] for line in content.decode().split("\n")[:-1]]
    if accept == CSV:
        return [int(record["seq"]) for record in csv.DictReader(io.StringIO(content.decode(), newline=""))]
    if accept == ARROW:
        with ipc.open_stream(content) as stream:
            found = stream.read_all()
    else:
        found = parquet.read_table(io.BytesIO(content))
    seqs: list[int] = found.column("seq").to_pylist()
    return seqs


def test_a_path_comes_whole_and_a_long_one_in_pieces(server: Server) -> None:
    """What a user did in 64 KiB or less tells its length in its head; more comes in chunks; both hold every action."""
    for user, count in (("short", 3), ("long", 60)):
        actions = [action(number, properties={"n": number, "text": "x" * 2_000}) for number in range(count)]
        assert server.submit([{"userId": user, "sessionId": "s", "actions": actions}]).status_code == 200
        answer = server.retrieve(userId=user)
        (batch,) = answer.json()
        assert [told["properties"] for told in batch["actions"]] == [sent["properties"] for sent in actions]
        heads = [name for name in ("content-length", "transfer-encoding") if name in answer.headers]
        assert heads == (["content-length"] if user == "short" else ["transfer-encoding"])
        assert len(answer.content) == int(answer.headers.get("content-length", len(answer.content)))
    nothing = server.retrieve(userId="nobody")
    assert (nothing.text, nothing.headers["content-length"]) == ("[]", "2")
