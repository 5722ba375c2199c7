"""The sink, from a real stream into a real table: each action once, sorted, whatever comes in between."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import boto3
import duckdb
import pytest

from footpath.aws import positions
from tests.crash.process import free_port
from tests.scale import servers
from tests.scale.brook import Brook, batch, brook, footpath, names
from tests.scale.sql import rows

WAIT_SECONDS = 90


@pytest.fixture
def one(aws: dict[str, str], s3: servers.S3, kinesis: servers.Kinesis, glue: servers.Glue) -> Iterator[Brook]:
    """An empty stream of two shards, and an empty table."""
    with brook(kinesis.endpoint, glue.endpoint, aws["AWS_ENDPOINT_URL_S3"], s3.bucket) as made:
        yield made


def test_each_action_is_there_once(one: Brook) -> None:
    """What was put by two users in three days is in the table once, with its times, and a second run adds nothing."""
    batches = [
        batch(number, f"user {number % 7}", f"s{number % 3}", actions=1 + number % 5) for number in range(0, 300, 2)
    ]
    one.put(batches)
    done = footpath(*one.sink_words(), "--once")
    assert f"{len(names(batches))} actions in" in done.stderr
    assert one.found() == names(batches)
    assert one.sink().actions == 0
    assert one.found() == names(batches)
    row = next(row for row in one.rows() if json.loads(row["properties"])["batch"] == 2)
    assert row["time"].isoformat() == "2026-03-01T08:00:28.123456+00:00"
    assert (row["utc_offset"], row["type"], row["id"], row["place"]) == (-360, "CLICK", None, 0)


def test_seqs_are_never_given_again(one: Brook) -> None:
    """Actions of many runs of the sink have seqs of their own, which rise within a user."""
    for turn in range(3):
        one.put([batch(turn, user, actions=5) for user in ("ANNA", "BORIS", "CHEN")])
        one.sink()
    found = [(json.loads(row["properties"])["batch"], row["user_id"], row["seq"]) for row in one.rows()]
    assert len({seq for _, _, seq in found}) == 45
    for user in ("ANNA", "BORIS", "CHEN"):
        turns = [[seq for turn, who, seq in found if (turn, who) == (number, user)] for number in range(3)]
        assert max(turns[0]) < min(turns[1]) < max(turns[1]) < min(turns[2])


def test_a_record_that_was_put_twice_is_there_once(one: Brook) -> None:
    """The second record of a producer's retry is left out, and counted."""
    one.put([batch(1), batch(2)])
    (shard,) = [shard for shard in one.shards() if records(one, shard)]
    for record in records(one, shard):
        one.client.put_record(StreamName=one.stream.stream, Data=record, PartitionKey="ANNA")
    assert one.sink().duplicates == 2
    assert one.found() == names([batch(1), batch(2)])


def records(one: Brook, shard: str) -> list[bytes]:
    """What a shard holds."""
    start = one.client.get_shard_iterator(
        StreamName=one.stream.stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    return [record["Data"] for record in one.client.get_records(ShardIterator=start)["Records"]]


def test_a_shard_that_is_split_is_read_to_its_end_first(one: Brook) -> None:
    """What was put before, between and after a split and a merge is all there, and the table knows who has ended."""
    users = [f"user {number}" for number in range(20)]
    put = [batch(1, user) for user in users]
    one.put(put)
    split(one, one.shards()[0])
    put += [batch(2, user) for user in users]
    one.put(put[-20:])
    one.sink()
    first, second, left, right = one.shards()
    one.client.merge_shards(StreamName=one.stream.stream, ShardToMerge=left, AdjacentShardToMerge=right)
    until_active(one)
    put += [batch(3, user) for user in users]
    one.put(put[-20:])
    one.sink()
    assert one.found() == names(put)
    states = positions.states(one.table().metadata.properties, one.stream.stream)
    assert {shard for shard, state in states.items() if state.closed} == {first, left, right}
    assert {shard for shard, state in states.items() if state.complete} == {second, one.shards()[-1]}
    by_user = {(row["user_id"], json.loads(row["properties"])["batch"]): row["seq"] for row in one.rows()}
    assert all(by_user[user, 1] < by_user[user, 2] < by_user[user, 3] for user in users)


def split(one: Brook, shard: str) -> None:
    """Split a shard in the middle."""
    listed = one.client.list_shards(StreamName=one.stream.stream)["Shards"]
    keys = next(found["HashKeyRange"] for found in listed if found["ShardId"] == shard)
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    one.client.split_shard(StreamName=one.stream.stream, ShardToSplit=shard, NewStartingHashKey=str(middle))
    until_active(one)


def until_active(one: Brook) -> None:
    """Wait until a stream is done with what it was told."""
    end = time.monotonic() + WAIT_SECONDS
    while status(one) != "ACTIVE":
        assert time.monotonic() < end
        time.sleep(0.05)


def status(one: Brook) -> str:
    """What the stream says of itself."""
    told = one.client.describe_stream_summary(StreamName=one.stream.stream)
    return str(told["StreamDescriptionSummary"]["StreamStatus"])


def test_what_is_not_ours_is_set_aside(one: Brook, s3: servers.S3) -> None:
    """Records that hold no actions are kept beside the table and told; those around them are in the table."""
    foreign = [b"hello", b"{}", b'{"v":1,"b":"x","u":"u","s":"s","r":1,"a":[{"time":"yesterday"}]}']
    one.put([batch(1)])
    for data in foreign:
        one.client.put_record(StreamName=one.stream.stream, Data=data, PartitionKey="ANNA")
    one.put([batch(2)])
    assert one.sink()[:4] == (5, 2, 0, 3)
    assert one.found() == names([batch(1), batch(2)])
    table = one.table()
    prefix = f"{table.location().partition(s3.bucket + '/')[2]}/unreadable/"
    listed = boto3.client("s3").list_objects_v2(Bucket=s3.bucket, Prefix=prefix)["Contents"]
    assert len(listed) == 3
    for kept in listed:
        with table.io.new_input(f"s3://{s3.bucket}/{kept['Key']}").open() as stream:
            data = stream.read()
        assert data in foreign or b"yesterday" in data
    assert one.sink().records == 0


def test_a_forgotten_user_is_left_out(one: Brook) -> None:
    """While the table says that a user is forgotten, nothing of theirs is written; afterwards it is."""
    name = positions.FORGOTTEN + sha256(b"ANNA").hexdigest()
    with one.table().transaction() as transaction:
        transaction.set_properties({name: positions.told(datetime.now(UTC) + timedelta(hours=1))})
    one.put([batch(1), batch(2, "BORIS")])
    one.sink()
    assert one.found() == names([batch(2, "BORIS")])
    with one.table().transaction() as transaction:
        transaction.set_properties({name: positions.told(datetime.now(UTC))})
    one.put([batch(3)])
    one.sink()
    assert one.found() == names([batch(3), batch(2, "BORIS")])


def test_files_are_sorted_and_of_a_day(one: Brook, tmp_path: Path) -> None:
    """Each file holds one day, sorted by user, session and time, without Bloom filters, and says what is in it."""
    one.put([batch(number, f"user {number % 5}", f"s{number % 2}", actions=3) for number in range(0, 250, 5)])
    one.sink()
    table = one.table()
    files = [task.file for task in table.scan().plan_files()]
    assert len(files) == len({file.partition[0] for file in files}) == 4
    for number, file in enumerate(files):
        local = tmp_path / f"{number}.parquet"
        with table.io.new_input(file.file_path).open() as stream:
            local.write_bytes(stream.read())
        read = duckdb.execute(f"SELECT user_id, session_id, epoch_us(time), seq FROM '{local}'").fetchall()
        assert read == sorted(read)
        assert file.record_count == len(read)
        (filters,) = duckdb.execute(f"SELECT count(bloom_filter_offset) FROM parquet_metadata('{local}')").fetchall()
        assert filters == (0,)
        lower = {field.field_id: field.name for field in table.schema().fields if field.field_id in file.lower_bounds}
        assert {"user_id", "session_id", "time", "seq"} <= set(lower.values())
        assert file.lower_bounds[1].decode() == read[0][0]
        assert file.upper_bounds[1].decode() == read[-1][0]
    assert table.scan(row_filter="user_id = 'user 0'").to_arrow().num_rows == 150


def test_trino_reads_what_the_sink_wrote(one: Brook, trino: servers.Trino) -> None:
    """Trino finds the same rows in the table, also by filters that the files' smallest and largest values serve."""
    put = [batch(number, f"user {number % 5}", actions=2) for number in range(0, 300, 10)]
    one.put(put)
    one.sink()
    name = f"lake.{one.address.table}"
    found = rows(trino, f"SELECT user_id, session_id, CAST(json_extract(properties, '$.batch') AS integer) FROM {name}")
    assert sorted(map(tuple, found)) == sorted((user, session, number) for user, session, number, _ in names(put))
    day = "time >= TIMESTAMP '2026-03-02 00:00:00 UTC' AND time < TIMESTAMP '2026-03-03 00:00:00 UTC'"
    expected = sum(row["time"].day == 2 and row["user_id"] == "user 0" for row in one.rows())
    assert rows(trino, f"SELECT count(*) FROM {name} WHERE user_id = 'user 0' AND {day}") == [[expected]]


def test_told_to_stop_it_commits_what_it_holds(one: Brook) -> None:
    """A sink that waits for the end of its minutes is told to stop: it commits, ends with 0, and is at work no more."""
    one.put([batch(1)])
    with running(one, "--interval", "600") as (process, meter):
        until(lambda: meter("footpath_sink_held_records") == 1, process)
        assert any(name.startswith(positions.SINK) for name in one.table().metadata.properties)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
    assert one.found() == names([batch(1)])
    assert not any(name.startswith(positions.SINK) for name in one.table().metadata.properties)


def test_sinks_share_the_shards_out(one: Brook) -> None:
    """Of two sinks each reads one of two shards, and when one has gone the other reads both; all is there once."""
    put = [batch(number, f"user {number}") for number in range(40)]
    with (
        running(one, "--interval", "1") as (first, told_first),
        running(one, "--interval", "1") as (second, told_second),
    ):
        one.put(put[:20])
        until(lambda: told_first("footpath_sink_shards") == told_second("footpath_sink_shards") == 1, first)
        second.send_signal(signal.SIGTERM)
        assert second.wait(WAIT_SECONDS) == 0
        until(lambda: told_first("footpath_sink_shards") == 2, first)
        one.put(put[20:])
        until(lambda: len(one.found()) == 40, first)
        assert told_first("footpath_sink_lag_seconds") < 60
    assert one.found() == names(put)


@contextlib.contextmanager
def running(one: Brook, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], float]]]:
    """`footpath sink` as a process of its own, and what gives the value of one of its metrics."""
    port = free_port()
    command = [sys.executable, "-m", "footpath", *one.sink_words(), "--metrics", f"127.0.0.1:{port}", *options]
    process = subprocess.Popen(command, env=os.environ)

    def meter(name: str) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return -1
        return next(float(line.split(" ")[1]) for line in lines if line.startswith(f"{name} "))

    try:
        yield process, meter
    finally:
        process.kill()
        process.wait()


def until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is so, while a process runs."""
    end = time.monotonic() + WAIT_SECONDS
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
