"""An Iceberg table through Trino: each action once whatever was put twice, errors with their next step, forgetting."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from footpath.aws import forgetting, positions
from footpath.aws.address import TrinoAddress
from footpath.aws.find import TableFind
from footpath.aws.forgetting import TableForget
from footpath.aws.trino import PASSWORD, Trino
from footpath.errors import BadSetting, ForgetFailed, ReadFailed
from footpath.find import sql
from footpath.find.answer import page
from footpath.find.base import Shape
from footpath.query import Query, parse
from footpath.store.forgetting import DAY, Receipt
from tests.conformance.test_find import request
from tests.scale import servers
from tests.scale.lake import SHARD, STREAM, Lake

OTHER_SHARD = "shardId-000000000007"


@pytest.fixture
def lake(aws: Mapping[str, str], s3: servers.S3, tmp_path: Path) -> Iterator[Lake]:
    """A table of the test's own."""
    assert aws
    made = Lake(s3.bucket, tmp_path)
    yield made
    made.drop()


@pytest.fixture
def where(trino: servers.Trino, lake: Lake) -> TrinoAddress:
    """Where Trino has it."""
    return TrinoAddress(trino.host, trino.port, trino.catalog, lake.database)


def names(find: TableFind, query: Query) -> list[str]:
    """The names of the actions that are found."""
    rows = itertools.chain.from_iterable(find.rows(query, Shape.CELLS).rows)
    return [json.loads(row[4])["name"] for row in rows]


def test_what_was_put_twice_is_read_once(lake: Lake, where: TrinoAddress) -> None:
    """A batch that stands in the table three times, also from another shard, is found once by every kind of read."""
    for shard in (SHARD, OTHER_SHARD, SHARD):
        lake.keep(request(["a", "b", "c"], "u", 0), batch_ids=["0" * 32], shard=shard)
    lake.keep(request(["d"], "u", 3))
    find = TableFind(Trino(where))
    assert names(find, Query(user_id="u")) == list("abcd")
    assert names(find, Query(types=("VIEW",), order="desc")) == list("dcba")
    assert [row["seq"] for piece in find.columns(Query()) for row in piece.to_pylist()] == sorted(
        row["seq"] for piece in find.columns(Query()) for row in piece.to_pylist()
    )
    walked: list[str] = []
    text: str | None = "userId=u&limit=1"
    while text is not None:
        body, cursor = page(find, parse(text.encode()), "ndjson")
        walked.append(json.loads(body)["properties"]["name"])
        text = None if cursor is None else f"userId=u&limit=1&cursor={cursor}"
    assert walked == list("abcd")


def test_an_id_that_came_in_two_requests_is_read_once(lake: Lake, where: TrinoAddress) -> None:
    """Of two actions of one user with one id the first is found, and the same id of another user is another action."""
    for user in ("u", "u", "v"):
        body = request(["a", "b"], user, 0)
        body["actions"][0]["id"] = "one"
        lake.keep(body)
    find = TableFind(Trino(where))
    assert names(find, Query(user_id="u")) == ["a", "b", "b"]
    assert names(find, Query(user_id="v")) == ["a", "b"]


def test_how_complete_the_table_is_comes_from_its_slowest_shard(lake: Lake, where: TrinoAddress) -> None:
    """A table that no sink has written is complete until nobody knows; then until its slowest shard was read."""
    assert TableFind(Trino(where)).complete_until() is None
    before = datetime.now(UTC)
    lake.keep(request(["a"], "u", 0))
    lake.keep(request(["b"], "u", 0), shard=OTHER_SHARD)
    told = lake.properties[f"{positions.COMPLETE}{STREAM}.{SHARD}"]
    until = TableFind(Trino(where)).complete_until()
    assert until is not None
    assert datetime.fromtimestamp(until / 1_000_000, UTC) == datetime.fromisoformat(told)
    assert datetime.fromisoformat(told) >= before - timedelta(milliseconds=1)


def test_what_is_missing_is_named_with_the_way_to_mend_it(
    where: TrinoAddress, glue: servers.Glue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thing that can be missing is one sentence that names it and the next step."""
    statement = sql.over('"none"', Query(user_id="u"), "time, seq")
    with pytest.raises(ReadFailed, match=r"TABLE_NOT_FOUND.*make it with `footpath setup aws --table"):
        Trino(where).begin(statement)
    with pytest.raises(ReadFailed, match=r"SCHEMA_NOT_FOUND.*make it with `footpath setup aws --table"):
        Trino(where._replace(schema="none")).begin(statement)
    with pytest.raises(ReadFailed, match=r"CATALOG_NOT_FOUND.*SHOW CATALOGS"):
        Trino(where._replace(catalog="none")).begin(statement)
    with pytest.raises(ReadFailed, match=r"Trino at 127\.0\.0\.1:1 does not answer.*start it, or name another"):
        Trino(where._replace(port=1)).begin(statement)
    other = int(glue.endpoint.rpartition(":")[2])
    with pytest.raises(ReadFailed, match=r"is it a Trino|does not answer"):
        Trino(where._replace(port=other)).begin(statement)
    monkeypatch.setenv(PASSWORD, "secret")
    with pytest.raises(BadSetting, match=r"only sent over TLS: add \?tls=true") as told:
        Trino(where)
    assert "secret" not in str(told.value)


def test_a_read_ends_with_its_time(lake: Lake, where: TrinoAddress) -> None:
    """A read that is not through when its time is over raises ReadFailed, which says what to do."""
    lake.keep(request(["a"], "u", 0))
    with pytest.raises(ReadFailed, match=r"longer than 0\.001 s; ask for less"):
        Trino(where, read_seconds=0.001).begin(sql.over('"actions"', Query(), "time, seq"))


def forget(orders: TableForget, user: str, *, before: int | None = None, refuse_days: float | None = 30.0) -> Receipt:
    """Order that a user be forgotten, and wait for the receipt."""
    asked = orders.ask(user, before=before, refuse_days=refuse_days)
    while (receipt := orders.receipt(asked.number)) is None:
        time.sleep(0.02)
    return receipt


def test_forgetting_removes_a_user_while_sinks_commit(lake: Lake, where: TrinoAddress) -> None:
    """While another thread commits, a user is forgotten: all of the others' is there, and the tombstone for sinks."""
    lake.keep(request(["a", "b"], "u", 0))
    stop = threading.Event()
    kept: list[str] = []

    def others() -> None:
        for place in itertools.count():
            if stop.is_set():
                return
            lake.keep(request([f"{place}"], "v", place))
            kept.append(f"{place}")

    sink = threading.Thread(target=others)
    sink.start()
    try:
        with closing(TableForget(Trino(where), lake.catalog, lake.address)) as orders:
            receipt = forget(orders, "u")
    finally:
        stop.set()
        sink.join()
    assert receipt.actions == 2
    find = TableFind(Trino(where))
    assert names(find, Query(user_id="u")) == []
    assert names(find, Query(user_id="v")) == kept
    (name,) = [name for name in lake.properties if name.startswith(positions.FORGOTTEN)]
    assert "u" not in name.removeprefix(positions.FORGOTTEN)
    assert datetime.fromisoformat(lake.properties[name]) > datetime.now(UTC) + timedelta(days=29)


def test_forgetting_before_a_time_or_with_return_waits_for_the_sinks(
    lake: Lake, where: TrinoAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a tombstone only what was received before the order goes, once the table has all of that."""
    monkeypatch.setattr(forgetting, "LOOK_SECONDS", 0.1)
    lake.keep(request(["a", "b", "c"], "u", 0))
    with closing(TableForget(Trino(where), lake.catalog, lake.address)) as orders:
        middle = round(datetime(2018, 10, 20, 0, 0, 3, tzinfo=UTC).timestamp()) * 1_000_000
        asked = orders.ask("u", before=middle, refuse_days=30.0)
        assert (asked.until, orders.receipt(asked.number)) == (None, None)
        lake.keep(request(["later"], "u", 0))
        while (receipt := orders.receipt(asked.number)) is None:
            time.sleep(0.02)
        assert receipt.actions == 2
        assert sorted(names(TableFind(Trino(where)), Query(user_id="u"))) == ["c", "later"]
        monkeypatch.setattr(forgetting, "SETTLE_SECONDS", 0.0)
        with pytest.raises(ForgetFailed, match=r"is footpath sink running.*ask again"):
            forget(orders, "u", refuse_days=None)


def command(aws: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run footpath."""
    return subprocess.run(
        [sys.executable, "-m", "footpath", *words],
        env={**os.environ, **aws},
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_forget_and_expire(
    aws: Mapping[str, str], lake: Lake, where: TrinoAddress, trino: servers.Trino
) -> None:
    """`footpath forget --find` prints a receipt, and `footpath expire` deletes what is older than it is kept."""
    find = f"{trino.address}/{lake.database}"
    now = datetime.now(UTC)
    new = {
        "userId": "v",
        "sessionId": "s",
        "actions": [{"time": now.isoformat(), "type": "CLICK", "properties": {"name": "new"}}],
    }
    lake.keep([request(["a"], "u", 0), request(["b"], "v", 0), new])
    done = command(aws, "forget", "u", "--find", find, "--table", str(lake.address))
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["userId"], json.loads(done.stdout)["actions"]) == ("u", 1)
    assert names(TableFind(Trino(where)), Query()) == ["b", "new"]
    assert names(TableFind(Trino(where), oldest=lambda: time.time_ns() // 1000 - DAY), Query()) == ["new"]
    done = command(aws, "expire", "--find", find, "--keep", "90d")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["actions"] == 1
    assert names(TableFind(Trino(where)), Query()) == ["new"]
    done = command(aws, "forget", "u", "--find", find)
    assert done.returncode == 1
    assert "needs --table iceberg://" in done.stderr
