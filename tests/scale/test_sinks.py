"""Three sinks that compete and are killed: each action that the journal took is in the table once."""

import random
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest

from footpath.aws.address import StreamAddress, TableAddress
from footpath.aws.table import RETRIES, catalog_of, make_table
from tests.crash.oracle import Notes
from tests.proof import SEED, publish, times
from tests.scale import servers
from tests.scale.dying import CONTROL
from tests.scale.sinks import FIRST, MOVED, Ends, Fight, drain, found, put
from tests.scale.sql import rows

BATCHES = times("BATCHES", 600)
BATCHES_A_SECOND = 40  # at which 20,000 take ten minutes, in which some hundred sinks die
KILLS = times("KILLS", 10)
PATIENCE_SECONDS = 600.0  # beyond what the batches should take: others may use the machine
TOGETHER = 100  # batches between looks at how it goes


@pytest.fixture
def table(aws: dict[str, str], s3: servers.S3, glue: servers.Glue) -> TableAddress:
    """An empty table, as `footpath setup aws` makes it."""
    name = f"t{uuid.uuid4().hex}"
    address = TableAddress(
        "glue",
        "fights",
        name,
        endpoint=glue.endpoint,
        s3_endpoint=aws["AWS_ENDPOINT_URL_S3"],
        warehouse=f"s3://{s3.bucket}/fights",
    )
    make_table(catalog_of(address), address)
    return address


@pytest.fixture
def client(aws: dict[str, str]) -> Any:
    """A client of Kinesis."""
    return boto3.client("kinesis", endpoint_url=aws["AWS_ENDPOINT_URL_KINESIS"])


@pytest.fixture
def stream(client: Any, kinesis: servers.Kinesis) -> StreamAddress:
    """A stream with two shards."""
    name = f"s{uuid.uuid4().hex}"
    client.create_stream(StreamName=name, ShardCount=2)
    settled(client, name)
    return StreamAddress(name, endpoint=kinesis.endpoint)


def settled(client: Any, stream: str) -> None:
    """Wait until a stream can be written and changed."""
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})


def open_shards(client: Any, stream: str) -> list[dict[str, Any]]:
    """Those that take records, by the keys that they take."""
    shards = client.list_shards(StreamName=stream)["Shards"]
    alive = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    return sorted(alive, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def split(client: Any, stream: str) -> None:
    """Split the first shard in two."""
    first = open_shards(client, stream)[0]
    keys = [int(first["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey")]
    client.split_shard(StreamName=stream, ShardToSplit=first["ShardId"], NewStartingHashKey=str(sum(keys) // 2))
    settled(client, stream)


def merge(client: Any, stream: str) -> None:
    """Merge the last two shards into one."""
    *_, one, other = open_shards(client, stream)
    client.merge_shards(StreamName=stream, ShardToMerge=one["ShardId"], AdjacentShardToMerge=other["ShardId"])
    settled(client, stream)


def test_killed_sinks_that_compete_lose_and_double_nothing(
    client: Any, stream: StreamAddress, table: TableAddress, trino: servers.Trino, tmp_path: Path
) -> None:
    """Every acknowledged action is in the table exactly once, although sinks die at each step and shards are moved."""
    ends = Ends(random.Random(SEED))
    log = tmp_path / "sinks.log"
    changes = {BATCHES // 3: split, 2 * BATCHES // 3: merge}
    until = time.monotonic() + PATIENCE_SECONDS + 5 * BATCHES / BATCHES_A_SECOND
    number = 0
    with closing(Notes(tmp_path / "notes")) as notes:
        with Fight(stream, table, ends, log, kill=True) as fight:
            while number < BATCHES or ends.deaths.total() < KILLS or not ends.deaths[FIRST] or not moved(log):
                assert time.monotonic() < until, f"{number} batches and {ends.deaths} in all that time"
                put(stream, notes, range(number, number + TOGETHER), TOGETHER / BATCHES_A_SECOND)
                number += TOGETHER
                fight.check()
                for due in [due for due in changes if due <= number]:
                    changes.pop(due)(client, stream.stream)
        drain(stream, table)
        verdict = notes.judge(found(trino, table))
        publish(
            "sinks",
            batches=number,
            kills=ends.deaths.total(),
            steps_killed_at=len(ends.deaths),
            lives=ends.lives,
            chunks_dropped_for_another_sink=moved(log),
            **verdict._asdict(),
            deaths=dict(sorted(ends.deaths.items())),
        )
    assert verdict.clean, verdict
    assert not changes


def moved(log: Path) -> int:
    """How often a sink came second with the same records, as the log has it."""
    return log.read_bytes().count(MOVED) if log.exists() else 0


def test_with_pyicebergs_own_retries_the_same_sinks_store_actions_twice(
    stream: StreamAddress, table: TableAddress, trino: servers.Trino, tmp_path: Path
) -> None:
    """The control: with commit.retry.num-retries left on, three sinks store some action twice, and nobody notices."""
    with catalog_of(table).load_table((table.namespace, table.table)).transaction() as change:
        change.set_properties({RETRIES: "4", CONTROL: "0"})
    sql = f"SELECT count(*) - count(DISTINCT (batch_id, place)) FROM {table.namespace}.{table.table}"
    twice = 0
    ends = Ends(random.Random(SEED))
    end = time.monotonic() + PATIENCE_SECONDS
    with (
        closing(Notes(tmp_path / "notes")) as notes,
        Fight(stream, table, ends, tmp_path / "sinks.log", kill=False, control=True) as fight,
    ):
        begin = 0
        while not twice and time.monotonic() < end:
            put(stream, notes, range(begin, begin + TOGETHER), TOGETHER / BATCHES_A_SECOND)
            begin += TOGETHER
            fight.check()
            twice = int(rows(trino, sql)[0][0])
    publish("sinks-control", batches=begin, twice=twice)
    assert twice > 0
