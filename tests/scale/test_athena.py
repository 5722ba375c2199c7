"""The find over Athena's API: the suite of every find, and what Athena alone has: parameters, result files, stops."""

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from footpath.aws import athena as engines
from footpath.aws.address import AthenaAddress, find_address
from footpath.aws.athena import Athena
from footpath.aws.find import TableFind
from footpath.errors import ReadFailed
from footpath.find import sql
from footpath.find.base import Shape
from footpath.query import Query
from tests.conformance import test_find as suite
from tests.scale import athena, servers
from tests.scale.lake import Lake
from tests.scale.test_find import Table

Served = tuple[str, athena.Api]


@pytest.fixture(scope="module")
def served(aws: Mapping[str, str], s3: servers.S3, trino: servers.Trino) -> Iterator[Served]:
    """The stand-in for Athena."""
    assert aws
    with athena.serving(s3, trino) as made:
        yield made


@pytest.fixture
def lake(aws: Mapping[str, str], s3: servers.S3, tmp_path: Path) -> Lake:
    """A table of the test's own."""
    assert aws
    return Lake(s3.bucket, tmp_path)


def address(served: Served, s3: servers.S3, lake: Lake) -> AthenaAddress:
    """The address of the table in Athena."""
    found = find_address(f"athena://{lake.database}?output=s3://{s3.bucket}/results&endpoint={served[0]}")
    assert isinstance(found, AthenaAddress)
    return found


@pytest.fixture
def engine(served: Served, s3: servers.S3, lake: Lake) -> Athena:
    """Athena over the table."""
    return Athena(address(served, s3, lake))


@pytest.fixture
def fitting(engine: Athena, lake: Lake) -> Iterator[Table]:
    """The find over it."""
    with closing(Table(lake, engine, engines)) as made:
        yield made


test_nothing_that_matches_ends_at_once = suite.test_nothing_that_matches_ends_at_once
test_what_was_kept_is_seen_at_once_and_once = suite.test_what_was_kept_is_seen_at_once_and_once
test_a_find_that_has_begun_does_not_change = suite.test_a_find_that_has_begun_does_not_change
test_a_large_answer_comes_in_chunks = suite.test_a_large_answer_comes_in_chunks
test_a_find_that_is_cut_off_says_so = suite.test_a_find_that_is_cut_off_says_so


@pytest.mark.parametrize(
    "text", ["it's", 'a "b", c', "two\nlines", "CR\r\nLF", "\\", "?", "%", "é\U0001f463", "a\x00b", "'" * 256]
)
def test_any_text_goes_and_comes_as_it_is(engine: Athena, lake: Lake, text: str) -> None:
    """An id of any text finds its own action, and it and the properties come back as they were."""
    body = {
        "userId": text,
        "sessionId": "s",
        "actions": [{"time": "2018-10-20T21:37:28Z", "type": "CLICK", "properties": {"t": text}}],
    }
    lake.keep(body)
    rows = list(itertools.chain.from_iterable(TableFind(engine).rows(Query(user_id=text), Shape.CELLS).rows))
    assert [(row[0], row[5]) for row in rows] == [(text, None)]
    assert json.loads(rows[0][4]) == {"t": text}


def test_what_a_read_took_is_logged(engine: Athena, lake: Lake) -> None:
    """A read's bytes, and what they cost, at least that of 10 MB, stand in the log."""
    lake.keep(suite.request(["a"], "u", 0))
    with capture_logs() as logs:
        list(TableFind(engine).rows(Query(user_id="u"), Shape.CELLS).rows)
    (read,) = [line for line in logs if line["event"] == "athena read"]
    assert (read["bytes"], read["usd"], read["state"]) == (1_234, 0.00005, "SUCCEEDED")


def test_a_read_that_takes_too_long_is_stopped(served: Served, s3: servers.S3, lake: Lake) -> None:
    """When the time of a read is over it is stopped in Athena, and the error says what to do."""
    _, api = served
    slow = Athena(address(served, s3, lake), read_seconds=0.3)
    api.paused.clear()
    try:
        with pytest.raises(ReadFailed, match=r"longer than 0\.3 s; ask for less"):
            slow.begin(sql.over(slow.table, Query(user_id="u"), "time, seq"))
    finally:
        api.paused.set()
    assert api.stopped[-1] in api.queries


def test_what_is_missing_is_named_with_the_way_to_mend_it(served: Served, s3: servers.S3, lake: Lake) -> None:
    """A table that is not there, and a work group that puts results nowhere, are one sentence with the next step."""
    right = address(served, s3, lake)
    statement = sql.over('"none"', Query(user_id="u"), "time, seq")
    with pytest.raises(ReadFailed, match=r"TABLE_NOT_FOUND.*footpath setup aws --table"):
        Athena(right).begin(statement)
    with pytest.raises(ReadFailed, match="does not exist: make it with `footpath setup aws"):
        Athena(right._replace(table="none")).properties()
    with pytest.raises(ReadFailed, match=r"No output location.*add \?output=s3://BUCKET/PREFIX to --find"):
        Athena(right._replace(output=None)).begin(statement)
    with pytest.raises(ReadFailed, match=r"output bucket; make the bucket with `aws s3 mb.*\?output="):
        Athena(right._replace(output="s3://nowhere/results")).begin(statement)
    with pytest.raises(ReadFailed, match=r"w is not found.*make it with `footpath setup aws --workgroup w --results"):
        Athena(right._replace(workgroup="w")).begin(statement)
    with pytest.raises(ReadFailed, match="cannot be reached"):
        Athena(right._replace(endpoint=f"http://127.0.0.1:1/{uuid.uuid4().hex}")).begin(statement)
